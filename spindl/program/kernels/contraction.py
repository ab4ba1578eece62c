"""Kernels: contractions of one tile, in the three directions of a convolution, and the rounding of exact sums.

Three tensors take part, and each kernel computes one of them from the other two:

    x   [images][x_rows][x_columns][x_pitch]                         inputs, or their gradient
    w   [groups * outputs][kernel_rows][kernel_columns][inputs]      weights, or their gradient; dense
    y   [images][y_rows][y_columns][y_pitch]                         outputs, or their gradient

Every product x * w * y belongs to one row r, column s of x and one row p, column q of y of the same image with

    r = p * stride_rows + i * dilation_rows + top,      s = q * stride_columns + j * dilation_columns + left

for tap (i, j) of w, channel c of group g of x (at c + g * inputs), output o of that group of y (at o + g * outputs).
Rows and columns of x or y that are not in the tile count as zeros: so a tile holds all rows of the image that its
results need, and padding needs nothing. For tiles that begin at row p0 of y and row r0 of x, top = p0 * stride -
padding - r0; a whole image has top = -padding. A linear layer has 1x1 taps and one row, whose columns are the images
(or, for a weight gradient, the images of one gradient group). Pitches count elements, so a tile may hold a part of the
channels; so may w, along its outputs or its inputs.
"""

from spindl.program.kernels.kernel import Kernel
from spindl.program.records import Field

FLAGS = {"RELU": 1, "SUMS": 2, "ADD": 4, "NARROW": 8}
"""RELU: negative rounded results become 0. SUMS: the result is the exact sums, int64, not rounded. ADD: the result is
added to what lies in its place (int32 and int64 results only); without it that is overwritten. NARROW: the
rounded weight gradient of one image as int16."""

_OPERANDS = (
    Field("x", "I", "address of x; int16, a multiple of 2"),
    Field("w", "I", "address of w; int16 a multiple of 2, int32 and int64 a multiple of 4"),
    Field("y", "I", "address of y; int16 a multiple of 2, int64 a multiple of 4"),
    Field("scratch", "I", "address of the scratch region, a multiple of 4"),
    Field("scratch_bytes", "I", "its size, at least what the kernel's _scratch says"),
    Field("images", "I", "images in the tile, one behind the other; at least 1"),
    Field("x_rows", "I", "rows of x in the tile; at least 1, like all sizes here"),
    Field("x_columns", "I", "columns of x in the tile"),
    Field("x_pitch", "I", "elements from column to column of x, at least groups * inputs"),
    Field("y_rows", "I", "rows of y in the tile"),
    Field("y_columns", "I", "columns of y in the tile"),
    Field("y_pitch", "I", "elements from column to column of y, at least groups * outputs"),
    Field("groups", "I", "groups of channels in the tile"),
    Field("inputs", "I", "channels of x in each group"),
    Field("outputs", "I", "channels of y in each group"),
    Field("kernel_rows", "I", "rows of taps"),
    Field("kernel_columns", "I", "columns of taps"),
    Field("stride_rows", "I", "rows of x from one row of y to the next"),
    Field("stride_columns", "I", "columns of x from one column of y to the next"),
    Field("dilation_rows", "I", "rows of x from tap to tap"),
    Field("dilation_columns", "I", "columns of x from tap to tap"),
    Field("top", "i", "row of x that tap row 0 meets at row 0 of y"),
    Field("left", "i", "column of x that tap column 0 meets at column 0 of y"),
    Field("first_exponent", "I", "number of the value that is one operand, in the table of exponents"),
    Field("second_exponent", "I", "number of the value that is the other operand"),
    Field(
        "bias", "I", "address of int32 [groups * outputs], a multiple of 4; 0: none. Only convolution, not with SUMS"
    ),
    Field("bias_exponent", "I", "number of the value that is the bias"),
    Field("site", "I", "number of the site that the result is rounded to; unused with SUMS"),
    Field("bits", "I", "of the rounded result, 8 to 16; unused with SUMS"),
    Field(
        "flags", "I", "RELU 1 (only convolution), SUMS 2, ADD 4, NARROW 8 (only convolution_weight_gradient, images 1)"
    ),
)

CONTRACTION_KERNELS: tuple[Kernel, ...] = (
    Kernel(
        "convolution",
        1,
        _OPERANDS,
        "y from x and w: int16 at the site (bias added, rounded, clamped, ReLU), or int64 sums. No result may overlap "
        "an operand or the scratch region. Operands hold no -32768.",
    ),
    Kernel(
        "convolution_input_gradient",
        2,
        _OPERANDS,
        "x from y and w: int16 at the site, or int64 sums. As convolution otherwise; images lie in x and y.",
    ),
    Kernel(
        "convolution_weight_gradient",
        3,
        _OPERANDS,
        "w from x and y. Rounded: each image is a gradient group; its sums are rounded to the site and the images are "
        "added in int32 (all rows of an image must be in the tile); with NARROW one image as int16. With SUMS: int64 "
        "sums over all images of the tile. "
        "As convolution otherwise.",
    ),
    Kernel(
        "round_sums",
        4,
        (
            Field("sums", "I", "address of int64 [rows][columns], dense, a multiple of 4"),
            Field("y", "I", "address of int16 [rows][y_pitch], a multiple of 2; may be that of the sums"),
            Field("rows", "I", "pixels of the tile"),
            Field("columns", "I", "channels of the tile"),
            Field("y_pitch", "I", "elements from row to row of y"),
            Field("first_exponent", "I", "number of the value that is one operand of the sums"),
            Field("second_exponent", "I", "number of the value that is the other operand"),
            Field("bias", "I", "address of int32 [columns], a multiple of 4; 0: none"),
            Field("bias_exponent", "I", "number of the value that is the bias"),
            Field("site", "I", "number of the site"),
            Field("bits", "I", "of the result, 8 to 16"),
            Field("flags", "I", "RELU 1"),
        ),
        "y = the exact sums of a contraction plus bias, rounded to the site.",
    ),
    Kernel(
        "add_rounded_sums",
        5,
        (
            Field("sums", "I", "address of int64 [count], a multiple of 4: the exact sums of one gradient group"),
            Field("y", "I", "address of int32 [count], a multiple of 4; no overlap with the sums"),
            Field("count", "I", "elements"),
            Field("first_exponent", "I", "number of the value that is one operand of the sums"),
            Field("second_exponent", "I", "number of the value that is the other operand"),
            Field("site", "I", "number of the site"),
            Field("bits", "I", "of the rounded sums, 8 to 16"),
            Field("flags", "I", "ADD 4: add to y; without it y is overwritten"),
        ),
        "y += the exact sums of a weight gradient, rounded to the site.",
    ),
)
