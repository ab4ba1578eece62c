"""Kernels on values per channel: sums over tiles, and BatchNorm's scalars (docs/numbers.md, "Batch normalisation").

Arrays are [channels]: wide int64, int32, or pairs {int32 mantissa, int32 exponent}. Results may overwrite an operand of
the same element size. `count` is N, the elements per channel of the whole global batch, 1 <= N < 2^31.
"""

from spindl.program.kernels.kernel import Kernel
from spindl.program.kernels.words import addresses, integers, numbers, values

_CHANNELS = numbers(channels="channels")
_SITE = numbers(site="site of the result of the normalisation (of its gradient)")
_N = numbers(count="N")
_EPS = integers(eps_mantissa="eps, mantissa of a pair", eps_exponent="its exponent")
_MOMENTUM = numbers(momentum="Q15")

CHANNEL_KERNELS: tuple[Kernel, ...] = (
    Kernel(
        "channel_sums",
        96,
        (
            *addresses(
                x="[pixels][channels] int16",
                y="[pixels][channels] int16; may be x",
                sum="[channels] int64: sum of x; 0: left out",
                dot="[channels] int64: sum of x * y; 0: left out",
            ),
            *numbers(pixels="pixels, at most 65535", channels="channels", first="1: sums begin at 0; 0: add to them"),
        ),
        "channel_sum and channel_dot over the pixels of a tile.",
    ),
    Kernel(
        "inverse_deviation",
        97,
        (
            *addresses(s1="int64 sums", s2="int64 sums of squares", y="pairs"),
            *_CHANNELS,
            *values("s1"),
            *_N,
            *_EPS,
        ),
        "1 / sqrt(variance + eps).",
    ),
    Kernel(
        "running_inverse_deviation",
        98,
        (*addresses(variance="pairs", y="pairs"), *_CHANNELS, *_EPS),
        "1 / sqrt(running variance + eps).",
    ),
    Kernel(
        "batch_norm_scale",
        99,
        (
            *addresses(gamma="int32", inverse="pairs", y="int64"),
            *_CHANNELS,
            *values("gamma"),
            *_SITE,
            *values("reference"),
        ),
        "gamma * inverse at e_site - 16 - e_reference, clamped to 2^31 - 1.",
    ),
    Kernel(
        "batch_norm_offset",
        100,
        (
            *addresses(beta="int32", scale="int64", s1="int64", y="int64"),
            *_CHANNELS,
            *values("beta"),
            *_SITE,
            *_N,
        ),
        "beta at e_site - 16, clamped to 2^61, less RSH(scale * mean, 16), the mean with 16 fraction bits.",
    ),
    Kernel(
        "running_offset",
        101,
        (
            *addresses(beta="int32", scale="int64", mean="pairs", y="int64"),
            *_CHANNELS,
            *values("beta", "scale"),
            *_SITE,
        ),
        "beta at e_site - 16, clamped to 2^61, less RSH(scale * running mean, 16).",
    ),
    Kernel(
        "gamma_gradient",
        102,
        (
            *addresses(sg="int64", sgx="int64", s1="int64", inverse="pairs", y="pairs"),
            *_CHANNELS,
            *values("sgx"),
            *_N,
        ),
        "(N * sgx - s1 * sg) * inverse / N.",
    ),
    Kernel(
        "running_gamma_gradient",
        103,
        (
            *addresses(sg="int64", sgx="int64", mean="pairs", inverse="pairs", y="pairs"),
            *_CHANNELS,
            *values("sg", "sgx"),
        ),
        "(sgx - sg * running mean) * inverse.",
    ),
    Kernel(
        "batch_norm_slope",
        104,
        (
            *addresses(gamma="int32", inverse="pairs", gradient="pairs: dgamma", y="int64"),
            *_CHANNELS,
            *values("gamma", "s1"),
            *_SITE,
            *_N,
        ),
        "-gamma * inverse^2 * dgamma / N at e_site - 16 - e_s1, clamped to 2^31 - 1.",
    ),
    Kernel(
        "batch_norm_gradient_offset",
        105,
        (*addresses(scale="int64", slope="int64", sg="int64", s1="int64", y="int64"), *_CHANNELS, *_N),
        "-floor((2 * scale * sg + N) / 2N) - RSH(slope * mean, 16), the mean with 16 fraction bits.",
    ),
    Kernel(
        "running_mean",
        106,
        (*addresses(running="pairs", s1="int64", y="pairs"), *_CHANNELS, *values("s1"), *_N, *_MOMENTUM),
        "running + (s1 / N - running) * momentum.",
    ),
    Kernel(
        "running_variance",
        107,
        (
            *addresses(running="pairs", s1="int64", s2="int64", y="pairs"),
            *_CHANNELS,
            *values("s1"),
            *_N,
            *_MOMENTUM,
        ),
        "running + ((N * s2 - s1^2) / N / (N - 1) - running) * momentum.",
    ),
    Kernel(
        "pair_to_wide",
        108,
        (*addresses(x="pairs", y="int64"), *_CHANNELS, *_SITE),
        "Pairs as integers at e_site, clamped to 2^61.",
    ),
)
"""Numbers 96 to 159."""
