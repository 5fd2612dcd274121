"""How long a plan will take, roughly: good enough to choose between a coffee and a night.

One core of a server processor of 2023 is behind every constant; another machine may be two times off.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from bench import datasets
from bench.codes import PROBE_IMAGES
from bench.confirm import Assignment, assign, cheapest, product
from bench.energy import WINDOW_SECONDS, EnergyUnavailable, find_meter
from bench.sessions import RESIZED_BLOCKS
from bench.timing import (
    RESIZED_BATCHES,
    SETTLE_BATCHES,
    SETTLE_LIMIT,
    SETTLE_OVERHEADS,
    SETTLE_SHARE,
    SHORT_BATCHES,
    SHORT_CALLS,
    staged_samples,
)
from bench.yardsticks.linear import LARGEST
from implementations import catalog
from implementations.architecture import Conv2DTranspose
from results import convergence

if TYPE_CHECKING:
    from bench.cells import Cell, CertificateCell, Noised, Point, TimingCell, TrialCell
    from bench.plan import Plan, Session
    from bench.yardsticks import YardstickCell


@dataclass(frozen=True)
class Speed:
    """Of one backend and track on one core, in training.  Floating-point operations a second; seconds of a value that a
    layer gives, and of a step.

    Fitted to the six networks of results/published/speed, whose 60 rates it gives back, 43 within 15 % and all but one
    within 50: how well it does on other machines and batches is not known from that.
    """

    dense: float
    conv: float
    strided: float
    """Networks with strided transposed convolutions, which no framework is good at on a CPU."""
    value: float
    """Of networks that convolve: what goes through memory, however few operations made it."""
    step: float
    """What a step costs whatever its size."""


SPEED = {
    ("keras[tensorflow]", "tuned"): Speed(dense=76e9, conv=160e9, strided=44e9, value=4.1e-9, step=0.25e-3),
    ("keras[tensorflow]", "idiomatic"): Speed(dense=59e9, conv=170e9, strided=46e9, value=4.4e-9, step=3.5e-3),
    ("keras[jax]", "tuned"): Speed(dense=67e9, conv=260e9, strided=14e9, value=16.5e-9, step=0.3e-3),
    ("keras[jax]", "idiomatic"): Speed(dense=43e9, conv=260e9, strided=13e9, value=16.5e-9, step=1.5e-3),
    ("jax", "tuned"): Speed(dense=75e9, conv=150e9, strided=13e9, value=12.3e-9, step=0.2e-3),
    ("jax", "idiomatic"): Speed(dense=48e9, conv=320e9, strided=14e9, value=16.5e-9, step=0.5e-3),
    ("keras[torch]", "tuned"): Speed(dense=54e9, conv=145e9, strided=44e9, value=9.1e-9, step=2.8e-3),
    ("keras[torch]", "idiomatic"): Speed(dense=52e9, conv=130e9, strided=50e9, value=9.7e-9, step=4.5e-3),
    ("torch", "tuned"): Speed(dense=61e9, conv=170e9, strided=51e9, value=3.3e-9, step=1.1e-3),
    ("torch", "idiomatic"): Speed(dense=59e9, conv=150e9, strided=21e9, value=6.5e-9, step=2.2e-3),
}
OTHER_SPEED = Speed(dense=50e9, conv=100e9, strided=20e9, value=10e-9, step=3e-3)
"""Of a backend that came later."""
IMPORT = {"torch": 1.0, "keras[tensorflow]": 3.3, "keras[jax]": 1.7, "jax": 1.0, "keras[torch]": 3.0}
"""Seconds from the start of a process to the framework's being there."""
COMPILE = {"torch": 0.3, "keras[tensorflow]": 1.5, "keras[jax]": 3.5, "jax": 2.0, "keras[torch]": 0.2}
"""Seconds of build and first step of one network."""
CERTIFICATE = {"torch": 0.4, "keras[tensorflow]": 2.5, "keras[jax]": 6.0, "jax": 5.0, "keras[torch]": 0.6}
"""Seconds of one certificate of a small network, compilation included."""
CERTIFICATE_STEPS = 120
OTHER_SECONDS = 3.0
PARALLEL_EFFICIENCY = 0.85
"""What a second job on another core adds, memory and caches being shared."""
THREAD_EFFICIENCY = 0.7
GPU_FACTOR = 20.0
"""A GPU against one core; overheads stay."""
PIXELS = 784
"""Of an image of MNIST, 28x28, for which the seconds below stand."""
SCORE = 2e-4
"""Seconds to score one test image (both SSIMs), of 28x28 pixels."""
CONVERGES = 0.4
"""Of the epochs that a training may take at most, those that one takes until it has converged: a guess."""
CORRUPT = 5e-5
"""Seconds to corrupt one image of 28x28 pixels."""
YARDSTICKS = {
    "identity": (0.02, 0),
    "mean-image": (0.02, 0),
    "median-3x3": (0.02, 2e-4),
    "gaussian": (0.1, 5e-5),
    "tv": (1.3, 1.6e-3),
    "nlm": (4.0, 4e-3),
    "nlm-slow": (12.0, 8e-3),
    "wavelet": (2.5, 3e-3),
    "median": (0.4, 3e-4),
    "linear": (0.2, 0),
}
"""Seconds to calibrate a yardstick, and to denoise an image of 28x28 pixels; "-tone" changes little."""
OTHER_YARDSTICK = (0.2, 2e-5)
DECOMPOSE = 5.0
"""Seconds for the first linear optimum of some images of 28x28 pixels; further ranks come from the same work."""
CROSS = 1e-4
"""Seconds to score one test image of 28x28 pixels under one further corruption, its share of making that included."""
CODES = 4e-4
"""Seconds of probes and clusterings for each image that they look at, their share of pixels and components included."""
TRAIN_IMAGES = 60_000
TEST_IMAGES = 10_000
"""Sizes of a data set that is used in full, if nothing else is known: those of MNIST."""
WHOLE_PHOTOS = 935_000
"""Pixels of the photographs that are scored whole."""
WHOLE_FOLDER = 20 * 2_000_000
"""The same for a folder, of which nothing is known."""
WHOLE_PATCHES = (10_000, 2_000)
"""Patches that are cut from a folder if nothing is said."""
TILES = 1.5
"""Pixels that go through a network for each pixel of a whole image: tiles overlap and stand over."""
WARMUP_BLOCKS = 3
LATENCY_SECONDS = 0.5
AUDIT_SECONDS = 2.5
"""Of one contestant, once a session, and of a backend and track in its first certificate."""
PEAKS_SECONDS = 6.0
"""Of the machine's peaks at one setting."""
FIT_CALL = 0.1
"""Seconds that a call of `fit` costs at least, on the idiomatic track of Keras."""
REPORT = 4.0


@dataclass(frozen=True)
class Estimate:
    """Seconds by phase."""

    certificates: float
    trials: float
    sessions: float
    yardsticks: float = 0.0
    report: float = REPORT

    @property
    def total(self) -> float:
        return self.certificates + self.trials + self.yardsticks + self.sessions + self.report


def estimate(plan: Plan, jobs: int = 1) -> Estimate:
    """Rough seconds of all of ``plan`` on ``jobs`` cores, with nothing cached and nothing done before."""
    cells = by_cell(plan)
    trials = sum(cells["trials"][cell] for cell in expected_trials(plan).cells)
    peaks = PEAKS_SECONDS * len({cell.setting for session in plan.sessions for cell in session.cells})
    return Estimate(
        certificates=side_by_side(sum(cells["certificates"].values()), jobs),
        trials=side_by_side(trials, jobs),
        sessions=peaks + sum(map(session_seconds, plan.sessions)),
        yardsticks=side_by_side(yardsticks_seconds(plan.yardsticks), jobs),
    )


def expected_trials(plan: Plan) -> Assignment:
    """The trials that will be run, as far as one can tell before anything is measured or certified: with
    ``quality = "once"`` each is given to the backend that should train its network fastest."""
    if plan.quality == "all":
        return Assignment((), (), plan.trials)
    found = product(plan.trials)

    def price(cell: TrialCell) -> float:
        return (learning_seconds(cell) + compiling_seconds(cell.backend) / found.share(cell)) * cell.threads

    return assign(found, lambda group: cheapest(group, price))


def side_by_side(seconds: float, jobs: int) -> float:
    """Of work that takes ``seconds`` on one core, on ``jobs`` of them."""
    return seconds / (1 + PARALLEL_EFFICIENCY * (max(jobs, 1) - 1))


def by_cell(plan: Plan) -> dict[str, dict[Point, float]]:
    """Rough seconds of each cell by phase, on one core and with nothing cached: how a phase is shared out among its
    cells.  What some of them have in common (imports, compiling) is divided between these.  Of trials it is the whole
    product, whether another backend is expected to train a cell or not."""
    expected = expected_trials(plan).cells
    builds = Counter((cell.backend, _network(cell)) for cell in expected)
    return {
        "certificates": certificates_by_cell(plan.certificates),
        "trials": {
            cell: trial_seconds(cell) + compiling_seconds(cell.backend) / max(builds[cell.backend, _network(cell)], 1)
            for cell in plan.trials
        },
        "yardsticks": {cell: yardstick_seconds(cell) for cell in plan.yardsticks},
        "sessions": {
            cell: session.rounds * workload_seconds(session, [cell])
            for session in plan.sessions
            for cell in session.cells
        },
    }


def certificates_by_cell(cells: Sequence[CertificateCell]) -> dict[Point, float]:
    """Rough seconds of each on one core, its share of what a backend costs once included."""
    starts = Counter(cell.backend for cell in cells)
    audits = Counter((cell.backend, cell.track) for cell in cells)
    return {
        cell: certificate_seconds(cell)
        + IMPORT.get(cell.backend, OTHER_SECONDS) / starts[cell.backend]
        + AUDIT_SECONDS / audits[cell.backend, cell.track]
        for cell in cells
    }


def _network(cell: TrialCell) -> tuple[object, ...]:
    """What a backend compiles anew for."""
    shape = (cell.height, cell.width, cell.channels)
    return (cell.architecture, cell.latent, shape, cell.loss, cell.optimizer, cell.batch_size)


@dataclass(frozen=True)
class Work:
    """Of one sample: operations forward, forward and backward, values that layers give, and which rate of
    :class:`Speed` holds."""

    forward: int
    both: int
    values: int
    kind: str


@lru_cache(maxsize=1000)
def _facts(architecture: str, shape: tuple[int, int, int], latent: int | None) -> Work:
    network = catalog.make(architecture, shape, latent)
    forward = network.forward_flops()
    layers = network.encoder + network.decoder
    strided = any(isinstance(layer, Conv2DTranspose) and layer.stride > 1 for layer in layers)
    kind = "strided" if strided else "conv" if network.is_convolutional else "dense"
    values = sum(math.prod(node.output_shape) for node in network.nodes()) if network.is_convolutional else 0
    return Work(forward, forward + network.backward_flops(), values, kind)


@cache
def _sizes() -> dict[str, tuple[int, int]]:
    """Numbers of training and test images, of the data sets that always have the same."""
    return {info.name: (info.train, info.test) for info in datasets.describe() if info.train and info.test}


def _of(cell: Cell) -> Work:
    return _facts(cell.architecture, (cell.height, cell.width, cell.channels), cell.latent)


def _seconds(cell: Cell, samples: int, flops: int, values: float) -> float:
    """Seconds of so many operations and values a sample, and of the steps of ``samples``."""
    speed = SPEED.get((cell.backend, cell.track), OTHER_SPEED)
    factor = GPU_FACTOR if cell.device != "cpu" else cell.threads**THREAD_EFFICIENCY
    factor *= 0.4 if cell.precision == "float64" else 1.0
    rate: float = getattr(speed, _of(cell).kind)
    each = (flops / rate + values * speed.value) / factor
    return samples * each + math.ceil(samples / cell.batch_size) * speed.step


def training_seconds(cell: Cell, samples: int) -> float:
    """Seconds to train ``samples`` samples, warm."""
    return _seconds(cell, samples, _of(cell).both, _of(cell).values)


def learning_seconds(cell: TrialCell) -> float:
    """Seconds of all epochs of a trial, the network being compiled already."""
    train, test = _images(cell)
    train = (train - (0 if cell.val == "test" else _validation_images(cell, train, test))) * cell.repeats
    seconds = _epochs(cell) * training_seconds(cell, train)
    return seconds if cell.max_seconds is None else min(seconds, cell.max_seconds)


def compiling_seconds(backend: str) -> float:
    """Seconds of build and first step of a network."""
    return COMPILE.get(backend, OTHER_SECONDS)


def inference_seconds(cell: Cell, samples: int) -> float:
    """Seconds to reconstruct ``samples`` images, warm."""
    return _seconds(cell, samples, _of(cell).forward, _of(cell).values / 3)


def trial_seconds(cell: TrialCell) -> float:
    """Seconds to corrupt, train and score, the network being compiled already."""
    train, test = _images(cell)
    checked = _validation_images(cell, train, test)
    train = (train - (0 if cell.val == "test" else checked)) * cell.repeats
    pixels = _size(cell)
    count = _epochs(cell)
    looking = inference_seconds(cell, checked) + 2e-5 * pixels * checked
    epochs = count * (training_seconds(cell, train) + looking)
    if cell.max_seconds is not None:
        epochs = min(epochs, cell.max_seconds + count * looking)
    epochs += inference_seconds(cell, test)
    noise = (train * (count if cell.refresh else 1) + test + checked) * CORRUPT * pixels
    codes = CODES * (min(train, PROBE_IMAGES) + min(test, PROBE_IMAGES)) if cell.codes else 0.0
    if cell.evaluate == "whole":
        return epochs + noise + codes + _whole_seconds(cell)
    others = max(len(cell.cross_corruptions) - 1, 0)
    cross = others * (test * CROSS * pixels + inference_seconds(cell, test))
    return epochs + noise + codes + cross + test * SCORE * pixels


def _epochs(cell: TrialCell) -> float:
    return cell.epochs * (CONVERGES if cell.until == "converged" else 1.0)


def _validation_images(cell: TrialCell, train: int, test: int) -> int:
    """Images that learning curves are taken on."""
    if cell.val == "test":
        return test
    return convergence.validation_count(train) if cell.val is None else cell.val


def _whole_seconds(cell: TrialCell) -> float:
    """Of scoring whole images: the network is compiled once more, for tiles."""
    images = _whole_images(cell)
    return compiling_seconds(cell.backend) + inference_seconds(cell, math.ceil(TILES * images)) + _scoring_seconds(cell)


def _size(cell: Noised) -> float:
    """Of an image of the cell, that of MNIST being 1."""
    return cell.height * cell.width * cell.channels / PIXELS


def _whole_images(cell: Noised) -> float:
    """How many images of the size of the cell have as many pixels as all whole test images."""
    return (WHOLE_PHOTOS if cell.dataset == "photos" else WHOLE_FOLDER) / (cell.height * cell.width)


def _scoring_seconds(cell: Noised) -> float:
    """To corrupt whole images, and score them before and after."""
    return _whole_images(cell) * _size(cell) * (CORRUPT + 2 * SCORE)


def yardsticks_seconds(cells: Sequence[YardstickCell]) -> float:
    """Seconds of all: images and their noise once, that of all training images and the linear optimum's decomposition
    once for all its ranks."""
    seconds = sum(map(yardstick_seconds, cells))
    for cell in {cell.noise: cell for cell in cells}.values():
        test = _images(cell)[1]
        seconds += test * (CORRUPT + SCORE) * _size(cell)
    linear = {cell.noise: cell for cell in cells if cell.rank is not None}
    every = linear | {cell.noise: cell for cell in cells if cell.evaluate == "whole"}
    seconds += sum(_images(cell)[0] * CORRUPT * _size(cell) for cell in every.values())
    return seconds + sum(map(_decompose_seconds, linear.values()))


def yardstick_seconds(cell: YardstickCell) -> float:
    """Seconds to calibrate, denoise and score, the noisy images being there."""
    calibrate, each = YARDSTICKS.get(cell.method.removesuffix("-tone"), OTHER_YARDSTICK)
    if cell.evaluate == "whole":
        return calibrate + _whole_images(cell) * each * _size(cell) + _scoring_seconds(cell)
    return calibrate + _images(cell)[1] * (each + SCORE) * _size(cell)


def _decompose_seconds(cell: YardstickCell) -> float:
    size = min(cell.height * cell.width * cell.channels, LARGEST, _images(cell)[0])
    return DECOMPOSE * (size / PIXELS) ** 3


def _images(cell: Noised) -> tuple[int, int]:
    """Training and test images."""
    unknown = WHOLE_PATCHES if cell.evaluate == "whole" else (TRAIN_IMAGES, TEST_IMAGES)
    all_train, all_test = _sizes().get(cell.dataset, unknown)
    return cell.train or all_train, cell.test or all_test


def certificate_seconds(cell: CertificateCell) -> float:
    """Seconds of one certificate, its framework being there already."""
    arithmetic = 2 * training_seconds(cell, CERTIFICATE_STEPS * cell.batch_size)
    return CERTIFICATE.get(cell.backend, OTHER_SECONDS) + arithmetic


def session_seconds(session: Session) -> float:
    """Seconds of all rounds: one process starts after another, and one is measured at a time."""
    processes = {(cell.backend, cell.track) for cell in session.cells}
    imports = sum(IMPORT.get(backend, OTHER_SECONDS) for backend, _ in processes)
    if session.starts_together:
        imports /= 1 + PARALLEL_EFFICIENCY
    measured = session.rounds * (imports + workload_seconds(session, session.cells))
    return measured + AUDIT_SECONDS * len(processes) * session.audit


def workload_seconds(session: Session, cells: Sequence[TimingCell]) -> float:
    """Seconds of ``cells`` of the session in one round, their processes being there."""
    seconds = sum(COMPILE.get(cell.backend, OTHER_SECONDS) for cell in cells)
    if session.starts_together:
        seconds /= 1 + PARALLEL_EFFICIENCY
    for cell in cells:
        staged = _staged(session, cell)
        blocks = max(session.block_seconds, training_seconds(cell, staged))
        if session.inference:
            blocks += max(session.block_seconds, inference_seconds(cell, staged))
        seconds += (session.blocks + WARMUP_BLOCKS) * blocks
        seconds += LATENCY_SECONDS * session.latency + _settle_seconds(session, cell)
        seconds += sum(_resized_seconds(session, cell, size) for size in session.inference_batches)
        seconds += WINDOW_SECONDS * (session.energy and _counts_energy(cell.device))
    return seconds


def _staged(session: Session, cell: Cell) -> int:
    """Samples of an epoch of the session, which is the shortest block."""
    return staged_samples(cell.make_architecture(), cell.batch_size, cell.device, cell.threads, session.block_seconds)


def _settle_seconds(session: Session, cell: Cell) -> float:
    samples = _staged(session, cell)
    call = FIT_CALL * (cell.backend.startswith("keras") and cell.track == "idiomatic")
    short = training_seconds(cell, max(samples // SETTLE_SHARE, SETTLE_BATCHES * cell.batch_size)) + call
    # Against the cost of a call the blocks are made longer.
    block = max(short, SETTLE_OVERHEADS * call)
    return min(session.settle_blocks * block, session.settle_blocks * SETTLE_LIMIT * session.block_seconds + block)


def _resized_seconds(session: Session, cell: Cell, size: int) -> float:
    """A new network, its first call, short calls of two batches, and blocks of a pass or more."""
    if size == cell.batch_size or not session.inference:
        return 0.0
    batch = inference_seconds(replace(cell, batch_size=size), size)
    shorts = 2 if SHORT_BATCHES * batch > session.block_seconds else SHORT_CALLS + 1
    calls = RESIZED_BATCHES[0] + SHORT_BATCHES * shorts
    blocks = RESIZED_BLOCKS * max(session.block_seconds, RESIZED_BATCHES[0] * batch)
    return COMPILE.get(cell.backend, OTHER_SECONDS) / 2 + calls * batch + blocks


@cache
def _counts_energy(device: str) -> bool:
    try:
        find_meter(device)
    except EnergyUnavailable:
        return False
    return True
