"""Translates a generator to the operations that interpreter.js computes."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from gan_blocks import layers
from gan_blocks.layers.convolution import upsampling_kernel

__all__ = ["Recorder"]

_ACTIVATIONS = (
    *("elu", "exponential", "gelu", "hard_sigmoid", "hard_tanh", "leaky_relu"),
    *("mish", "relu", "relu6", "selu", "sigmoid", "silu", "softplus"),
    *("softsign", "tanh"),
)
_LABELS = 1  # The number of the labels among the results.


@dataclasses.dataclass(frozen=True)
class _Value:
    """A result of an operation. Its shape is that of one example."""

    index: int
    shape: tuple[int, ...]


class Recorder:
    """Records the operations of a generator and stores its weights.

    Each operation is a dictionary for JSON. Its inputs are the numbers of
    earlier results: 0 is the latents, 1 is the labels, 2 is the result of the
    first operation.
    """

    def __init__(self) -> None:
        self.operations: list[dict[str, Any]] = []
        self._arrays: list[np.ndarray] = []
        self._size = 0

    @property
    def weights(self) -> bytes:
        """All weights as float16, in the order in which they were stored."""
        return b"".join(array.tobytes() for array in self._arrays)

    def record(
        self, generator: keras.Model, latent_shape: Sequence[int]
    ) -> tuple[int, tuple[int, ...]]:
        """Records a generator; returns the number and shape of its images."""
        inputs = [_Value(0, tuple(latent_shape))]
        for labels in generator.inputs[1:]:
            inputs.append(_Value(_LABELS, tuple(labels.shape[1:])))
        images = self.run(generator, inputs if len(inputs) > 1 else inputs[0])
        return images.index, images.shape

    def store(self, values: Any) -> dict[str, Any]:
        """Stores an array as float16; returns where it is.

        The array is divided by its largest number, so that no number is too
        large or too small for float16.
        """
        array = keras.ops.convert_to_numpy(values).astype("float32").ravel()
        largest = float(np.abs(array).max(initial=0.0))
        if not np.isfinite(largest):
            raise ValueError(
                "The weights of the generator must be finite. Received: "
                "weights with NaN or infinity. The training has diverged. Use "
                "an earlier checkpoint."
            )
        largest = largest or 1.0
        place = {"start": self._size, "size": array.size, "largest": largest}
        self._arrays.append((array / largest).astype("<f2"))
        self._size += array.size
        return place

    def add(
        self,
        op: str,
        inputs: Sequence[_Value],
        shape: Sequence[int],
        **fields: Any,
    ) -> _Value:
        """Adds an operation; returns its result."""
        numbers = [value.index for value in inputs]
        self.operations.append(
            {"op": op, "inputs": numbers, "shape": list(shape), **fields}
        )
        return _Value(len(self.operations) + 1, tuple(shape))

    def run(self, layer: Any, *inputs: Any, **options: Any) -> _Value:
        """Records a layer, a model or an operation of Keras."""
        name, module = type(layer).__name__, type(layer).__module__
        rules = _LAYERS if isinstance(layer, keras.Layer) else _OPERATIONS
        # A subclass in another package may compute something else.
        if module.split(".")[0] not in ("keras", "gan_blocks") or (
            name not in rules
        ):
            raise _error(layer, "A page cannot compute this kind of layer")
        values = keras.tree.flatten(inputs)
        if name not in _FOR_LABELS and any(
            getattr(value, "index", None) == _LABELS for value in values
        ):
            raise _error(layer, "A page can only embed labels")
        if getattr(layer, "data_format", None) == "channels_first":
            raise _error(layer, 'Its data format is "channels_first"')
        return rules[name](self, layer, *inputs, **options)

    def run_all(self, stack: Sequence[keras.Layer], value: _Value) -> _Value:
        """Records layers that run one after another."""
        for layer in stack:
            value = self.run(layer, value)
        return value

    def activate(
        self, value: _Value, activation: Any, layer: Any, *numbers: float | None
    ) -> _Value:
        """Records an activation function with its numbers."""
        name = activation
        if not isinstance(name, str):
            name = keras.activations.serialize(activation)
        if name == "linear":
            return value
        if name not in _ACTIVATIONS:
            raise _error(layer, f"A page cannot compute its activation {name}")
        return self.add(
            "activation", [value], value.shape, name=name, numbers=numbers
        )

    def scale(self, value: _Value, scale: Any, offset: Any) -> _Value:
        """Records a multiplication and an addition along the last axes."""
        places = {"scale": self.store(scale), "offset": self.store(offset)}
        return self.add("affine", [value], value.shape, **places)


def _error(layer, reason):
    return ValueError(
        "`gan` must have a generator whose layers a page can compute. "
        f"{reason}. Received: layer {layer.name!r} of type "
        f"{type(layer).__name__}. To use this generator in other programs, "
        "run `gan_blocks export`."
    )


def _sequential(recorder, layer, value):
    return recorder.run_all(layer.layers, value)


def _resize(recorder, block, value):
    """Records resizing and convolution in one, which computes faster."""
    if not block._can_join():
        return _sequential(recorder, block, value)
    _, convolution, *others = block.layers
    kernel = upsampling_kernel(convolution.kernel, block.strides)
    transposed = layers.Conv2DTranspose(
        block.filters,
        kernel.shape[:2],
        block.strides,
        "same",
        data_format="channels_last",
        use_bias=convolution.use_bias,
    )
    transposed.build((None, *value.shape))
    transposed.set_weights([kernel, *convolution.get_weights()[1:]])
    return recorder.run_all([transposed, *others], value)


def _functional(recorder, layer, *inputs):
    def record(operation):
        # Keywords are arguments such as `training`.
        return lambda *inputs, **_: recorder.run(operation, *inputs)

    return layer._run_through_graph(list(inputs), record)


def _same(recorder, layer, value):
    return value


def _reshape(recorder, layer, value):
    shape = layer.compute_output_shape((None, *value.shape))
    return _Value(value.index, tuple(shape[1:]))


def _dense(recorder, layer, value, kernel=None):
    kernel = layer.kernel if kernel is None else kernel
    output = recorder.add(
        "dense",
        [value],
        (*value.shape[:-1], layer.units),
        columns=layer.units,
        kernel=recorder.store(kernel),
        bias=recorder.store(layer.bias) if layer.use_bias else None,
    )
    return recorder.activate(output, layer.activation, layer)


def _convolution(recorder, layer, value, kernel=None):
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    for name, plain in (
        ("groups", (1, None)),
        ("dilation_rate", ((1, 1),)),
        ("output_padding", (None,)),
    ):
        if getattr(layer, name, plain[0]) not in plain:
            raise _error(layer, f"A page cannot compute its `{name}`")
    kernel = layer.kernel if kernel is None else kernel
    kernel = keras.ops.convert_to_numpy(kernel)
    shape = layer.compute_output_shape((None, *value.shape))[1:]
    if transposed:
        # The rows are the input channels.
        kernel = kernel.reshape(-1, kernel.shape[-1]).T
    padding = (0, 0)
    if layer.padding == "same":
        # In a transposed convolution, the roles of the two sides change.
        small, large = (
            (value.shape, shape) if transposed else (shape, value.shape)
        )
        padding = [
            max((small[i] - 1) * stride + size - large[i], 0) // 2
            for i, (stride, size) in enumerate(
                zip(layer.strides, layer.kernel_size, strict=True)
            )
        ]
    output = recorder.add(
        "transposed" if transposed else "convolution",
        [value],
        shape,
        source=value.shape,
        size=layer.kernel_size,
        strides=layer.strides,
        padding=padding,
        kernel=recorder.store(kernel),
        bias=recorder.store(layer.bias) if layer.use_bias else None,
    )
    return recorder.activate(output, layer.activation, layer)


def _spectral(recorder, layer, value):
    kernel = None  # Keras' own layer has overwritten the kernel.
    if isinstance(layer, layers.SpectralNormalization):
        kernel = layer._normalize(layer.layer.kernel.value, training=False)
    return recorder.run(layer.layer, value, kernel=kernel)


def _gamma_and_beta(layer, shape):
    """Returns the weights of a normalization as arrays."""
    gamma, beta = np.ones(shape), np.zeros(shape)
    if layer.scale:
        gamma = keras.ops.convert_to_numpy(layer.gamma).astype("float64")
    if layer.center:
        beta = keras.ops.convert_to_numpy(layer.beta).astype("float64")
    return gamma, beta


def _batch_normalization(recorder, layer, value):
    if layer.axis not in (-1, len(value.shape)):
        raise _error(layer, "Its `axis` must be the last")
    mean, variance = (
        keras.ops.convert_to_numpy(average).astype("float64")
        for average in (layer.moving_mean, layer.moving_variance)
    )
    gamma, beta = _gamma_and_beta(layer, mean.shape)
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return recorder.scale(value, scale, beta - mean * scale)


def _layer_normalization(recorder, layer, value):
    rank = len(value.shape)
    axes = sorted(axis % (rank + 1) for axis in np.ravel(layer.axis))
    if axes != [*range(rank + 1 - len(axes), rank + 1)]:
        raise _error(layer, "Its `axis` must be the last axes")
    shape = value.shape[-len(axes) :]
    output = _normalize(recorder, layer, value, 1, int(np.prod(shape)))
    return recorder.scale(output, *_gamma_and_beta(layer, shape))


def _group_normalization(recorder, layer, value):
    if layer.axis not in (-1, len(value.shape)):
        raise _error(layer, "Its `axis` must be the last")
    *sides, channels = value.shape
    positions = int(np.prod(sides))
    output = _normalize(
        recorder, layer, value, positions, channels, layer.groups
    )
    return recorder.scale(output, *_gamma_and_beta(layer, channels))


def _pixel_normalization(recorder, layer, value):
    if layer.axis not in (-1, len(value.shape)):
        raise _error(layer, "Its `axis` must be the last")
    channels = value.shape[-1]
    return _normalize(recorder, layer, value, 1, channels, centered=False)


def _normalize(
    recorder, layer, value, positions, channels, groups=1, centered=True
):
    return recorder.add(
        "normalization",
        [value],
        value.shape,
        positions=positions,
        channels=channels,
        groups=groups,
        epsilon=layer.epsilon,
        centered=centered,
    )


def _activation(recorder, layer, value):
    return recorder.activate(value, layer.activation, layer)


def _leaky_relu(recorder, layer, value):
    slope = float(layer.negative_slope)
    return recorder.activate(value, "leaky_relu", layer, slope)


def _relu(recorder, layer, value):
    numbers = (layer.negative_slope, layer.max_value, layer.threshold)
    return recorder.activate(value, "relu", layer, *numbers)


def _elu(recorder, layer, value):
    return recorder.activate(value, "elu", layer, float(layer.alpha))


def _prelu(recorder, layer, value):
    slopes = keras.ops.convert_to_numpy(layer.alpha)
    slopes = recorder.store(np.broadcast_to(slopes, value.shape))
    return recorder.add("prelu", [value], value.shape, slopes=slopes)


def _upsampling(recorder, layer, value):
    if layer.interpolation not in ("nearest", "bilinear"):
        raise _error(layer, "A page cannot compute its `interpolation`")
    return recorder.add(
        "upsampling",
        [value],
        layer.compute_output_shape((None, *value.shape))[1:],
        source=value.shape,
        bilinear=layer.interpolation == "bilinear",
    )


def _padding(recorder, layer, value):
    (top, _), (left, _) = getattr(layer, "padding", None) or layer.cropping
    sign = -1 if isinstance(layer, keras.layers.Cropping2D) else 1
    return recorder.add(
        "padding",
        [value],
        layer.compute_output_shape((None, *value.shape))[1:],
        source=value.shape,
        top=sign * top,
        left=sign * left,
    )


def _rescaling(recorder, layer, value):
    channels = value.shape[-1:]
    scale = np.broadcast_to(layer.scale, channels)
    return recorder.scale(value, scale, np.broadcast_to(layer.offset, channels))


def _embedding(recorder, layer, labels, table=None):
    table = layer.embeddings if table is None else table
    width = table.shape[1]
    shape = (*labels.shape, width)
    table = recorder.store(table)
    return recorder.add("embedding", [labels], shape, table=table, width=width)


def _one_hot(recorder, layer, labels):
    if layer.output_mode != "one_hot":
        raise _error(layer, 'Its `output_mode` must be "one_hot"')
    labels = _Value(labels.index, ())
    return _embedding(recorder, layer, labels, np.eye(layer.num_tokens))


def _concatenation(recorder, layer, values):
    shape = layer.compute_output_shape([(None, *v.shape) for v in values])[1:]
    axis = layer.axis % (len(shape) + 1) - 1
    widths = [int(np.prod(value.shape[axis:])) for value in values]
    return recorder.add("concatenation", values, shape, widths=widths)


def _arithmetic(recorder, layer, *inputs):
    values = inputs[0] if isinstance(inputs[0], list) else inputs
    shapes = {getattr(value, "shape", None) for value in values}
    if len(shapes) > 1 or not all(isinstance(v, _Value) for v in values):
        raise _error(layer, "Its inputs must be results of the same shape")
    name = type(layer).__name__.lower()
    return recorder.add("arithmetic", values, shapes.pop(), name=name)


def _residual(recorder, layer, value):
    paths = [
        recorder.run_all(path, value) for path in (layer.branch, layer.shortcut)
    ]
    return recorder.add("arithmetic", paths, paths[0].shape, name="add")


def _attention(recorder, layer, value):
    height, width, channels = value.shape
    query, key, values = (
        recorder.run(convolution, value)
        for convolution in (layer.query, layer.key, layer.value)
    )
    sums = recorder.add(
        "attention",
        [query, key, values],
        values.shape,
        positions=height * width,
        width=query.shape[-1],
        depth=values.shape[-1],
    )
    output = recorder.run(layer.projection, sums)
    gamma = np.full(channels, keras.ops.convert_to_numpy(layer.gamma))
    output = recorder.scale(output, gamma, np.zeros(channels))
    return recorder.add("arithmetic", [value, output], value.shape, name="add")


# Layers that accept labels and models that pass them on.
_FOR_LABELS = (
    *("CategoryEncoding", "Embedding", "Flatten", "Functional", "Reshape"),
    "Sequential",
)
_Rules = dict[str, Callable[..., _Value]]

# The names of operations of Keras, such as the + of two results.
_OPERATIONS: _Rules = dict.fromkeys(
    ("Add", "Maximum", "Minimum", "Multiply", "Subtract"), _arithmetic
)
# The names of layers and models of Keras and of this package.
_LAYERS: _Rules = {
    **_OPERATIONS,
    **dict.fromkeys(
        (
            *("ActivityRegularization", "AlphaDropout", "Dropout"),
            *("GaussianDropout", "GaussianNoise", "Identity", "InputLayer"),
            *("SpatialDropout1D", "SpatialDropout2D"),
        ),
        _same,
    ),
    **dict.fromkeys(("Flatten", "Reshape"), _reshape),
    **dict.fromkeys(("Conv2D", "Conv2DTranspose"), _convolution),
    **dict.fromkeys(("Cropping2D", "ZeroPadding2D"), _padding),
    **dict.fromkeys(
        (
            *("DenseBlock", "Sequential", "StridedConvBlock"),
            "TransposedConvBlock",
        ),
        _sequential,
    ),
    "Activation": _activation,
    "BatchNormalization": _batch_normalization,
    "CategoryEncoding": _one_hot,
    "Concatenate": _concatenation,
    "Dense": _dense,
    "ELU": _elu,
    "Embedding": _embedding,
    "Functional": _functional,
    "GroupNormalization": _group_normalization,
    "LayerNormalization": _layer_normalization,
    "LeakyReLU": _leaky_relu,
    "PReLU": _prelu,
    "PixelNormalization": _pixel_normalization,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "ResidualUpBlock": _residual,
    "ResizeConvBlock": _resize,
    "SelfAttention2D": _attention,
    "SpectralNormalization": _spectral,
    "UpSampling2D": _upsampling,
}
