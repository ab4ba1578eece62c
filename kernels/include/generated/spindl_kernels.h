/* Generated from spindl.program.kernels. */
#ifndef SPINDL_KERNELS_H
#define SPINDL_KERNELS_H

#include "spindl_kernel.h"

enum spindl_kernel_number {
    SPINDL_KERNEL_CONVOLUTION = 1,
    SPINDL_KERNEL_CONVOLUTION_INPUT_GRADIENT = 2,
    SPINDL_KERNEL_CONVOLUTION_WEIGHT_GRADIENT = 3,
    SPINDL_KERNEL_ROUND_SUMS = 4,
    SPINDL_KERNEL_ADD_ROUNDED_SUMS = 5,
    SPINDL_KERNEL_COPY = 160,
};

/* The same, for macros that get the name of a kernel. */
#define SPINDL_NUMBER_convolution 1
#define SPINDL_NUMBER_convolution_input_gradient 2
#define SPINDL_NUMBER_convolution_weight_gradient 3
#define SPINDL_NUMBER_round_sums 4
#define SPINDL_NUMBER_add_rounded_sums 5
#define SPINDL_NUMBER_copy 160

/* y from x and w: int16 at the site (bias added, rounded, clamped, ReLU), or int64 sums. No result may overlap an operand or the scratch region. Operands hold no -32768. */
typedef struct {
    uint32_t x; /* address of x; int16, a multiple of 2 */
    uint32_t w; /* address of w; int16 a multiple of 2, int32 and int64 a multiple of 4 */
    uint32_t y; /* address of y; int16 a multiple of 2, int64 a multiple of 4 */
    uint32_t scratch; /* address of the scratch region, a multiple of 4 */
    uint32_t scratch_bytes; /* its size, at least what the kernel's _scratch says */
    uint32_t images; /* images in the tile, one behind the other; at least 1 */
    uint32_t x_rows; /* rows of x in the tile; at least 1, like all sizes here */
    uint32_t x_columns; /* columns of x in the tile */
    uint32_t x_pitch; /* elements from column to column of x, at least groups * inputs */
    uint32_t y_rows; /* rows of y in the tile */
    uint32_t y_columns; /* columns of y in the tile */
    uint32_t y_pitch; /* elements from column to column of y, at least groups * outputs */
    uint32_t groups; /* groups of channels in the tile */
    uint32_t inputs; /* channels of x in each group */
    uint32_t outputs; /* channels of y in each group */
    uint32_t kernel_rows; /* rows of taps */
    uint32_t kernel_columns; /* columns of taps */
    uint32_t stride_rows; /* rows of x from one row of y to the next */
    uint32_t stride_columns; /* columns of x from one column of y to the next */
    uint32_t dilation_rows; /* rows of x from tap to tap */
    uint32_t dilation_columns; /* columns of x from tap to tap */
    int32_t top; /* row of x that tap row 0 meets at row 0 of y */
    int32_t left; /* column of x that tap column 0 meets at column 0 of y */
    uint32_t first_exponent; /* number of the value that is one operand, in the table of exponents */
    uint32_t second_exponent; /* number of the value that is the other operand */
    uint32_t bias; /* address of int32 [groups * outputs], a multiple of 4; 0: none. Only convolution, not with SUMS */
    uint32_t bias_exponent; /* number of the value that is the bias */
    uint32_t site; /* number of the site that the result is rounded to; unused with SUMS */
    uint32_t bits; /* of the rounded result, 8 to 16; unused with SUMS */
    uint32_t flags; /* RELU 1 (only convolution), SUMS 2, ADD 4, NARROW 8 (only convolution_weight_gradient, images 1) */
} spindl_convolution_arguments;
typedef char spindl_convolution_arguments_size[sizeof(spindl_convolution_arguments) == 120 ? 1 : -1];
int spindl_convolution(const spindl_convolution_arguments *arguments, spindl_context *context);
uint32_t spindl_convolution_cycles(const spindl_convolution_arguments *arguments);
uint32_t spindl_convolution_scratch(const spindl_convolution_arguments *arguments);

/* x from y and w: int16 at the site, or int64 sums. As convolution otherwise; images lie in x and y. */
typedef struct {
    uint32_t x; /* address of x; int16, a multiple of 2 */
    uint32_t w; /* address of w; int16 a multiple of 2, int32 and int64 a multiple of 4 */
    uint32_t y; /* address of y; int16 a multiple of 2, int64 a multiple of 4 */
    uint32_t scratch; /* address of the scratch region, a multiple of 4 */
    uint32_t scratch_bytes; /* its size, at least what the kernel's _scratch says */
    uint32_t images; /* images in the tile, one behind the other; at least 1 */
    uint32_t x_rows; /* rows of x in the tile; at least 1, like all sizes here */
    uint32_t x_columns; /* columns of x in the tile */
    uint32_t x_pitch; /* elements from column to column of x, at least groups * inputs */
    uint32_t y_rows; /* rows of y in the tile */
    uint32_t y_columns; /* columns of y in the tile */
    uint32_t y_pitch; /* elements from column to column of y, at least groups * outputs */
    uint32_t groups; /* groups of channels in the tile */
    uint32_t inputs; /* channels of x in each group */
    uint32_t outputs; /* channels of y in each group */
    uint32_t kernel_rows; /* rows of taps */
    uint32_t kernel_columns; /* columns of taps */
    uint32_t stride_rows; /* rows of x from one row of y to the next */
    uint32_t stride_columns; /* columns of x from one column of y to the next */
    uint32_t dilation_rows; /* rows of x from tap to tap */
    uint32_t dilation_columns; /* columns of x from tap to tap */
    int32_t top; /* row of x that tap row 0 meets at row 0 of y */
    int32_t left; /* column of x that tap column 0 meets at column 0 of y */
    uint32_t first_exponent; /* number of the value that is one operand, in the table of exponents */
    uint32_t second_exponent; /* number of the value that is the other operand */
    uint32_t bias; /* address of int32 [groups * outputs], a multiple of 4; 0: none. Only convolution, not with SUMS */
    uint32_t bias_exponent; /* number of the value that is the bias */
    uint32_t site; /* number of the site that the result is rounded to; unused with SUMS */
    uint32_t bits; /* of the rounded result, 8 to 16; unused with SUMS */
    uint32_t flags; /* RELU 1 (only convolution), SUMS 2, ADD 4, NARROW 8 (only convolution_weight_gradient, images 1) */
} spindl_convolution_input_gradient_arguments;
typedef char spindl_convolution_input_gradient_arguments_size[sizeof(spindl_convolution_input_gradient_arguments) == 120 ? 1 : -1];
int spindl_convolution_input_gradient(const spindl_convolution_input_gradient_arguments *arguments, spindl_context *context);
uint32_t spindl_convolution_input_gradient_cycles(const spindl_convolution_input_gradient_arguments *arguments);
uint32_t spindl_convolution_input_gradient_scratch(const spindl_convolution_input_gradient_arguments *arguments);

/* w from x and y. Rounded: each image is a gradient group; its sums are rounded to the site and the images are added in int32 (all rows of an image must be in the tile); with NARROW one image as int16. With SUMS: int64 sums over all images of the tile. As convolution otherwise. */
typedef struct {
    uint32_t x; /* address of x; int16, a multiple of 2 */
    uint32_t w; /* address of w; int16 a multiple of 2, int32 and int64 a multiple of 4 */
    uint32_t y; /* address of y; int16 a multiple of 2, int64 a multiple of 4 */
    uint32_t scratch; /* address of the scratch region, a multiple of 4 */
    uint32_t scratch_bytes; /* its size, at least what the kernel's _scratch says */
    uint32_t images; /* images in the tile, one behind the other; at least 1 */
    uint32_t x_rows; /* rows of x in the tile; at least 1, like all sizes here */
    uint32_t x_columns; /* columns of x in the tile */
    uint32_t x_pitch; /* elements from column to column of x, at least groups * inputs */
    uint32_t y_rows; /* rows of y in the tile */
    uint32_t y_columns; /* columns of y in the tile */
    uint32_t y_pitch; /* elements from column to column of y, at least groups * outputs */
    uint32_t groups; /* groups of channels in the tile */
    uint32_t inputs; /* channels of x in each group */
    uint32_t outputs; /* channels of y in each group */
    uint32_t kernel_rows; /* rows of taps */
    uint32_t kernel_columns; /* columns of taps */
    uint32_t stride_rows; /* rows of x from one row of y to the next */
    uint32_t stride_columns; /* columns of x from one column of y to the next */
    uint32_t dilation_rows; /* rows of x from tap to tap */
    uint32_t dilation_columns; /* columns of x from tap to tap */
    int32_t top; /* row of x that tap row 0 meets at row 0 of y */
    int32_t left; /* column of x that tap column 0 meets at column 0 of y */
    uint32_t first_exponent; /* number of the value that is one operand, in the table of exponents */
    uint32_t second_exponent; /* number of the value that is the other operand */
    uint32_t bias; /* address of int32 [groups * outputs], a multiple of 4; 0: none. Only convolution, not with SUMS */
    uint32_t bias_exponent; /* number of the value that is the bias */
    uint32_t site; /* number of the site that the result is rounded to; unused with SUMS */
    uint32_t bits; /* of the rounded result, 8 to 16; unused with SUMS */
    uint32_t flags; /* RELU 1 (only convolution), SUMS 2, ADD 4, NARROW 8 (only convolution_weight_gradient, images 1) */
} spindl_convolution_weight_gradient_arguments;
typedef char spindl_convolution_weight_gradient_arguments_size[sizeof(spindl_convolution_weight_gradient_arguments) == 120 ? 1 : -1];
int spindl_convolution_weight_gradient(const spindl_convolution_weight_gradient_arguments *arguments, spindl_context *context);
uint32_t spindl_convolution_weight_gradient_cycles(const spindl_convolution_weight_gradient_arguments *arguments);
uint32_t spindl_convolution_weight_gradient_scratch(const spindl_convolution_weight_gradient_arguments *arguments);

/* y = the exact sums of a contraction plus bias, rounded to the site. */
typedef struct {
    uint32_t sums; /* address of int64 [rows][columns], dense, a multiple of 4 */
    uint32_t y; /* address of int16 [rows][y_pitch], a multiple of 2; may be that of the sums */
    uint32_t rows; /* pixels of the tile */
    uint32_t columns; /* channels of the tile */
    uint32_t y_pitch; /* elements from row to row of y */
    uint32_t first_exponent; /* number of the value that is one operand of the sums */
    uint32_t second_exponent; /* number of the value that is the other operand */
    uint32_t bias; /* address of int32 [columns], a multiple of 4; 0: none */
    uint32_t bias_exponent; /* number of the value that is the bias */
    uint32_t site; /* number of the site */
    uint32_t bits; /* of the result, 8 to 16 */
    uint32_t flags; /* RELU 1 */
} spindl_round_sums_arguments;
typedef char spindl_round_sums_arguments_size[sizeof(spindl_round_sums_arguments) == 48 ? 1 : -1];
int spindl_round_sums(const spindl_round_sums_arguments *arguments, spindl_context *context);
uint32_t spindl_round_sums_cycles(const spindl_round_sums_arguments *arguments);
uint32_t spindl_round_sums_scratch(const spindl_round_sums_arguments *arguments);

/* y += the exact sums of a weight gradient, rounded to the site. */
typedef struct {
    uint32_t sums; /* address of int64 [count], a multiple of 4: the exact sums of one gradient group */
    uint32_t y; /* address of int32 [count], a multiple of 4; no overlap with the sums */
    uint32_t count; /* elements */
    uint32_t first_exponent; /* number of the value that is one operand of the sums */
    uint32_t second_exponent; /* number of the value that is the other operand */
    uint32_t site; /* number of the site */
    uint32_t bits; /* of the rounded sums, 8 to 16 */
    uint32_t flags; /* ADD 4: add to y; without it y is overwritten */
} spindl_add_rounded_sums_arguments;
typedef char spindl_add_rounded_sums_arguments_size[sizeof(spindl_add_rounded_sums_arguments) == 32 ? 1 : -1];
int spindl_add_rounded_sums(const spindl_add_rounded_sums_arguments *arguments, spindl_context *context);
uint32_t spindl_add_rounded_sums_cycles(const spindl_add_rounded_sums_arguments *arguments);
uint32_t spindl_add_rounded_sums_scratch(const spindl_add_rounded_sums_arguments *arguments);

/* y = x, word by word. */
typedef struct {
    uint32_t x; /* source, a multiple of 4 */
    uint32_t y; /* destination, a multiple of 4; must not begin inside the source behind its first word */
    uint32_t words; /* number of 32-bit words */
} spindl_copy_arguments;
typedef char spindl_copy_arguments_size[sizeof(spindl_copy_arguments) == 12 ? 1 : -1];
int spindl_copy(const spindl_copy_arguments *arguments, spindl_context *context);
uint32_t spindl_copy_cycles(const spindl_copy_arguments *arguments);
uint32_t spindl_copy_scratch(const spindl_copy_arguments *arguments);

/* X(name) for every kernel. */
#define SPINDL_EVERY_KERNEL(X) \
    X(convolution) \
    X(convolution_input_gradient) \
    X(convolution_weight_gradient) \
    X(round_sums) \
    X(add_rounded_sums) \
    X(copy) \

#endif
