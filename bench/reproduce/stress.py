"""Trained networks under ever worse noise: a recipe's published sweep of strengths, on one image and on many.

Needs the trained weights (``weights`` of a record), no training.  The network is rebuilt by the NumPy reference, not
by the backend that trained it: certificates say that they compute the same, it runs where that backend or its device
is missing, and 256 images of 28x28 through `conv-small` take it 1.3 s a step, where a fresh process of TensorFlow
needs 5 s before its first image.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import corruption, kept, quality
from bench.cells import TrialCell
from bench.kept import save_strip
from bench.lru import Lru
from bench.reproduce import compare
from bench.reproduce.recipe import Stress as Sweep
from bench.reproduce.run import Part
from bench.trial import Clean, Images, data_key, load_clean
from implementations import counter
from implementations.reference import Reference
from results.loading import Run
from results.reproduction import Comparison, Span, SpanOver, Stress, StressStep
from results.schema import Record
from results.statistics import mean_interval

IMAGES = 256
"""Test images that curves are made from: the mean PSNR is then known to about 0.2 dB."""
BLOCK = 16
"""Images at a time: larger blocks leave the processor's cache (64 take 1.7 times as long)."""

Figures = dict[str, NDArray[np.float64]]
"""By metric, a figure for every image."""


@dataclass(frozen=True)
class _Sample:
    """The same test images for every network of a data set."""

    clean: Images
    indices: NDArray[np.int64]
    picture: int
    """Which of them is shown."""


def assessed(comparisons: Iterable[Comparison], parts: Iterable[Part], run: Run) -> list[Comparison]:
    """``comparisons`` with the stress sweep of their networks, where the recipe has one.  Strips go to the pictures of
    the run; networks that can not be rebuilt are named, and left out."""
    by_name = {(part.recipe.name, part.variant.name): part for part in parts}
    clean: Lru[Clean] = Lru(1)
    found = []
    for comparison in comparisons:
        part = by_name[comparison.recipe, comparison.variant]
        sweep = part.recipe.file.stress
        records = compare.trained(part, (comparison.backend, comparison.device), run) if sweep else []
        if sweep and records:
            cell = TrialCell.from_axes(records[0]["cell"])
            images = clean.get(data_key(cell), lambda cell=cell: load_clean(cell))  # type: ignore[misc]
            comparison = replace(comparison, stress=_stress(sweep, records, images, run.folder))
        found.append(comparison)
    return found


def _stress(sweep: Sweep, records: Sequence[Record], clean: Clean, folder: Path) -> Stress:
    networks: list[tuple[TrialCell, Reference]] = []
    missing = []
    for record in records:
        cell = TrialCell.from_axes(record["cell"])
        try:
            networks.append((cell, _network(cell, record, folder)))
        except (OSError, ValueError) as error:
            missing.append(f"seed {cell.seed}: {error}")
    if not networks:
        return Stress(images=0, networks=0, over=None, steps=(), missing=tuple(missing))
    sample = _sample(clean.test)
    by_network: list[list[Figures]] = []
    strips: dict[str, list[Images]] = {"clean": [], "noisy": [], "denoised": []}
    for number, (cell, network) in enumerate(networks):
        by_network.append([])
        for text in sweep.corruptions:
            noisy = _corrupted(sample, text, cell)
            denoised = _denoised(network, noisy)
            by_network[-1].append(_figures(noisy, denoised, sample.clean))
            if number == 0:
                for name, images in (("clean", sample.clean), ("noisy", noisy), ("denoised", denoised)):
                    strips[name].append(images[sample.picture])
    steps = tuple(
        _step(text, dict(zip(("blur", "noise"), levels, strict=True)), [figures[index] for figures in by_network])
        for index, (text, *levels) in enumerate(zip(sweep.corruptions, sweep.blur, sweep.noise, strict=True))
    )
    return Stress(
        images=len(sample.clean),
        networks=len(networks),
        over="seeds" if len(networks) > 1 else "images",
        steps=steps,
        image=int(sample.indices[sample.picture]),
        pictures={name: save_strip(np.stack(images), folder) for name, images in strips.items()},
        missing=tuple(missing),
    )


def _network(cell: TrialCell, record: Record, folder: Path) -> Reference:
    """The network of ``record``, rebuilt; ValueError or OSError where it can not be."""
    path = record.get("weights")
    if not path:
        raise ValueError("its trained weights were not kept")
    if not (folder / path).is_file():
        raise ValueError(f"{path} is not in the run folder")
    weights, about = kept.load_weights(folder / path)
    if json.loads(about.get("cell", "null")) not in (None, cell.axes()):
        raise ValueError(f"{path} holds the weights of another network")
    architecture = cell.make_architecture()
    shapes = {name: value.shape for name, value in weights.items()}
    if shapes != dict(architecture.parameter_shapes()):
        raise ValueError(f"{path} does not fit {cell.architecture}")
    return Reference(architecture, cell.make_training(), weights)


def _sample(test: Images) -> _Sample:
    """Drawn, since in MNIST's test set the first half is easier than the second."""
    order = counter.permutation(len(test), "stress")[:IMAGES]
    indices = np.sort(order)
    return _Sample(test[indices], indices, int(np.flatnonzero(indices == order[0])[0]))


def _corrupted(sample: _Sample, text: str, cell: TrialCell) -> Images:
    """Each image with the noise that its place in the test set gives it."""
    noise = corruption.parse(text)
    return np.concatenate(
        [
            corruption.corrupt(image[None], noise, seed=cell.seed, split="test", clip=cell.clip, first=int(index))
            for image, index in zip(sample.clean, sample.indices, strict=True)
        ]
    )


def _denoised(network: Reference, noisy: Images) -> Images:
    parts = [network.reconstruct(noisy[start : start + BLOCK]) for start in range(0, len(noisy), BLOCK)]
    return np.concatenate(parts).astype(np.float32)


def _figures(noisy: Images, denoised: Images, clean: Images) -> Figures:
    before, after = quality.score(noisy, clean), quality.score(denoised, clean)
    kept = quality.counted(after.exact, before.exact)
    found = {"psnr": after.psnr[kept], "psnr_noisy": before.psnr[kept], "ssim": after.ssim, "ssim_noisy": before.ssim}
    found["ssim_gain"] = after.ssim - before.ssim
    # An exact image can only be spoilt, and its 100 dB are no measure of how much.
    exact = (after.exact | before.exact)[kept].any()
    return found if exact else {**found, "psnr_gain": (after.psnr - before.psnr)[kept]}


def _step(text: str, levels: dict[str, float], networks: Sequence[Figures]) -> StressStep:
    over: SpanOver = "seeds" if len(networks) > 1 else "images"

    def span(metric: str) -> Span:
        if metric not in networks[0]:
            return None, None, None
        values = [float(one[metric].mean()) for one in networks] if over == "seeds" else networks[0][metric].tolist()
        interval = mean_interval(values)
        return (interval.value, interval.low, interval.high) if interval.known else (interval.value, None, None)

    def level(metric: str) -> float:
        return float(np.mean([one[metric].mean() for one in networks]))

    return StressStep(
        corruption=text,
        levels=levels,
        psnr=span("psnr"),
        psnr_noisy=level("psnr_noisy"),
        psnr_gain=span("psnr_gain"),
        ssim=span("ssim"),
        ssim_noisy=level("ssim_noisy"),
        ssim_gain=span("ssim_gain"),
    )
