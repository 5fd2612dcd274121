"""Keras on any engine: what its three backends share, and the idiomatic track.

idiomatic
    ``compile`` and ``fit``, ``predict`` (for what fits into one batch the model is called, as Keras' documentation
    advises), everything else at Keras' defaults: ``jit_compile="auto"``.
tuned
    Each engine's own; see ``keras_tensorflow_adapter``, ``keras_jax_adapter``, ``keras_torch_adapter``.

The engine is read from KERAS_BACKEND when Keras is imported, and its dtype policy freezes at first use: one
process has one engine and one precision.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from implementations.adapter import PRECISIONS, Adapter, Device, Gradients, Setting, Track
from implementations.aligned import aligned
from implementations.architecture import (
    Architecture,
    BatchNorm,
    Conv2D,
    Conv2DTranspose,
    Crop2D,
    Dense,
    Flatten,
    FrozenBatchNorm,
    LeakyReLU,
    MaxPool2D,
    Node,
    Reshape,
    SubtractFromInput,
    UpSampling2D,
)
from implementations.native import named
from implementations.parameters import Array, Weights
from implementations.training import SGD, Adadelta, Adam, Optimizer, Training

if TYPE_CHECKING:
    import keras

# Keras' order of each layer's weights, trainable ones first.
_PLAIN = ("kernel", "bias")
_NORMALISED = ("gamma", "beta", "mean", "variance")


class KerasAdapter(Adapter):
    """Base of the Keras backends; ``engine`` is Keras' own word for it."""

    engine: ClassVar[str]
    devices: ClassVar[tuple[Device, ...]] = ("cpu", "cuda")
    precisions = PRECISIONS
    offers_native = True
    # For wrappers, plots and tables: half of what importing Keras costs where they are installed.
    spared: ClassVar[tuple[str, ...]] = ("sklearn", "matplotlib", "pandas")

    @classmethod
    def environment(cls, setting: Setting) -> dict[str, str]:
        return super().environment(setting) | {"KERAS_BACKEND": cls.engine}

    def configure(self, setting: Setting) -> None:
        self.setting = setting
        self.configure_engine(setting)
        import keras

        if keras.backend.backend() != self.engine:
            raise RuntimeError(
                f"Keras runs on {keras.backend.backend()}, not {self.engine}: was KERAS_BACKEND set too late?"
            )
        keras.config.set_floatx(setting.dtype)
        if setting.precision == "float64":
            _promote_to_float64()

    @abstractmethod
    def configure_engine(self, setting: Setting) -> None:
        """Import the engine and fix its threads, device and precision."""

    def versions(self) -> dict[str, str]:
        import keras

        return {"keras": keras.__version__} | self.engine_versions()

    @abstractmethod
    def engine_versions(self) -> dict[str, str]:
        """Versions of the engine, and the device's name."""

    # -- one network ---------------------------------------------------------------------------------------------

    def build(self, architecture: Architecture, training: Training, track: Track) -> None:
        import keras

        # Without this, layers and graphs of earlier builds stay in Keras' global state.
        keras.utils.clear_session(free_memory=False)
        # Behind it, because it forgets the policy: layers would silently be those of floatx again.
        mixed = self.setting.precision == "bfloat16"
        keras.config.set_dtype_policy("mixed_bfloat16" if mixed else self.setting.dtype)
        architecture.check_loss(training.loss)
        self.training, self.track, self.architecture = training, track, architecture
        nodes = architecture.nodes()
        # Binary cross-entropy is computed from logits, as Keras advises; for MSE the sigmoid is the last activation.
        # Natively it always is: Keras takes outputs for probabilities where nothing is said.
        self.ends_in_logits = training.loss == "bce" and not training.native
        drawn = self.draws_weights or training.native
        layers = [_layer(node, self._without_sigmoid, training.native, drawn, self.kinds()) for node in nodes]
        # The names of the weights, in Keras' order: by layer, its trainable weights first.
        self.owners = [(layer, _names(node)) for node, layer in zip(nodes, layers, strict=True) if _names(node)]
        self.model = _model(architecture, layers, self._last_layers())
        if architecture.encoder:
            code = layers[: len(architecture.encoder)]
            self.encoder = keras.Sequential([keras.Input(architecture.input_shape), *code])
        self.loss = (
            keras.losses.BinaryCrossentropy(from_logits=self.ends_in_logits)
            if training.loss == "bce"
            else keras.losses.MeanSquaredError()
        )
        self.optimizer = (
            make_native_optimizer(training)
            if training.native
            else make_optimizer(training.optimizer, self.setting.dtype)
        )
        self.model.compile(optimizer=self.optimizer, loss=self.loss)
        self.optimizer.build(self.model.trainable_variables)
        self._ordered: tuple[Array, Array] | None = None
        if track == "tuned":
            self.build_tuned(architecture)

    def kinds(self) -> Any:
        """Where ``Dense``, ``Conv2D`` and ``Conv2DTranspose`` are had: Keras' own, unless an engine needs others."""
        from keras import layers

        return layers

    @property
    def _without_sigmoid(self) -> bool:
        """Whether the last layer is to leave its sigmoid out: to the loss, or to :meth:`_last_layers`."""
        return self.ends_in_logits or self.setting.precision == "bfloat16"

    def _last_layers(self) -> list[Any]:
        """In mixed precision the last activation is a layer of its own, in float32, as Keras' guide has it: a sigmoid,
        or nothing but the change of type."""
        if self.setting.precision != "bfloat16" or self.architecture.is_linear:
            return []
        from keras import layers as k

        return [k.Activation("linear" if self.ends_in_logits else "sigmoid", dtype="float32", name="images")]

    @abstractmethod
    def build_tuned(self, architecture: Architecture) -> None:
        """What the tuned track needs beyond the compiled model."""

    def load_weights(self, weights: Weights) -> None:
        for layer, names in self.owners:
            layer.set_weights([weights[f"{layer.name.replace('_', '.')}.{name}"] for name in names])
        for variable in self.optimizer.variables:
            if variable is not self.optimizer._learning_rate:
                variable.assign(np.zeros(variable.shape, variable.dtype))

    def weights(self) -> Weights:
        return {
            f"{layer.name.replace('_', '.')}.{name}": np.array(value)
            for layer, names in self.owners
            for name, value in zip(names, layer.get_weights(), strict=True)
        }

    def initial_weights(self, seed: int) -> Weights:
        import keras

        # Layers made anew: an initialiser takes its seed when it is made, and gives the same values ever after.
        keras.utils.set_random_seed(seed)
        nodes = self.architecture.nodes()
        layers = [_layer(node, self._without_sigmoid, self.training.native) for node in nodes]
        _model(self.architecture, layers)
        return {
            f"{node.name}.{name}": np.array(value, np.float32)
            for node, layer in zip(nodes, layers, strict=True)
            for name, value in zip(_names(node), layer.get_weights(), strict=True)
        }

    def constants(self) -> dict[str, float]:
        from keras import layers as k

        found = {f"optimizer.{name}": value for name, value in asdict(as_specified(self.optimizer)).items()}
        for layer in self.model.layers:
            if isinstance(layer, k.BatchNormalization):
                found |= {"batch_norm.epsilon": layer.epsilon, "batch_norm.momentum": layer.momentum}
            elif isinstance(layer, k.LeakyReLU):
                found["leaky_relu.slope"] = layer.negative_slope
        return found

    def trainable_names(self) -> list[str]:
        """Names of the trainable weights in the order of ``model.trainable_variables``."""
        return [f"{layer.name.replace('_', '.')}.{name}" for layer, names in self.owners for name in names[:2]]

    def parameter_counts(self) -> tuple[int, int]:
        trainable = sum(int(np.prod(weight.shape)) for weight in self.model.trainable_weights)
        return int(self.model.count_params()), trainable

    def stage(self, noisy: Array, clean: Array) -> None:
        self.staged = aligned(noisy, self.setting.dtype), aligned(clean, self.setting.dtype)

    def train_epoch(self, order: NDArray[np.int64]) -> float:
        if self.track == "tuned":
            return self.tuned_epoch(order)
        # ``fit`` shuffles by an order of its own; ours is laid out for it.  Into the same memory every epoch: fresh
        # pages would cost more than the copy.
        if self._ordered is None or len(self._ordered[0]) != len(order):
            self._ordered = tuple(np.empty((len(order), *part.shape[1:]), part.dtype) for part in self.staged)  # type: ignore[assignment]
        assert self._ordered is not None
        for part, target in zip(self.staged, self._ordered, strict=True):
            np.take(part, order, axis=0, out=target, mode="clip")
        history = self.model.fit(*self._ordered, batch_size=self.training.batch_size, shuffle=False, verbose=0)
        return float(history.history["loss"][0])

    @abstractmethod
    def tuned_epoch(self, order: NDArray[np.int64]) -> float:
        """``train_epoch`` of the tuned track."""

    def reconstruct(self, noisy: Array) -> Array:
        import keras

        noisy = np.asarray(noisy, self.setting.dtype)
        if self.track == "tuned":
            return self.tuned_reconstruct(noisy)
        if len(noisy) <= self.training.batch_size:
            output = self.model(keras.ops.convert_to_tensor(noisy), training=False)
        else:
            output = keras.ops.convert_to_tensor(
                self.model.predict(noisy, batch_size=self.training.batch_size, verbose=0)
            )
        return self._images(output)

    @abstractmethod
    def tuned_reconstruct(self, noisy: Array) -> Array:
        """``reconstruct`` of the tuned track."""

    def _images(self, output: Any) -> Array:
        """What the model gives -> images in [0, 1], NumPy."""
        import keras

        return np.array(keras.ops.convert_to_numpy(keras.ops.sigmoid(output) if self.ends_in_logits else output))

    def encode(self, images: Array) -> Array:
        self.architecture.check_code()
        codes = self.encoder.predict(
            np.asarray(images, self.setting.dtype), batch_size=self.training.batch_size, verbose=0
        )
        return np.asarray(codes, self.setting.dtype).reshape(len(images), -1)

    def gradients(self, noisy: Array, clean: Array) -> Gradients:
        import keras

        kept = [np.array(keras.ops.convert_to_numpy(variable)) for variable in self.model.non_trainable_variables]
        output, loss, gradients = self.differentiate(
            np.asarray(noisy, self.setting.dtype), np.asarray(clean, self.setting.dtype)
        )
        for variable, value in zip(self.model.non_trainable_variables, kept, strict=True):
            variable.assign(value)  # the forward pass moved the statistics
        named = dict(zip(self.trainable_names(), gradients, strict=True))
        return Gradients(self._images(keras.ops.convert_to_tensor(output)), loss, named)

    @abstractmethod
    def differentiate(self, noisy: Array, clean: Array) -> tuple[Array, float, list[Array]]:
        """(output in training mode, loss, gradients of the trainable variables), differentiated by the engine."""


def _names(node: Node) -> tuple[str, ...]:
    match node.layer:
        case Dense() | Conv2D() | Conv2DTranspose():
            return _PLAIN
        case BatchNorm():
            return _NORMALISED
    return ()


def _model(architecture: Architecture, layers: list[Any], last: Sequence[Any] = ()) -> keras.Model:
    """A chain of layers; one that goes back to its input is a model of the functional kind.  ``last``: what follows
    the layers of the architecture."""
    import keras

    given = keras.Input(architecture.input_shape)
    if not architecture.is_linear:
        return keras.Sequential([given, *layers, *last])
    *chain, subtract = layers
    noise = given
    for layer in chain:
        noise = layer(noise)
    return keras.Model(given, subtract([given, noise]))


def _layer(node: Node, without_sigmoid: bool, native: bool, drawn: bool = True, kinds: Any = None) -> Any:
    """The Keras layer; ``without_sigmoid`` leaves the sigmoid out, ``native`` what the specification does not name.
    Its kernel begins with zeros unless it is ``drawn``.  ``kinds``: see :meth:`KerasAdapter.kinds`."""
    import keras
    from keras import layers as k

    kinds = kinds or k
    name = node.name.replace(".", "_")
    layer = node.layer
    kernels = "glorot_uniform" if drawn else "zeros"  # the former is Keras' default
    activation = getattr(layer, "activation", None)
    if activation == "sigmoid" and without_sigmoid:
        activation = None
    match layer:
        case FrozenBatchNorm() if native:
            return _frozen_batch_norm()(name=name, **named(layer))
        case BatchNorm() if native:
            return k.BatchNormalization(name=name, **named(layer))
        case LeakyReLU() if native:
            return k.LeakyReLU(*named(layer).values(), name=name)
        case Flatten():
            return k.Flatten(name=name)
        case Reshape(shape=shape):
            return k.Reshape(shape, name=name)
        case Dense(units=units):
            return kinds.Dense(units, activation=activation, kernel_initializer=kernels, name=name)
        case Conv2D(filters=filters, kernel=size, stride=stride, padding=padding):
            return kinds.Conv2D(
                filters, size, stride, padding, activation=activation, kernel_initializer=kernels, name=name
            )
        case Conv2DTranspose(filters=filters, kernel=size, stride=stride, padding=padding):
            return kinds.Conv2DTranspose(
                filters, size, stride, padding, activation=activation, kernel_initializer=kernels, name=name
            )
        case MaxPool2D(size=size, padding=padding):
            return k.MaxPooling2D(size, padding=padding, name=name)
        case UpSampling2D(size=size):
            return k.UpSampling2D(size, name=name)
        case Crop2D(height=height, width=width):
            h, w, _ = node.input_shape
            return k.Cropping2D(((0, h - height), (0, w - width)), name=name)
        case FrozenBatchNorm(epsilon=epsilon):
            return _frozen_batch_norm()(epsilon=epsilon, name=name)
        case BatchNorm(momentum=momentum, epsilon=epsilon):
            return k.BatchNormalization(momentum=momentum, epsilon=epsilon, name=name)
        case LeakyReLU(slope=slope):
            return k.LeakyReLU(slope, name=name)
        case SubtractFromInput():
            # In the type that is kept: the input is no product.
            return k.Subtract(name=name, dtype=keras.config.floatx())
    raise TypeError(f"not a layer: {layer!r}")


@cache
def _frozen_batch_norm() -> Any:
    """The class, which can only be made when Keras is there.  ``trainable=False`` would freeze gamma and beta too."""
    from keras import layers

    class FrozenBatchNormalization(layers.BatchNormalization):  # type: ignore[misc]
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            return super().call(inputs, training=False, mask=mask)

    return FrozenBatchNormalization


def make_optimizer(optimizer: Optimizer, dtype: str) -> keras.optimizers.Optimizer:
    """Keras' own formulas are the specification's; only float64 needs help (see :func:`_promote_to_float64`)."""
    import keras

    # On TensorFlow a Python float is taken through float32 first (0.9 becomes 0.8999999761...); np.float64 is not.
    exact: Any = np.float64 if dtype == "float64" else float
    match optimizer:
        case Adam(learning_rate=rate, beta1=beta1, beta2=beta2, epsilon=epsilon):
            return keras.optimizers.Adam(rate, beta_1=exact(beta1), beta_2=exact(beta2), epsilon=epsilon)
        case Adadelta(learning_rate=rate, rho=rho, epsilon=epsilon):
            return keras.optimizers.Adadelta(rate, rho=rho, epsilon=epsilon)
        case SGD(learning_rate=rate, momentum=momentum):
            return keras.optimizers.SGD(rate, momentum=exact(momentum))
    raise TypeError(f"not an optimizer: {optimizer!r}")


def make_native_optimizer(training: Training) -> keras.optimizers.Optimizer:
    """Keras' optimizer as it comes, but for the constants that ``training`` names."""
    import keras

    kinds = {Adam: keras.optimizers.Adam, Adadelta: keras.optimizers.Adadelta, SGD: keras.optimizers.SGD}
    theirs = {"beta1": "beta_1", "beta2": "beta_2"}
    return kinds[type(training.optimizer)](**{theirs.get(name, name): value for name, value in training.given.items()})


def as_specified(optimizer: keras.optimizers.Optimizer) -> Optimizer:
    """The constants that an optimizer of Keras has, as it says itself."""
    import keras

    # Keras keeps the rate as a float32: 0.001 and not 0.0010000000474974513.
    rate = float(str(np.float32(keras.ops.convert_to_numpy(optimizer.learning_rate))))
    match optimizer:
        case keras.optimizers.Adam(beta_1=beta1, beta_2=beta2, epsilon=epsilon):
            return Adam(rate, float(beta1), float(beta2), float(epsilon))
        case keras.optimizers.Adadelta(rho=rho, epsilon=epsilon):
            return Adadelta(rate, float(rho), float(epsilon))
        case keras.optimizers.SGD(momentum=momentum):
            return SGD(rate, float(momentum))
    raise TypeError(f"not an optimizer of the specification: {optimizer!r}")


def _promote_to_float64() -> None:
    """Mend what keeps Keras 3 from computing in float64 off TensorFlow when it was asked to: its table of promotions
    makes float64 float32, in ``ops.mean``, ``ops.var``, batch normalisation.

    A private name, so it is touched only where it is there, and float64 is for certificates alone.
    """
    try:
        from keras.src.backend.common import dtypes

        if dtypes.BIT64_TO_BIT32_DTYPE.get("float64") == "float32":
            dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    except (ImportError, AttributeError):
        pass
