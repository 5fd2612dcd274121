"""Keras on JAX; see :mod:`implementations.keras_adapter` for the idiomatic track.

tuned
    Keras' stateless calls in compiled programs with donated state.  Dense networks: one program an epoch, a loop over
    gathered batches.  Convolutional ones on CPU: one program a step, because XLA's convolutions inside a loop run
    there without the library that they use outside; and XLA is asked to compile these quickly
    (:func:`implementations.jax_device.quick_compilation`).  Memory is kept from step to step
    (:mod:`implementations.heap`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from implementations import jax_device
from implementations.adapter import Compiles, Device, Setting
from implementations.architecture import Architecture
from implementations.epochs import loss_shape, with_room
from implementations.heap import keep_freed_memory
from implementations.keras_adapter import KerasAdapter
from implementations.parameters import Array, Weights


class KerasJax(KerasAdapter):
    """The backend ``keras[jax]``."""

    name = "keras[jax]"
    engine = "jax"
    packages = ("keras", "jax", "jaxlib")
    library = "jax"
    keeps_memory = True
    sources = ("implementations.jax_device", "implementations.epochs", "implementations.heap")

    @classmethod
    def environment(cls, setting: Setting) -> dict[str, str]:
        return super().environment(setting) | jax_device.environment(setting)

    def configure_engine(self, setting: Setting) -> None:
        jax_device.configure(setting)

    def availability(self, device: Device) -> str | None:
        return jax_device.why_unavailable(device)

    def engine_versions(self) -> dict[str, str]:
        return jax_device.versions(self.setting)

    def build_tuned(self, architecture: Architecture) -> None:
        import jax
        import jax.numpy as jnp

        if self.setting.device == "cpu":
            keep_freed_memory()
        model, loss, optimizer, batch_size = self.model, self.loss, self.optimizer, self.training.batch_size

        shape = loss_shape(architecture)

        def loss_of(trainable: Any, other: Any, noisy: Any, clean: Any) -> Any:
            output, other = model.stateless_call(trainable, other, noisy, training=True)
            return loss(clean.reshape(shape), output.reshape(shape)), other

        differentiate = jax.value_and_grad(loss_of, has_aux=True)

        def step(state: Any, noisy: Any, clean: Any) -> Any:
            trainable, other, moments = state
            (value, other), gradients = differentiate(trainable, other, noisy, clean)
            trainable, moments = optimizer.stateless_apply(moments, gradients, trainable)
            return value, (trainable, other, moments)

        def epoch(state: Any, noisy: Any, clean: Any, order: Any, batches: Any) -> Any:
            def body(index: Any, carry: Any) -> Any:
                total, state = carry
                rows = jax.lax.dynamic_slice_in_dim(order, index * batch_size, batch_size)
                value, state = step(state, noisy[rows], clean[rows])
                return total + value, state

            return jax.lax.fori_loop(0, batches, body, (jnp.zeros((), noisy.dtype), state))

        def forward(trainable: Any, other: Any, noisy: Any) -> Any:
            output, _ = model.stateless_call(trainable, other, noisy, training=False)
            return jax.nn.sigmoid(output) if self.ends_in_logits else output

        whole_epochs = self.setting.device != "cpu" or not architecture.is_convolutional
        quick = jax_device.quick_compilation(self.setting)
        looped = quick if architecture.is_convolutional else {}
        self._epoch = jax.jit(epoch, donate_argnums=0, **looped) if whole_epochs else None
        self._step = jax.jit(step, donate_argnums=0, **quick)  # of dense networks only the smaller last batch
        self._forward = jax.jit(forward)
        self._state: Any = None

    @property
    def compiles(self) -> Compiles:
        return "epoch" if self.track == "tuned" and self._epoch is not None else "step"

    def load_weights(self, weights: Weights) -> None:
        # Copies: on a CPU, JAX may go on using the very memory of an array that it is given.
        super().load_weights({name: np.array(value) for name, value in weights.items()})
        if self.track == "tuned":
            import jax.numpy as jnp

            # Copies, because the compiled programs consume the state that they are given.
            self._state = tuple(
                [jnp.array(variable.value) for variable in variables]
                for variables in (
                    self.model.trainable_variables,
                    self.model.non_trainable_variables,
                    self.optimizer.variables,
                )
            )

    def weights(self) -> Weights:
        if self.track == "tuned":
            for variables, values in zip(
                (self.model.trainable_variables, self.model.non_trainable_variables), self._state[:2], strict=True
            ):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(np.array(value))
        return super().weights()

    def stage(self, noisy: Array, clean: Array) -> None:
        import jax

        super().stage(noisy, clean)
        if self.track == "tuned" and self._epoch is not None:
            # On a CPU where they lie: they are aligned.
            self._tensors = tuple(jax.device_put(part) for part in self.staged)

    def tuned_epoch(self, order: NDArray[np.int64]) -> float:
        size = self.training.batch_size
        whole = len(order) // size * size
        total = self._whole_batches(order[:whole].astype(np.int32)) * size if whole else 0.0
        if whole < len(order):
            noisy, clean = self.staged
            value, self._state = self._step(self._state, noisy[order[whole:]], clean[order[whole:]])
            total += float(value) * (len(order) - whole)
        return total / len(order)

    def _whole_batches(self, order: NDArray[np.int32]) -> float:
        """Train on full batches; the sum of their losses."""
        size = self.training.batch_size
        batches = len(order) // size
        if self._epoch is None:
            noisy, clean = self.staged
            values = []
            for start in range(0, len(order), size):
                rows = order[start : start + size]
                value, self._state = self._step(self._state, noisy[rows], clean[rows])
                values.append(value)
            return float(sum(values))
        total, self._state = self._epoch(self._state, *self._tensors, with_room(order, size), batches)
        return float(total)

    def tuned_reconstruct(self, noisy: Array) -> Array:
        size = self.training.batch_size
        trainable, other, _ = self._state
        outputs = [self._forward(trainable, other, noisy[start : start + size]) for start in range(0, len(noisy), size)]
        return np.concatenate([np.asarray(output) for output in outputs])

    def encode(self, images: Array) -> Array:
        self.weights()  # brings the model up to date
        return super().encode(images)

    def differentiate(self, noisy: Array, clean: Array) -> tuple[Array, float, list[Array]]:
        import jax

        def loss_of(trainable: Any) -> Any:
            others = [variable.value for variable in self.model.non_trainable_variables]
            output, _ = self.model.stateless_call(trainable, others, noisy, training=True)
            return self.loss(clean, output), output

        trainable = [variable.value for variable in self.model.trainable_variables]
        quick = jax_device.quick_compilation(self.setting)
        differentiate = jax.jit(jax.value_and_grad(loss_of, has_aux=True), **quick)
        (loss, output), gradients = differentiate(trainable)
        return np.array(output), float(loss), [np.array(gradient) for gradient in gradients]

    def synchronize(self) -> None:
        if self.track == "tuned":
            jax_device.synchronize(getattr(self, "_state", None))
        else:
            jax_device.synchronize([variable.value for variable in (*self.model.variables, *self.optimizer.variables)])

    def peak_device_memory(self) -> int | None:
        return jax_device.peak_memory(self.setting)

    def matrix_products(self, size: int) -> Callable[[int], None] | None:
        return jax_device.matrix_products(self.setting, size)
