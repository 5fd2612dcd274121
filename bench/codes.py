"""What the codes of a trained network are good for: a linear probe and a clustering, where the images have labels.

Beside them, on the same images: the raw pixels, and as many principal components as the code has numbers.  A code that
a probe reads no better than those has learnt nothing about what is in the picture that a line through it would not say.

- *Probe*: logistic regression on standardised values (Alain and Bengio, "Understanding intermediate layers using linear
  classifier probes", 2016), fitted on training images and scored on test images; its regularisation is chosen on every
  fifth of the training images, so that neither few nor many numbers are at a disadvantage.
- *Clustering*: k-means of the test images with as many clusters as there are classes, and the adjusted Rand index
  (Hubert and Arabie, "Comparing partitions", 1985): 1 for the classes themselves, 0 on average for chance.

"noisy": noisy images for fitting and scoring, with the noise of the trial; "clean": clean ones for both.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bench.cells import TrialCell
from bench.datasets.base import Labels
from bench.lru import Lru
from implementations import counter
from implementations.adapter import Adapter
from implementations.parameters import Array
from results.statistics import NORMAL_95

if TYPE_CHECKING:
    from bench.trial import Clean, Noisy

PROBE_IMAGES = 10_000
"""Of either split at most.  Measured on MNIST: with all 60,000 a probe gains half a percent, and takes six times as
long."""
STRENGTHS = (0.001, 0.01, 0.1, 1.0)
"""Inverse strengths of regularisation (scikit-learn's C) that are tried."""
HELD_OUT = 5
ITERATIONS, TOLERANCE = 300, 1e-3
STARTS = 3
"""K-means begins so often and keeps the best."""
MOST_VALUES = 4096
"""Larger codes and images are not probed: that would take longer than training the network."""
KEPT = 4096
"""Sets of figures of pixels and principal components that a worker keeps, a few numbers each: two for every noise and
seed of a sweep, and one for every size of code."""
Figures = dict[str, float]


@dataclass(frozen=True)
class Chosen:
    """The images that are looked at: indices into the splits, and their labels."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    train_labels: Labels
    test_labels: Labels

    @property
    def classes(self) -> int:
        return len(np.unique(self.train_labels))


class Yardsticks:
    """Figures of raw pixels and of principal components, which trials of one worker have in common.

    ``key`` names the images.  Images of more than :data:`MOST_VALUES` numbers have no figures.
    """

    def __init__(self) -> None:
        self._figures: Lru[Figures] = Lru(KEPT)

    def pixels(self, key: Hashable, train: Array, test: Array, chosen: Chosen) -> Figures:
        """Of images (n, d) as they are."""
        if train.shape[1] > MOST_VALUES:
            return {}
        return self._figures.get((key, "pixels"), lambda: assess(train, test, chosen))

    def components(self, key: Hashable, train: Array, test: Array, chosen: Chosen, size: int) -> Figures:
        """Of the first ``size`` principal components of the training images (n, d)."""
        if train.shape[1] > MOST_VALUES:
            return {}
        return self._figures.get((key, size), lambda: assess(*components(train, test, size), chosen))


def judge_codes(
    adapter: Adapter, cell: TrialCell, clean: Clean, noisy: Noisy, yardsticks: Yardsticks
) -> tuple[Figures, list[str]]:
    """(figures by name, warnings) of ``adapter``, trained as ``cell`` says.

    For "noisy" and "clean" each, all of it also behind ``pixels_`` and ``pca_``: ``probe_accuracy_noisy`` with ``_low``
    and ``_high`` (95 % interval over test images, Wilson 1927), ``cluster_ari_noisy``.  And ``classes``,
    ``probe_train_images``, ``probe_test_images``, and ``seconds``, which the codes took, yardsticks apart.  Without
    labels, or without a code, there are no figures but a warning that says so.
    """
    from threadpoolctl import threadpool_limits

    chosen = choose(clean)
    size = cell.make_architecture().latent_size
    if chosen is None:
        return {}, [f"codes were not judged: {cell.dataset} has no labels of two classes or more"]
    if not size:
        return {}, [f"codes were not judged: {cell.architecture} has none"]
    if size > MOST_VALUES:
        return {}, [f"codes were not judged: {size:,} numbers are more than the {MOST_VALUES:,} that a probe is given"]
    figures: Figures = {
        "classes": float(chosen.classes),
        "probe_train_images": float(len(chosen.train)),
        "probe_test_images": float(len(chosen.test)),
    }
    said: list[str] = []
    own: Figures = {}
    seconds = 0.0
    noise = (cell.corruption, cell.clip, cell.seed)
    with threadpool_limits(limits=cell.threads):
        for name, train, test, of in (
            ("noisy", noisy.train, noisy.test, noise),
            ("clean", clean.train, clean.test, None),
        ):
            images = train[chosen.train], test[chosen.test]
            start = time.perf_counter()
            codes = [np.asarray(adapter.encode(part.astype(cell.setting.dtype, copy=False))) for part in images]
            if all(np.isfinite(part).all() for part in codes):
                own |= _named("", name, assess(codes[0], codes[1], chosen))
            else:
                said.append(f"codes of {name} images are not finite: they were not judged")
            seconds += time.perf_counter() - start
            flat = [part.reshape(len(part), -1) for part in images]
            figures |= _named("pixels_", name, yardsticks.pixels((clean.digest, of), flat[0], flat[1], chosen))
            figures |= _named("pca_", name, yardsticks.components((clean.digest, of), flat[0], flat[1], chosen, size))
    return ({**own, **figures, "seconds": seconds} if own else {}), said


def _named(prefix: str, noise: str, figures: Figures) -> Figures:
    return {f"{prefix}{name.format(noise=noise)}": value for name, value in figures.items()}


def choose(clean: Clean) -> Chosen | None:
    """Which images are looked at; None where there are no labels, or only one class."""
    if clean.train_labels is None or clean.test_labels is None or len(np.unique(clean.train_labels)) < 2:
        return None
    train, test = (
        np.sort(counter.permutation(len(images), "probe", split)[:PROBE_IMAGES])
        for split, images in (("train", clean.train), ("test", clean.test))
    )
    chosen = Chosen(train, test, clean.train_labels[train], clean.test_labels[test])
    return chosen if chosen.classes > 1 else None


def assess(train: Array, test: Array, chosen: Chosen) -> Figures:
    """Probe and clustering of values (n, d) of the chosen images; names with ``{noise}`` to be filled in."""
    accuracy = probe(train, chosen.train_labels, test, chosen.test_labels)
    low, high = wilson(accuracy, len(test))
    figures = {
        "probe_accuracy_{noise}": accuracy,
        "probe_accuracy_{noise}_low": low,
        "probe_accuracy_{noise}_high": high,
    }
    if len(test) >= chosen.classes:
        figures["cluster_ari_{noise}"] = cluster_agreement(test, chosen.test_labels, chosen.classes)
    return figures


def probe(train: Array, train_labels: Labels, test: Array, test_labels: Labels) -> float:
    """The share of ``test`` (m, d) that a logistic regression fitted to ``train`` (n, d) tells the class of."""
    from sklearn.preprocessing import StandardScaler

    scale = StandardScaler().fit(train)
    train, test = scale.transform(train), scale.transform(test)
    held = np.arange(len(train)) % HELD_OUT == 0
    strength = STRENGTHS[-1]
    if held.sum() and len(np.unique(train_labels[~held])) > 1:
        parts = train[~held], train_labels[~held], train[held], train_labels[held]
        strength = max(STRENGTHS, key=lambda each: _accuracy(each, *parts))
    return _accuracy(strength, train, train_labels, test, test_labels)


def _accuracy(strength: float, train: Array, train_labels: Labels, test: Array, test_labels: Labels) -> float:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=ITERATIONS, tol=TOLERANCE)
    with warnings.catch_warnings():
        # As good as it is after so many iterations is good enough: what is left changes no digit that is shown.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(train, train_labels)
    return float(np.mean(model.predict(test) == test_labels))


def cluster_agreement(values: Array, labels: Labels, clusters: int) -> float:
    """Adjusted Rand index between ``labels`` (n,) and k-means of ``values`` (n, d), as they are."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_rand_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different values than clusters: a dead code
        found = KMeans(clusters, n_init=STARTS, random_state=0).fit_predict(values)
    return float(adjusted_rand_score(labels, found))


def components(train: Array, test: Array, size: int) -> tuple[Array, Array]:
    """The first ``size`` principal components of ``train`` (n, d), or all that there are: (n, k) and (m, k)."""
    from sklearn.decomposition import PCA

    model = PCA(min(size, *train.shape), random_state=0).fit(train)
    return model.transform(train), model.transform(test)


def wilson(share: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share of ``count`` independent cases (Wilson, "Probable inference", 1927)."""
    square = NORMAL_95 * NORMAL_95
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = NORMAL_95 / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return middle - half, middle + half
