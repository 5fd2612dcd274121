"""The interface that every backend implements, and how backends are found.

A backend is one file: a subclass of :class:`Adapter`, announced by an entry point of the group
``daebench.backends`` (name: the backend, such as "torch"; value: the class), by the option ``--backend-file`` of the
command line (:mod:`implementations.backend_files`), or by the environment variable which that option sets, and which
worker processes inherit: ``DAEBENCH_BACKENDS="name=module:Class;name=/path/to/file.py:Class;..."``.  The module must
import no framework at its top: it is loaded by programs which only want to know that it is there.

What is inside a timed region is fixed here, by the verb, and no adapter reads a clock, draws noise, shuffles
or scores itself.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import importlib.util
import inspect
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from implementations import source_file
from implementations.architecture import Architecture
from implementations.parameters import Array, Weights
from implementations.training import Training

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11

ENTRY_POINTS = "daebench.backends"
EXTRA_BACKENDS = "DAEBENCH_BACKENDS"

Track = Literal["idiomatic", "tuned"]
Compiles = Literal["nothing", "step", "epoch"]
Device = Literal["cpu", "cuda", "mps"]
Precision = Literal["float32", "float64", "bfloat16", "tf32"]
TRACKS: tuple[Track, ...] = ("idiomatic", "tuned")
DEVICES: tuple[Device, ...] = ("cpu", "cuda", "mps")
PRECISIONS: tuple[Precision, ...] = ("float32", "float64", "bfloat16", "tf32")
"""``bfloat16``: products of matrices and convolutions in bfloat16, weights, optimizer and loss in float32 (mixed
precision, as every framework documents it).  ``tf32``: float32, but for products on an NVIDIA GPU, whose factors are
rounded to the 10 bits of TF32."""
REDUCED: tuple[Precision, ...] = ("bfloat16", "tf32")
"""Those in which products are coarser than the numbers that are kept."""


@dataclass(frozen=True)
class Setting:
    """Where and how a process computes.  One process has one setting: frameworks freeze most of it at import."""

    device: Device = "cpu"
    precision: Precision = "float32"
    threads: int = 1

    @property
    def dtype(self) -> Literal["float32", "float64"]:
        """What images, weights and losses are in: also where products are computed more coarsely."""
        return dtype_of(self.precision)

    @property
    def product_dtype(self) -> Literal["float32", "float64", "bfloat16"]:
        """What the factors of a product are in."""
        return "bfloat16" if self.precision == "bfloat16" else self.dtype


def dtype_of(precision: Precision) -> Literal["float32", "float64"]:
    """See :attr:`Setting.dtype`."""
    return "float64" if precision == "float64" else "float32"


def without_tf32(setting: Setting) -> dict[str, str]:
    """The environment variable by which NVIDIA's libraries leave TF32, another arithmetic than the one that is
    certified, alone; nothing where it is asked for."""
    return {} if setting.precision == "tf32" else {"NVIDIA_TF32_OVERRIDE": "0"}


def why_not_there(precision: Precision, device: Device) -> str | None:
    """Why no backend has this precision on this device, or None."""
    if precision == "tf32" and device != "cuda":
        return f"tf32 is an arithmetic of NVIDIA GPUs: there is none on {device}; use float32 or bfloat16"
    if precision == "bfloat16" and device == "mps":
        return "bfloat16 is there on cpu and cuda alone"
    return None


@dataclass(frozen=True)
class Gradients:
    """Of one batch: the output in training mode (n, h, w, c), after the sigmoid if there is one, the loss, d loss /
    d weight by name."""

    output: Array
    loss: float
    gradients: Weights


class Adapter(ABC):
    """One backend in one process.  Verbs are called in this order: configure, build, load_weights, stage, the rest.

    Images are arrays (n, height, width, channels) of the setting's dtype, and so is all that comes out.
    """

    name: ClassVar[str]
    """The backend, as in the entry point: "torch", "keras[jax]"."""
    packages: ClassVar[tuple[str, ...]]
    """Distributions that must be installed; their versions are facts of every record."""
    sources: ClassVar[tuple[str, ...]] = ()
    """Further modules that the adapter computes with, besides those of its classes."""
    library: ClassVar[str | None] = None
    """What :meth:`matrix_products` multiplies with ("torch"); backends on the same library name the same.  None: it
    has none."""
    tracks: ClassVar[tuple[Track, ...]] = TRACKS
    devices: ClassVar[tuple[Device, ...]] = ("cpu", "cuda")
    precisions: ClassVar[tuple[Precision, ...]] = ("float32", "float64")
    """What it can compute in, on every device that it offers and that has it (:func:`why_not_there`).  Mixed precision
    is something that an adapter does, so one that says nothing does not claim it."""
    offers_native: ClassVar[bool] = False
    """Whether :meth:`build` takes trainings with native defaults (:mod:`implementations.native`), and
    :meth:`initial_weights` and :meth:`constants` are there.  Backends without are unsupported in such cells."""

    spared: ClassVar[tuple[str, ...]] = ()
    """Modules that the framework imports if they are there and that training and inference do without.  Processes whose
    import is no figure, those of certificates and trials, do not let it find them."""

    keeps_memory: ClassVar[bool] = False
    """Whether the tuned track keeps memory on a CPU that threads of the framework's own take
    (:mod:`implementations.heap`): a process for that track alone is started with one arena."""

    draws_weights: bool = True
    """Whether the network that :meth:`build` makes is to have weights that the framework draws, as everybody's has.
    The harness says no where it loads others anyway and what building costs is no figure: an adapter may then save
    the drawing, and need not.  (Keras on JAX compiles a generator for each shape of a kernel: 3 s for dense, 6 for
    conv.)"""

    # -- before any framework is imported ------------------------------------------------------------------------

    @classmethod
    def missing(cls) -> str | None:
        """Why this backend is not installed, or None.  Imports nothing and is cheap."""
        absent = [package for package in cls.packages if not _installed(package)]
        if absent:
            return f"{', '.join(absent)} not installed (pip install {' '.join(absent)})"
        return None

    @classmethod
    def refusal(cls, architecture: Architecture, training: Training) -> str | None:
        """Why this backend can not compute this network with this training ("numpy has no MaxPool2D"), or None.  Such
        cells are recorded as unsupported, with this reason.  Imports nothing and is cheap."""
        return None

    @classmethod
    def environment(cls, setting: Setting) -> dict[str, str]:
        """Environment variables that the process needs before the framework is imported."""
        threads = str(setting.threads)
        # How threads wait for each other is left to OpenMP, which looks for work for a millisecond or so before it
        # sleeps: asleep at once (OMP_WAIT_POLICY=PASSIVE), torch trained dense on two cores 1.4 to 2.1 times slower.
        variables = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        if setting.device == "cpu":
            variables["CUDA_VISIBLE_DEVICES"] = ""
        return variables

    # -- the process ---------------------------------------------------------------------------------------------

    @abstractmethod
    def configure(self, setting: Setting) -> None:
        """Import the framework and fix threads, device and precision.  Its own figure (import)."""

    @abstractmethod
    def availability(self, device: Device) -> str | None:
        """Why this backend can not use ``device`` here, or None.  Called after configure."""

    def versions(self) -> dict[str, str]:
        """Versions of everything that computes: frameworks, CUDA, cuDNN, the device's name.  Those of ``packages`` if
        there is nothing else to be told."""
        return {package: importlib.metadata.version(package) for package in self.packages}

    # -- one network ---------------------------------------------------------------------------------------------

    @abstractmethod
    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        """Make the model and the optimizer, replacing those before.  Its own figure (build).

        All that it makes hangs on attributes of this object: see :meth:`sibling`."""

    @property
    def compiles(self) -> Compiles:
        """What of training the framework compiles, or traces, for the network that was built last: what runs before a
        clock is read, so that training seconds hold no compilation.

        ``nothing``: the first step costs what others cost.  ``step``: something for each size of a batch, whatever the
        number of batches and of staged samples.  ``epoch``: something for each length of an epoch, or for each number
        of staged samples; a whole epoch is trained and thrown away, which is right for everybody and so the default.
        """
        return "epoch"

    @abstractmethod
    def load_weights(self, weights: Weights) -> None:
        """Canonical weights in; the optimizer starts anew (step 0, empty moments).  Not timed."""

    @abstractmethod
    def weights(self) -> Weights:
        """Canonical weights out, copies.  Not timed."""

    def initial_weights(self, seed: int) -> Weights:
        """Canonical weights, float32, as the framework's own layers of this network begin, drawn by its own generator
        from ``seed``: the same whatever was drawn before.  For native defaults, after build; the network itself is
        left as it is, and what it holds is loaded afterwards.  Not timed."""
        raise NotImplementedError(f"{type(self).__name__} offers no native defaults")

    def constants(self) -> dict[str, float]:
        """The constants that the optimizer and the layers of this network really have, as they say themselves:
        "optimizer.epsilon", "batch_norm.momentum" (the share that is kept), "leaky_relu.slope" ...  For native
        defaults, after build."""
        raise NotImplementedError(f"{type(self).__name__} offers no native defaults")

    @abstractmethod
    def stage(self, noisy: Array, clean: Array) -> None:
        """Put the training data where this track wants it, in place of those before.  Its own figure (staging).

        The arrays may be used where they lie (:mod:`implementations.aligned`): until others are staged, they are
        changed only to be staged again."""

    @abstractmethod
    def train_epoch(self, order: NDArray[np.int64]) -> float:
        """**Timed.** Train once over the staged samples ``order`` (n,), in batches of ``training.batch_size``, the
        last one smaller if it must be.  Returns the mean loss over the samples (batches weighted by their size).
        May return before the device has finished: synchronize() closes the region."""

    @abstractmethod
    def reconstruct(self, noisy: Array) -> Array:
        """**Timed.** Denoise in inference mode, in batches of ``training.batch_size``: (n, h, w, c) in and out."""

    @abstractmethod
    def encode(self, images: Array) -> Array:
        """The codes, flattened channels-last: (n, latent_size).  SpecificationError for a network without a bottleneck
        (``architecture.check_code()``).  Not timed."""

    @abstractmethod
    def gradients(self, noisy: Array, clean: Array) -> Gradients:
        """Of one batch, by the framework's own differentiation; weights and moving statistics stay.  Not timed."""

    @abstractmethod
    def synchronize(self) -> None:
        """Wait until the device has done all that was asked of it.  Closes every timed region."""

    def sibling(self) -> Self:
        """Another adapter of this process, configured as this one: a network that it builds leaves that of this one as
        it is.  Not timed."""
        return copy.copy(self)

    def peak_device_memory(self) -> int | None:
        """Largest number of bytes held on the device since build, or None where the framework can not tell."""
        return None

    def matrix_products(self, size: int) -> Callable[[int], None] | None:
        """For the machine's peak: a function that does as many products of two square matrices of ``size`` rows as it
        is told, in the ``product_dtype`` and on the device of the setting, and returns when they are done.  Called
        after configure, without a network.  None where the library is not asked."""
        return None

    def array_copies(self, size: int) -> Callable[[int], None] | None:
        """The same for copies of an array of ``size`` bytes on the device; None on a CPU, where NumPy copies."""
        return None

    @abstractmethod
    def parameter_counts(self) -> tuple[int, int]:
        """The framework's own count: (all, trainable)."""


def _installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


class UnknownBackend(ValueError):
    """The message lists the backends that there are, or says what is wrong with the one that was asked for."""


@dataclass(frozen=True)
class Announcement:
    """A backend that somebody has announced.  ``value``: "module:Class", or "/path/to/file.py:Class"."""

    name: str
    value: str

    def load(self) -> Any:
        """What is announced: a class, if all is well.  Loads its module, but no framework."""
        place, _, attribute = self.value.rpartition(":")
        if source_file.is_path(place):
            return getattr(source_file.load(Path(place)), attribute)
        return importlib.metadata.EntryPoint(self.name, self.value, ENTRY_POINTS).load()


def backends() -> dict[str, Announcement]:
    """All announced backends by name, sorted; nothing is loaded."""
    found = [Announcement(point.name, point.value) for point in importlib.metadata.entry_points(group=ENTRY_POINTS)]
    for announcement in filter(None, os.environ.get(EXTRA_BACKENDS, "").split(";")):
        name, _, value = announcement.partition("=")
        found.append(Announcement(name.strip(), value.strip()))
    return {point.name: point for point in sorted(found, key=lambda point: point.name)}


def adapter_class(backend: str) -> type[Adapter]:
    """The class of ``backend``.  Loads its module, but no framework.  UnknownBackend if nobody announced it, or if what
    was announced can not be loaded or is no complete adapter."""
    points = backends()
    if backend not in points:
        raise UnknownBackend(f"backend {backend!r} is unknown; known are {', '.join(points) or 'none'}")
    try:
        loaded: type[Adapter] = points[backend].load()
    except (Exception, SystemExit) as error:  # somebody else's module: whatever it raises, it is no mistake of ours
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise UnknownBackend(
            f"backend {backend!r}: {points[backend].value} can not be loaded: {told}; mend it, take it out of "
            f"{EXTRA_BACKENDS} (or uninstall the package that announces it), or name other backends"
        ) from error
    if trouble := incomplete(loaded):
        raise UnknownBackend(f"backend {backend!r}: {points[backend].value} {trouble}")
    return loaded


def incomplete(kind: Any) -> str | None:
    """What ``kind`` lacks to be an adapter ("is not a subclass of Adapter"), or None."""
    if not (isinstance(kind, type) and issubclass(kind, Adapter)):
        return "is not a subclass of Adapter"
    if absent := sorted(kind.__abstractmethods__):
        return f"does not define {', '.join(absent)}: every adapter must"
    for attribute in ("name", "packages"):
        if not hasattr(kind, attribute):
            return f"does not say its {attribute}: a class variable of Adapter without a default"
    allowed = {"tracks": TRACKS, "devices": DEVICES, "precisions": PRECISIONS}
    for attribute, known in allowed.items():
        values = getattr(kind, attribute)
        # A lone string is a tuple of letters to everybody else.
        if not isinstance(values, tuple) or not values or not set(values) <= set(known):
            return f"has {attribute} = {values!r}: a tuple is needed of some of {', '.join(known)}"
    if not isinstance(kind.packages, tuple):
        return f"has packages = {kind.packages!r}: a tuple of distributions is needed"
    return None


def source_digest(kind: type[Adapter]) -> str:
    """A hash of the files of an adapter, of the classes it is made of and of its ``sources``: a change of any makes
    old records stale."""
    sha = hashlib.sha256()
    files = [inspect.getfile(part) for part in kind.__mro__ if issubclass(part, Adapter) and part is not Adapter]
    for module in kind.sources:
        found = importlib.util.find_spec(module)
        if found is None or found.origin is None:
            raise ImportError(f"{kind.__name__}.sources names the module {module}, which there is not")
        files.append(found.origin)
    for file in files:
        sha.update(Path(file).read_bytes())
    return sha.hexdigest()[:16]
