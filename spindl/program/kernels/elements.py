"""Kernels on elements: rounding, moving, activations, pooling, dropout, losses.

Tensors lie dense: images [image][row][column][channel], features [image][feature]. Where a kernel names `site`, `bits`
and `activation`, its exact results are rounded there (spindl.program.kernels.words.ROUNDING); `y` may then not overlap
an operand unless the kernel says so.
"""

from spindl.program.kernels.kernel import Kernel
from spindl.program.kernels.words import ROUNDING, addresses, integers, numbers, values
from spindl.program.records import Field

_WINDOW = numbers(
    images="images",
    channels="channels",
    height="rows of the whole input image",
    width="columns of the input",
    first_row="row of the image that is x's row 0",
    rows="rows of x (below 65536 elements): all that the windows of these outputs see",
    first_output="row of the whole output that is row 0 of y (of dy)",
    outputs="rows of y (of dy)",
    output_width="columns of the output",
    kernel_height="rows of a window",
    kernel_width="columns of a window, which has at most 256 cells",
    stride_height="rows from window to window",
    stride_width="columns from window to window",
    padding_top="rows of padding above",
    padding_left="columns of padding on the left",
    dilation_height="rows from cell to cell of a window",
    dilation_width="columns from cell to cell of a window",
)
_COUNT = numbers(count="elements")


def _table(name: str, axis: str) -> Field:
    return addresses(**{name: f"(start, stop) of each window of the whole output along its {axis}, uint16 pairs"})[0]


ELEMENT_KERNELS: tuple[Kernel, ...] = (
    Kernel(
        "requantise",
        32,
        (
            *addresses(x="[rows][columns] of x_bytes bytes each", y="[rows][columns] int16"),
            *numbers(
                x_bytes="2: int16, 4: int32, 8: int64",
                rows="rows",
                columns="elements of a row",
                x_pitch="bytes from row to row of x",
                y_pitch="bytes from row to row of y",
            ),
            *values("x", "wide"),
            *ROUNDING,
        ),
        "y = x rounded at the site. x is first aligned from x_exponent to wide_exponent (the part of a concat; for a "
        "plain requantise both name the same value); alignment to the left by at most 30 + 32 places and below 2^62. "
        "y may be x where y_pitch <= x_pitch.",
    ),
    Kernel(
        "move",
        33,
        (
            *addresses(x="source", y="target, not overlapping"),
            *numbers(
                bytes="of an element: 1, 2, 4 or 8",
                count_0="outermost count",
                count_1="second count",
                count_2="third count",
                count_3="innermost count",
            ),
            *integers(
                x_stride_0="bytes from element to element of x along axis 0",
                x_stride_1="along axis 1",
                x_stride_2="along axis 2",
                x_stride_3="along axis 3",
                y_stride_0="bytes from element to element of y along axis 0",
                y_stride_1="along axis 1",
                y_stride_2="along axis 2",
                y_stride_3="along axis 3",
            ),
        ),
        "Copies elements in four loops: reshape, permute, slice, transposition, concat of parts of one exponent. "
        "Elements start at multiples of their size (int64: of 4). Fast where the innermost strides are both `bytes`.",
    ),
    Kernel(
        "narrow",
        34,
        (*addresses(x="int32 master weights", y="int16"), *_COUNT, *numbers(bits="mantissa bits of y, 8..16")),
        "y = clamp(RSH(x, 32 - bits)): the copy of the weights that the cores compute with. y may be x.",
    ),
    Kernel(
        "relu",
        35,
        (*addresses(x="int16", y="int16"), *_COUNT, *numbers(activation="1 ReLU, 2 ReLU6"), *values("x")),
        "y = max(x, 0), for ReLU6 also at most RSH(6, e_x). y may be x.",
    ),
    Kernel(
        "relu_gradient",
        36,
        (
            *addresses(dy="int16 gradient", y="int16 result of the activation", dx="int16"),
            *_COUNT,
            *numbers(activation="1 ReLU, 2 ReLU6"),
            *values("y"),
        ),
        "dx = dy where y > 0 (ReLU6: and y < RSH(6, e_y)), else 0. dx may be dy or y.",
    ),
    Kernel(
        "add",
        37,
        (*addresses(x="int16", y="int16", z="int16"), *_COUNT, *values("x", "y"), *ROUNDING),
        "z = x + y, aligned to max(min(e_x, e_y), max(e_x, e_y) - 30), rounded at the site. z may be x or y.",
    ),
    Kernel(
        "affine",
        38,
        (
            *addresses(
                x="[pixels][channels] int16 or uint8",
                scale="[channels] int64 with |scale| < 2^31",
                offset="[channels] int64",
                y="[pixels][channels] int16",
            ),
            *numbers(x_bytes="1: uint8, 2: int16", pixels="pixels", channels="channels"),
            *values("offset"),
            *ROUNDING,
        ),
        "y = scale[c] * x + offset[c] at the exponent of offset, rounded at the site. y may be x where x_bytes is 2.",
    ),
    Kernel(
        "affine_pair",
        39,
        (
            *addresses(
                x="[pixels][channels] int16",
                scale="[channels] int64 with |scale| < 2^31",
                y="[pixels][channels] int16",
                slope="[channels] int64 with |slope| < 2^31",
                offset="[channels] int64",
                z="[pixels][channels] int16",
            ),
            *numbers(pixels="pixels", channels="channels"),
            *values("offset"),
            *ROUNDING,
        ),
        "z = scale[c] * x + slope[c] * y + offset[c], rounded at the site. z may be x or y.",
    ),
    Kernel(
        "max_pool",
        40,
        (
            *_WINDOW,
            *addresses(x="[images][rows][width][channels] int16", y="[images][outputs][output_width][channels]"),
        ),
        "Largest mantissa of each window; padding never wins. SPINDL_ERROR_ARGUMENT if a window sees a row of the "
        "image that x does not hold, or nothing but padding.",
    ),
    Kernel(
        "max_pool_gradient",
        41,
        (
            *_WINDOW,
            *addresses(
                dy="[images][outputs][output_width][channels] int16: of all windows that see a row of dx",
                x="[images][rows][width][channels] int16: all that these windows see",
                dx="[images][dx_rows][width][channels] int16",
                scratch="int32 of one image of dx (spindl_max_pool_gradient_scratch bytes)",
            ),
            *numbers(first_dx_row="row of the image that is dx's row 0", dx_rows="rows of dx"),
            *values("dy"),
            *ROUNDING,
        ),
        "dx[cell] = sum of dy over the windows whose first maximum (row-major) is the cell, rounded at the site.",
    ),
    Kernel(
        "window_sum",
        42,
        (
            *addresses(x="[images][rows][width][channels] int16", y="[images][outputs][output_width][channels]"),
            _table("row_windows", "rows"),
            _table("column_windows", "columns"),
            *numbers(
                images="images",
                channels="channels",
                width="columns of x",
                first_row="row of the image that is x's row 0",
                rows="rows of x: all that the windows of these outputs see",
                first_output="row of the whole output that is y's row 0",
                outputs="rows of y",
                output_width="columns of y",
                divisor="of every window; 0: each window's own number of cells (at most 65535)",
            ),
            *values("x"),
            *ROUNDING,
        ),
        "Average pooling: y = floor(2^20 / k + 1/2) * (sum of the window), at e_x - 20, rounded at the site.",
    ),
    Kernel(
        "window_sum_gradient",
        43,
        (
            *addresses(
                dy="[images][outputs][output_width][channels] int16: of all windows that see a row of dx",
                dx="[images][rows][width][channels] int16",
            ),
            _table("row_windows", "rows"),
            _table("column_windows", "columns"),
            *numbers(
                images="images",
                channels="channels",
                width="columns of dx",
                first_row="row of the image that is dx's row 0",
                rows="rows of dx",
                first_output="row of the whole output that is dy's row 0",
                outputs="rows of dy",
                output_width="columns of dy",
                divisor="of every window; 0: each window's own number of cells (at most 65535)",
            ),
            *values("dy"),
            *ROUNDING,
        ),
        "dx[cell] = sum over the windows with the cell of floor(2^20 / k + 1/2) * dy, at e_dy - 20, rounded at the "
        "site.",
    ),
    Kernel(
        "sigmoid",
        44,
        (
            *addresses(x="int16", y="int16"),
            *_COUNT,
            *numbers(hyperbolic="0: sigmoid, 1: tanh"),
            *values("x"),
            *ROUNDING,
        ),
        "1 / (1 + exp(-x)) or tanh(x) in Q30, rounded at the site. y may be x.",
    ),
    Kernel(
        "sigmoid_gradient",
        45,
        (
            *addresses(dy="int16", y="int16 result of the activation", dx="int16"),
            *_COUNT,
            *numbers(hyperbolic="0: sigmoid, 1: tanh"),
            *values("dy", "y"),
            *ROUNDING,
        ),
        "dy * y * (1 - y), or dy * (1 - y^2), at e_dy + 2 e_y >= e_dy - 40, rounded at the site. dx may be dy.",
    ),
    Kernel(
        "softmax",
        46,
        (
            *addresses(x="[outer][length][inner] int16", y="[outer][length][inner] int16"),
            *numbers(outer="outer count", length="elements of the softmax axis", inner="inner count"),
            *values("x"),
            *ROUNDING,
        ),
        "exp(x - max) / sum along the middle axis in Q30, rounded at the site. y may not be x.",
    ),
    Kernel(
        "softmax_gradient",
        47,
        (
            *addresses(dy="[outer][length][inner] int16", y="int16 result of softmax", dx="int16"),
            *numbers(outer="outer count", length="elements of the softmax axis", inner="inner count"),
            *values("dy", "y"),
            *ROUNDING,
        ),
        "y * (dy * one - sum(dy * y)) with one = 1 at e_y, at e_dy + 2 e_y, rounded at the site. dx may be dy.",
    ),
    Kernel(
        "dropout",
        48,
        (
            *addresses(
                x="[images][elements] int16",
                y="int16",
                positions="[images] int32: places in the global batch",
                seed="uint32",
                step="uint32",
            ),
            *numbers(
                images="images",
                elements="elements of an image in x",
                first_element="index in the image (channels-last) of x's element 0",
                place="number of the place of the draw",
                threshold="round(2^32 p)",
                multiplier="round(2^14 / (1 - p)), below 2^31",
            ),
            *values("x"),
            *ROUNDING,
        ),
        "y = multiplier * x where hash32(seed, step, place, position, element) >= threshold, else 0, at e_x - 14, "
        "rounded at the site. The gradient is the same. y may be x.",
    ),
    Kernel(
        "cross_entropy",
        52,
        (
            *addresses(
                z="[images][classes] int16 logits",
                labels="[images] int32",
                dz="[images][classes] int16: softmax(z) - target in Q30, rounded at the site; 0: left out",
                loss="[images] int64: nats in Q16; 0: left out",
                correct="[images] int64: 1 if the first largest logit is the label's; 0: left out",
            ),
            *numbers(images="images", classes="classes", smoothing="Q30"),
            *values("z"),
            *ROUNDING,
        ),
        "Gradient, loss and hits of cross-entropy. SPINDL_ERROR_RANGE for a label outside 0..classes-1.",
    ),
    Kernel(
        "squared_error",
        53,
        (
            *addresses(
                z="[images][features] int16",
                target="[images][features] int32, Q16",
                dz="int16: the gradient, rounded at the site; 0: left out",
                loss="[images] int64: Q16; 0: left out",
            ),
            *numbers(images="images", features="features of an image", multiplier="round(2^20 * 2 / features)"),
            *values("z"),
            *ROUNDING,
        ),
        "dz = clamp(z - target, 2^40) * multiplier, 20 places below the aligned difference; loss = the mean square.",
    ),
    Kernel(
        "binary_cross_entropy",
        54,
        (
            *addresses(
                z="[images][features] int16 logits",
                target="[images][features] int32, Q16 in 0..2^16",
                dz="int16: RSH((sigmoid(z) - target) * multiplier, 20) in Q30, rounded; 0: left out",
                loss="[images] int64: Q16; 0: left out",
                correct="[images] int64: 1 if all signs say their targets; 0: left out",
            ),
            *numbers(images="images", features="features of an image", multiplier="round(2^20 / features)"),
            *values("z"),
            *ROUNDING,
        ),
        "Gradient, loss and hits of binary cross-entropy. SPINDL_ERROR_RANGE for a target outside 0..2^16.",
    ),
)
"""Numbers 32 to 95."""
