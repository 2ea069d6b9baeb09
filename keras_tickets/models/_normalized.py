"""Arguments, and their description, shared by networks with batch normalization."""

import dataclasses
from collections.abc import Callable
from typing import Protocol

import keras

from keras_tickets.models.convolution import Convolution
from keras_tickets.models.initialization import Initializer


@dataclasses.dataclass(frozen=True)
class Images:
    """What a network is for: the defaults of its arguments.

    Attributes:
        dataset: Name of the data set, in words.
        shape: (height, width, channels).
        classes: Number of classes.
    """

    dataset: str
    shape: tuple[int, int, int]
    classes: int


CIFAR10 = Images("CIFAR-10", (32, 32, 3), 10)
IMAGENET = Images("ImageNet", (224, 224, 3), 1000)
_DOCSTRING = """{summary}

{details}
{weights:,} weights in kernels for {images.dataset}. Batch normalization averages with momentum 0.9.

Args:
    input_shape: (height, width, channels) of one image{limit}.
    classes: Number of output units.
    width: Factor for the number of channels, each rounded, at least 1.
    fused_batch_norm: Whether to use `kt.layers.FusedBatchNormalization`, which computes the same as
        Keras's layer in less time. False: `keras.layers.BatchNormalization`.
    kernel_initializer: Keras initializer of every kernel; the output bias starts at zero.
    gamma_initializer: Keras initializer of the scales of batch normalization. Lottery-ticket
        studies draw them uniformly: `keras.initializers.RandomUniform(0, 1)`.
    seed: Makes the initial weights a function of this integer alone. None: Keras's global seed.

Returns:
    A built `keras.Model` from (batch, *input_shape) to logits of shape (batch, classes).
    Kernel paths: {kernel_paths}.

Raises:
    ValueError: `input_shape` is not the shape of such an image, or `width` is not positive.

Example:

```python
import keras_tickets as kt

assert kt.models.{name}(width=0.25).output_shape == (None, {images.classes})
```

References:
    {references}
"""


class NormalizedNetwork(Protocol):
    """A function that makes a network of convolutions with batch normalization."""

    def __call__(
        self,
        input_shape: tuple[int, int, int] = ...,
        classes: int = ...,
        *,
        width: float = 1.0,
        fused_batch_norm: bool = True,
        kernel_initializer: Initializer = "he_normal",
        gamma_initializer: Initializer = "ones",
        seed: int | None = None,
    ) -> keras.Model:
        """Makes a built network."""


def normalized_network(
    build: Callable[[tuple[int, int, int], int, float, Convolution], keras.Model],
    name: str,
    *,
    module: str,
    summary: str,
    details: str,
    weights: int,
    kernel_paths: str,
    references: str,
    limit: str = "",
    images: Images = CIFAR10,
) -> NormalizedNetwork:
    """Returns a maker of networks, with its documentation.

    Args:
        build: Makes the network from (input shape, classes, width, convolution).
        name: Name of the maker.
        module: Name of its module.
        summary: The first line of its documentation.
        details: Further documentation, before its number of weights.
        weights: Number of weights in kernels for `images`.
        kernel_paths: Its kernel paths, in words.
        references: Where it was published.
        limit: What the images must satisfy.
        images: What it is for.

    Returns:
        A function with the arguments of `NormalizedNetwork`.

    Example:

    ```python
    import keras_tickets as kt

    assert "9,222,848 weights" in kt.models.vgg11.__doc__
    ```
    """

    def make(
        input_shape: tuple[int, int, int] = images.shape,
        classes: int = images.classes,
        *,
        width: float = 1.0,
        fused_batch_norm: bool = True,
        kernel_initializer: Initializer = "he_normal",
        gamma_initializer: Initializer = "ones",
        seed: int | None = None,
    ) -> keras.Model:
        convolution = Convolution(fused_batch_norm, kernel_initializer, gamma_initializer, seed)
        return build(input_shape, classes, width, convolution)

    make.__name__ = make.__qualname__ = name
    make.__module__ = module
    make.__doc__ = _DOCSTRING.format(
        name=name,
        summary=summary,
        details=details,
        weights=weights,
        kernel_paths=kernel_paths,
        references=references,
        limit=limit,
        images=images,
    )
    return make
