"""Exact integer kernels of the simulator, compiled from native/simulator.

Tensors are contiguous NumPy arrays with the channels last: x (images, height, width, channels), filters (out_channels,
kernel_height, kernel_width, channels / groups). Mantissas are int16 without -2^15. Results are written into `out`.

Where a function takes `shift` (-40 .. 80) and `limit` (1 .. 32767), every exact accumulator a, |a| < 2^62, becomes
clamp(RSH(a, shift), -limit, limit) with RSH(a, s) = floor((a + 2^(s-1)) / 2^s) for s >= 1 and a * 2^-s otherwise; with
`relu` negative results become 0. It returns (largest |a|, how many elements were clamped), a before rounding and relu.

Wrong shapes, element types, gaps in memory and values out of range raise ValueError, which names the argument. The
interpreter lock is released while a kernel runs. Results do not depend on threads and vector path.
"""

from collections.abc import Sequence
from typing import Any

from numpy import int16, int32, int64, uint8
from numpy.typing import NDArray

_Pair = tuple[int, int]
_Statistics = tuple[int, int]
_Int16 = NDArray[int16]
_Int32 = NDArray[int32]
_Int64 = NDArray[int64]

def set_threads(count: int) -> None:
    """Number of threads of all kernels, at least 1; at first the number of CPUs that this process may use."""

def threads() -> int: ...
def vector_paths() -> list[str]:
    """Instruction sets that this processor has kernels for, the fastest first: 'avx512vnni', 'avx2', 'portable'."""

def set_vector_path(name: str) -> None:
    """Choose one of `vector_paths()`; at first the fastest."""

def vector_path() -> str: ...

# Contractions. Pairs are (vertical, horizontal), padding is at the top and left; the output's size says the rest. With
# an int64 `out` the exact sums are written, and shift, limit and relu are not used; the statistics are then (0, 0).
def convolution(
    x: _Int16,
    w: _Int16,
    bias: _Int64 | None,
    out: _Int16 | _Int64,
    stride: _Pair = (1, 1),
    padding: _Pair = (0, 0),
    dilation: _Pair = (1, 1),
    groups: int = 1,
    shift: int = 0,
    limit: int = 32767,
    relu: bool = False,
) -> _Statistics:
    """A convolution; a bias is at the accumulator's scale, (out_channels,)."""

def convolution_input_gradient(
    dy: _Int16,
    w: _Int16,
    out: _Int16 | _Int64,
    stride: _Pair = (1, 1),
    padding: _Pair = (0, 0),
    dilation: _Pair = (1, 1),
    groups: int = 1,
    shift: int = 0,
    limit: int = 32767,
) -> _Statistics:
    """Its transpose in x, applied to dy."""

def convolution_weight_gradient(
    dy: _Int16,
    x: _Int16,
    out: _Int32 | _Int64,
    stride: _Pair = (1, 1),
    padding: _Pair = (0, 0),
    dilation: _Pair = (1, 1),
    groups: int = 1,
    group_size: int = 1,
    shift: int = 0,
    limit: int = 32767,
) -> _Statistics:
    """Its transpose in w: summed over `group_size` consecutive images, rounded, and added up in int32.

    The statistics are over the sums of every group. With an int64 `out`: the exact sum over all images.
    """

# Element-wise, over (..., channels).
def channel_sum(x: _Int16) -> _Int64:
    """Sum of x over all axes but the last, exact: (channels,)."""

def channel_dot(x: _Int16, y: _Int16) -> _Int64:
    """Sum of x * y over all axes but the last, exact: (channels,)."""

def affine(
    x: _Int16 | NDArray[uint8],
    scale: _Int64,
    offset: _Int64,
    out: _Int16,
    shift: int = 0,
    limit: int = 32767,
    relu: bool = False,
) -> _Statistics:
    """scale * x + offset, both (channels,); |scale| < 2^31."""

def affine_pair(
    x: _Int16,
    scale: _Int64,
    y: _Int16,
    slope: _Int64,
    offset: _Int64,
    out: _Int16,
    shift: int = 0,
    limit: int = 32767,
) -> _Statistics:
    """scale * x + slope * y + offset; |scale|, |slope| < 2^31."""

def add(
    x: _Int16,
    x_shift: int,
    y: _Int16,
    y_shift: int,
    out: _Int16,
    shift: int = 0,
    limit: int = 32767,
    relu: bool = False,
    even: bool = False,
) -> _Statistics:
    """(x << x_shift) + (y << y_shift), shifts 0 .. 30."""

def requantise(
    x: _Int32 | _Int64, out: _Int16, shift: int = 0, limit: int = 32767, relu: bool = False
) -> _Statistics: ...
def extent(x: _Int16 | _Int32 | _Int64) -> int:
    """The largest |x|; 0 if there are none."""

def relu(x: _Int16, out: _Int16) -> None:
    """max(x, 0); `out` may be x."""

def relu_gradient(dy: _Int16, y: _Int16, out: _Int16) -> None:
    """dy where y > 0, else 0; `out` may be dy."""

def relu6_gradient(dy: _Int16, y: _Int16, cap: int, out: _Int16) -> None:
    """dy where 0 < y < cap, else 0; cap 0 .. 32768."""

# Pooling. Padding is at the top and left and never wins; every window needs a cell of the input.
def max_pool(
    x: _Int16, out: _Int16, kernel: _Pair, stride: _Pair, padding: _Pair = (0, 0), dilation: _Pair = (1, 1)
) -> None: ...
def max_pool_gradient(
    dy: _Int16,
    x: _Int16,
    out: _Int16,
    kernel: _Pair,
    stride: _Pair,
    padding: _Pair = (0, 0),
    dilation: _Pair = (1, 1),
    shift: int = 0,
    limit: int = 32767,
    even: bool = False,
) -> _Statistics:
    """At each cell the sum of dy over the windows whose first maximum, in row-major order, it is."""

def window_sum(
    x: _Int16,
    rows: _Int32,
    columns: _Int32,
    multiplier: _Int32,
    out: _Int16,
    shift: int = 0,
    limit: int = 32767,
    even: bool = False,
) -> _Statistics:
    """multiplier * sum over a window; rows (out_height, 2) and columns (out_width, 2) are bounds [first, end)."""

def window_sum_gradient(
    dy: _Int16,
    rows: _Int32,
    columns: _Int32,
    multiplier: _Int32,
    out: _Int16,
    shift: int = 0,
    limit: int = 32767,
    even: bool = False,
) -> _Statistics:
    """At each cell the sum of multiplier * dy over the windows that hold it."""

# Batch normalisation's numbers per channel: the ops of the same names in spindl.graph.ops.batch_norm. Pairs are
# (channels, 2).
def inverse_deviation(s1: _Int64, s2: _Int64, exponent: int, count: int, eps_m: int, eps_e: int) -> _Int64: ...
def running_inverse_deviation(variance: _Int64, eps_m: int, eps_e: int) -> _Int64: ...
def batch_norm_scale(gamma: _Int64, gamma_exponent: int, inverse: _Int64, target_exponent: int) -> _Int64: ...
def batch_norm_offset(
    beta: _Int64, beta_exponent: int, scale: _Int64, s1: _Int64, count: int, target_exponent: int
) -> _Int64: ...
def running_offset(
    beta: _Int64, beta_exponent: int, scale: _Int64, mean: _Int64, mean_exponent: int, target_exponent: int
) -> _Int64: ...
def gamma_gradient(sg: _Int64, sgx: _Int64, s1: _Int64, sgx_exponent: int, inverse: _Int64, count: int) -> _Int64: ...
def batch_norm_slope(
    gamma: _Int64, gamma_exponent: int, inverse: _Int64, gamma_gradient: _Int64, count: int, target_exponent: int
) -> _Int64: ...
def batch_norm_gradient_offset(scale: _Int64, slope: _Int64, sg: _Int64, s1: _Int64, count: int) -> _Int64: ...
def running_mean(running: _Int64, s1: _Int64, s1_exponent: int, count: int, momentum: int) -> _Int64: ...
def running_variance(
    running: _Int64, s1: _Int64, s2: _Int64, s1_exponent: int, count: int, momentum: int
) -> _Int64: ...
def pair_to_wide(pairs: _Int64, exponent: int) -> _Int64: ...

# The optimiser step: the ops of the same names in spindl.graph.ops.update, and the whole chain of SGD in one pass.
_Gradients = Sequence[tuple[NDArray[Any], int]]

def direction(master: _Int32, decay_m: int, shift_w: int, out: _Int64, gradients: _Gradients = ...) -> None: ...
def momentum(velocity: _Int32, mu_m: int, shift: int, direction: _Int64, out: _Int64) -> int: ...
def saturate32(x: _Int64, out: _Int32) -> None: ...
def descend(master: _Int32, step: _Int32, rate_m: int, shift: int, fixed: bool, out: _Int32) -> int: ...
def squared_norm(x: NDArray[Any]) -> tuple[int, int]: ...
def scale_direction(step: _Int64, rate_m: int, shift: int, out: _Int64) -> None: ...
def sgd_step(
    master: _Int32,
    velocity: _Int32 | None,
    gradients: _Gradients,
    *,
    decay_m: int,
    shift_w: int,
    mu_m: int = 0,
    shift_v: int = 0,
    nesterov_shift: int | None = None,
    rate_m: int,
    shift_rate: int,
    fixed: bool,
    narrow_bits: int = 16,
    out_master: _Int32,
    out_velocity: _Int32 | None = None,
    out_narrow: _Int16 | None = None,
) -> tuple[int, int]: ...
