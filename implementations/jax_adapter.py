"""JAX without Keras: the network as pure functions (:mod:`implementations.jax_network`).

idiomatic
    What JAX's own tutorials show: a Python loop over batches of NumPy arrays, and one jitted step that differentiates
    and updates.
tuned
    The data on the device and an epoch as one compiled program: a loop over gathered batches, the state donated.  On a
    CPU XLA's convolutions use no library inside a loop: networks with convolutions are trained in steps there, or,
    where transposed ones have many channels, as products of gathered windows; and XLA is asked to compile them quickly
    (:func:`implementations.jax_device.quick_compilation`).  Memory is kept from step to step
    (:mod:`implementations.heap`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from implementations import jax_device, native
from implementations.adapter import PRECISIONS, Adapter, Compiles, Device, Gradients, Setting, Track
from implementations.aligned import aligned
from implementations.architecture import Architecture, BatchNorm, Conv2DTranspose, LeakyReLU, is_trainable
from implementations.epochs import loss_shape, room, with_room
from implementations.heap import keep_freed_memory
from implementations.parameters import Array, Weights
from implementations.training import Training

if TYPE_CHECKING:
    import jax

    from implementations.jax_network import Convolve

    State = tuple[dict[str, jax.Array], dict[str, jax.Array], dict[str, jax.Array], dict[str, jax.Array]]


WIDE_SPREAD = 512
"""Channels in times channels out of a transposed convolution: conv and bn have this and more, strided has 128."""


class Jax(Adapter):
    """The backend ``jax``."""

    name = "jax"
    packages = ("jax", "jaxlib")
    library = "jax"
    keeps_memory = True
    precisions = PRECISIONS
    sources = (
        "implementations.jax_network",
        "implementations.jax_device",
        "implementations.epochs",
        "implementations.heap",
        "implementations.native",
    )
    offers_native = True

    @classmethod
    def environment(cls, setting: Setting) -> dict[str, str]:
        return super().environment(setting) | jax_device.environment(setting)

    def configure(self, setting: Setting) -> None:
        jax_device.configure(setting)
        self.setting = setting

    def availability(self, device: Device) -> str | None:
        return jax_device.why_unavailable(device)

    def versions(self) -> dict[str, str]:
        return jax_device.versions(self.setting)

    # -- one network ---------------------------------------------------------------------------------------------

    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        import jax
        import jax.numpy as jnp

        from implementations import jax_network as network

        architecture.check_loss(training.loss)
        if track == "tuned" and self.setting.device == "cpu":
            keep_freed_memory()
        optimizer = training.optimizer
        if training.native:  # there are no layers or optimizers that could have defaults: those of flax and optax
            architecture, optimizer = native.architecture(architecture, "jax"), native.optimizer(training, "jax")
        self.architecture, self.training, self.track, self.optimizer = architecture, training, track, optimizer
        size, linear, corrected = training.batch_size, architecture.is_linear, training.native
        convolve, self._whole_epochs = self._training_path()
        coarse = "bfloat16" if self.setting.precision == "bfloat16" else None
        shape = loss_shape(architecture) if track == "tuned" else (-1, *architecture.input_shape)

        def loss_by(convolve: Convolve) -> Callable[..., Any]:
            def loss_of(trainable: Any, fixed: Any, noisy: Any, clean: Any) -> Any:
                output, moved = network.apply(
                    architecture,
                    {**trainable, **fixed},
                    noisy,
                    training=True,
                    convolve=convolve,
                    product_dtype=coarse,
                )
                value = network.mean_loss(training.loss, output.reshape(shape), clean.reshape(shape), linear=linear)
                return value, (moved, output)

            found: Callable[..., Any] = jax.value_and_grad(loss_of, has_aux=True)
            return found

        def step_by(differentiate: Callable[..., Any]) -> Callable[..., Any]:
            def step(state: Any, noisy: Any, clean: Any, scale: Any) -> Any:
                trainable, fixed, first, second = state
                (value, (moved, _)), gradients = differentiate(trainable, fixed, noisy, clean)
                new = {
                    name: network.update(
                        optimizer, weight, gradients[name], first[name], second[name], scale, corrected=corrected
                    )
                    for name, weight in trainable.items()
                }
                parts = tuple({name: parts[index] for name, parts in new.items()} for index in range(3))
                return (parts[0], {**fixed, **moved}, parts[1], parts[2]), value

            return step

        differentiate = loss_by(convolve)
        step = step_by(differentiate)

        def epoch(state: Any, noisy: Any, clean: Any, order: Any, scales: Any, batches: Any) -> Any:
            def body(index: Any, carry: Any) -> Any:
                state, total = carry
                rows = jax.lax.dynamic_slice_in_dim(order, index * size, size)
                state, value = step(state, noisy[rows], clean[rows], scales[index])
                return state, total + value

            return jax.lax.fori_loop(0, batches, body, (state, jnp.zeros((), noisy.dtype)))

        def forward(trainable: Any, fixed: Any, noisy: Any) -> Any:
            weights = {**trainable, **fixed}
            output, _ = network.apply(architecture, weights, noisy, training=False, product_dtype=coarse)
            return output if linear else jax.nn.sigmoid(output)

        def code(trainable: Any, fixed: Any, images: Any) -> Any:
            return network.encode(architecture, {**trainable, **fixed}, images, coarse)

        # Beside a loop there is one step an epoch, that of a smaller last batch: the library's is compiled in half the
        # time of that by products, and quickly.
        alone = step_by(loss_by("library")) if self._whole_epochs else step
        quick = jax_device.quick_compilation(self.setting)
        tuned = quick if track == "tuned" else {}
        self._step = jax.jit(alone, donate_argnums=0, **tuned)
        self._epoch = jax.jit(epoch, donate_argnums=0, **(tuned if architecture.is_convolutional else {}))
        self._forward = jax.jit(forward)
        # Not timed, and run a few times at most.
        self._differentiate = jax.jit(differentiate, **quick)
        self._code = jax.jit(code, **quick)

    @property
    def compiles(self) -> Compiles:
        return "epoch" if self._whole_epochs else "step"

    def _training_path(self) -> tuple[Convolve, bool]:
        """(how convolutions are trained, whether an epoch is one program).

        By measurement on one core of an EPYC with AVX-512, batches of 128, three turns of each, images/s in steps by
        the library / in a loop by products: conv 708 / 886, bn 353 / 446; strided 1,989 / 1,069, conv-small 2,112 /
        1,156, conv-latif 532 / 402 (scatter 1 to 15 %).  The library is slow where many channels are spread."""
        if self.track == "idiomatic":
            return "library", False
        if self.setting.device != "cpu" or not self.architecture.is_convolutional:
            return "library", True
        nodes = [node for node in self.architecture.nodes() if isinstance(node.layer, Conv2DTranspose)]
        if any(node.input_shape[-1] * node.output_shape[-1] >= WIDE_SPREAD for node in nodes):
            return "products", True
        return "library", False

    def load_weights(self, weights: Weights) -> None:
        import jax.numpy as jnp

        from implementations import jax_network as network

        # Copies, because the compiled programs consume the state that they are given.
        here = {name: jnp.array(value, self.setting.dtype) for name, value in weights.items()}
        trainable = {name: value for name, value in here.items() if is_trainable(name)}
        fixed = {name: value for name, value in here.items() if not is_trainable(name)}
        self._state: State = (trainable, fixed, *network.start(trainable))
        self._steps = 0

    def weights(self) -> Weights:
        known = {**self._state[0], **self._state[1]}
        return {name: np.array(known[name]) for name in self.architecture.parameter_shapes()}

    def initial_weights(self, seed: int) -> Weights:
        from implementations import jax_network as network

        return network.initial_weights(self.architecture, seed)

    def constants(self) -> dict[str, float]:
        found = {f"optimizer.{name}": float(value) for name, value in asdict(self.optimizer).items()}
        for node in self.architecture.nodes():
            match node.layer:
                case BatchNorm(momentum=momentum, epsilon=epsilon):
                    found |= {"batch_norm.momentum": momentum, "batch_norm.epsilon": epsilon}
                case LeakyReLU(slope=slope):
                    found["leaky_relu.slope"] = slope
        return found

    def parameter_counts(self) -> tuple[int, int]:
        trainable, fixed = (sum(value.size for value in part.values()) for part in self._state[:2])
        return trainable + fixed, trainable

    def stage(self, noisy: Array, clean: Array) -> None:
        import jax

        self._arrays = noisy, clean
        if self._whole_epochs:
            # On a CPU where they lie, if they are aligned.
            self._tensors = tuple(jax.device_put(aligned(part, self.setting.dtype)) for part in self._arrays)

    def train_epoch(self, order: NDArray[np.int64]) -> float:
        from implementations import jax_network as network

        size = self.training.batch_size
        steps = -(-len(order) // size)
        scales = network.scales(self.optimizer, self._steps, steps, corrected=self.training.native)
        scales = scales.astype(self.setting.dtype)
        self._steps += steps
        whole = len(order) // size * size if self._whole_epochs else 0
        total = 0.0
        if whole:
            total += self._whole_batches(order[:whole].astype(np.int32), scales[: whole // size]) * size
        values = []
        for index, start in enumerate(range(whole, len(order), size), whole // size):
            rows = order[start : start + size]
            noisy, clean = (part[rows] for part in self._arrays)
            self._state, value = self._step(self._state, noisy, clean, scales[index])
            values.append((value, len(rows)))
        return (total + sum(float(value) * count for value, count in values)) / len(order)

    def _whole_batches(self, order: NDArray[np.int32], scales: Array) -> float:
        """Train on full batches in one program; the sum of their losses."""
        batches = len(scales)
        places = with_room(order, self.training.batch_size)
        steps = np.zeros((room(batches), *scales.shape[1:]), scales.dtype)
        steps[:batches] = scales
        self._state, total = self._epoch(self._state, *self._tensors, places, steps, batches)
        return float(total)

    def _batches(self, function: Any, images: Array) -> Array:
        """A smaller last batch is filled up: another size would be compiled anew."""
        size, outputs = self.training.batch_size, []
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            missing = (size - len(batch)) * (start > 0)
            if missing:
                batch = np.concatenate([batch, np.zeros((missing, *batch.shape[1:]), batch.dtype)])
            outputs.append(function(*self._state[:2], batch)[: size - missing])
        return np.concatenate([np.asarray(output) for output in outputs])

    def reconstruct(self, noisy: Array) -> Array:
        return self._batches(self._forward, noisy)

    def encode(self, images: Array) -> Array:
        self.architecture.check_code()
        return self._batches(self._code, images)

    def gradients(self, noisy: Array, clean: Array) -> Gradients:
        import jax

        (loss, (_, output)), gradients = self._differentiate(*self._state[:2], noisy, clean)
        images = output if self.architecture.is_linear else jax.nn.sigmoid(output)
        return Gradients(np.array(images), float(loss), {name: np.array(g) for name, g in gradients.items()})

    def synchronize(self) -> None:
        jax_device.synchronize(getattr(self, "_state", None))

    def peak_device_memory(self) -> int | None:
        return jax_device.peak_memory(self.setting)

    def matrix_products(self, size: int) -> Callable[[int], None] | None:
        return jax_device.matrix_products(self.setting, size)
