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
    SPINDL_KERNEL_REQUANTISE = 32,
    SPINDL_KERNEL_MOVE = 33,
    SPINDL_KERNEL_NARROW = 34,
    SPINDL_KERNEL_RELU = 35,
    SPINDL_KERNEL_RELU_GRADIENT = 36,
    SPINDL_KERNEL_ADD = 37,
    SPINDL_KERNEL_AFFINE = 38,
    SPINDL_KERNEL_AFFINE_PAIR = 39,
    SPINDL_KERNEL_MAX_POOL = 40,
    SPINDL_KERNEL_MAX_POOL_GRADIENT = 41,
    SPINDL_KERNEL_WINDOW_SUM = 42,
    SPINDL_KERNEL_WINDOW_SUM_GRADIENT = 43,
    SPINDL_KERNEL_SIGMOID = 44,
    SPINDL_KERNEL_SIGMOID_GRADIENT = 45,
    SPINDL_KERNEL_SOFTMAX = 46,
    SPINDL_KERNEL_SOFTMAX_GRADIENT = 47,
    SPINDL_KERNEL_DROPOUT = 48,
    SPINDL_KERNEL_CROSS_ENTROPY = 52,
    SPINDL_KERNEL_SQUARED_ERROR = 53,
    SPINDL_KERNEL_BINARY_CROSS_ENTROPY = 54,
    SPINDL_KERNEL_CHANNEL_SUMS = 96,
    SPINDL_KERNEL_INVERSE_DEVIATION = 97,
    SPINDL_KERNEL_RUNNING_INVERSE_DEVIATION = 98,
    SPINDL_KERNEL_BATCH_NORM_SCALE = 99,
    SPINDL_KERNEL_BATCH_NORM_OFFSET = 100,
    SPINDL_KERNEL_RUNNING_OFFSET = 101,
    SPINDL_KERNEL_GAMMA_GRADIENT = 102,
    SPINDL_KERNEL_RUNNING_GAMMA_GRADIENT = 103,
    SPINDL_KERNEL_BATCH_NORM_SLOPE = 104,
    SPINDL_KERNEL_BATCH_NORM_GRADIENT_OFFSET = 105,
    SPINDL_KERNEL_RUNNING_MEAN = 106,
    SPINDL_KERNEL_RUNNING_VARIANCE = 107,
    SPINDL_KERNEL_PAIR_TO_WIDE = 108,
    SPINDL_KERNEL_COPY = 160,
    SPINDL_KERNEL_NEXT_SITES = 164,
    SPINDL_KERNEL_EXPONENTS = 165,
    SPINDL_KERNEL_SUM_ROWS = 166,
    SPINDL_KERNEL_BEGIN_SITES = 167,
    SPINDL_KERNEL_MERGE_SITES = 168,
    SPINDL_KERNEL_DIRECTION = 170,
    SPINDL_KERNEL_SCALE_DIRECTION = 171,
    SPINDL_KERNEL_UPDATE = 172,
    SPINDL_KERNEL_HALVE = 173,
    SPINDL_KERNEL_LARGEST_BITS = 176,
    SPINDL_KERNEL_SQUARED_NORM = 177,
    SPINDL_KERNEL_LARS_RATE = 178,
    SPINDL_KERNEL_SEND = 240,
    SPINDL_KERNEL_LISTEN = 241,
    SPINDL_KERNEL_RECEIVE = 242,
};

/* The same, for macros that get the name of a kernel. */
#define SPINDL_NUMBER_convolution 1
#define SPINDL_NUMBER_convolution_input_gradient 2
#define SPINDL_NUMBER_convolution_weight_gradient 3
#define SPINDL_NUMBER_round_sums 4
#define SPINDL_NUMBER_add_rounded_sums 5
#define SPINDL_NUMBER_requantise 32
#define SPINDL_NUMBER_move 33
#define SPINDL_NUMBER_narrow 34
#define SPINDL_NUMBER_relu 35
#define SPINDL_NUMBER_relu_gradient 36
#define SPINDL_NUMBER_add 37
#define SPINDL_NUMBER_affine 38
#define SPINDL_NUMBER_affine_pair 39
#define SPINDL_NUMBER_max_pool 40
#define SPINDL_NUMBER_max_pool_gradient 41
#define SPINDL_NUMBER_window_sum 42
#define SPINDL_NUMBER_window_sum_gradient 43
#define SPINDL_NUMBER_sigmoid 44
#define SPINDL_NUMBER_sigmoid_gradient 45
#define SPINDL_NUMBER_softmax 46
#define SPINDL_NUMBER_softmax_gradient 47
#define SPINDL_NUMBER_dropout 48
#define SPINDL_NUMBER_cross_entropy 52
#define SPINDL_NUMBER_squared_error 53
#define SPINDL_NUMBER_binary_cross_entropy 54
#define SPINDL_NUMBER_channel_sums 96
#define SPINDL_NUMBER_inverse_deviation 97
#define SPINDL_NUMBER_running_inverse_deviation 98
#define SPINDL_NUMBER_batch_norm_scale 99
#define SPINDL_NUMBER_batch_norm_offset 100
#define SPINDL_NUMBER_running_offset 101
#define SPINDL_NUMBER_gamma_gradient 102
#define SPINDL_NUMBER_running_gamma_gradient 103
#define SPINDL_NUMBER_batch_norm_slope 104
#define SPINDL_NUMBER_batch_norm_gradient_offset 105
#define SPINDL_NUMBER_running_mean 106
#define SPINDL_NUMBER_running_variance 107
#define SPINDL_NUMBER_pair_to_wide 108
#define SPINDL_NUMBER_copy 160
#define SPINDL_NUMBER_next_sites 164
#define SPINDL_NUMBER_exponents 165
#define SPINDL_NUMBER_sum_rows 166
#define SPINDL_NUMBER_begin_sites 167
#define SPINDL_NUMBER_merge_sites 168
#define SPINDL_NUMBER_direction 170
#define SPINDL_NUMBER_scale_direction 171
#define SPINDL_NUMBER_update 172
#define SPINDL_NUMBER_halve 173
#define SPINDL_NUMBER_largest_bits 176
#define SPINDL_NUMBER_squared_norm 177
#define SPINDL_NUMBER_lars_rate 178
#define SPINDL_NUMBER_send 240
#define SPINDL_NUMBER_listen 241
#define SPINDL_NUMBER_receive 242

#define SPINDL_EXPONENT_CONSTANT 0
#define SPINDL_EXPONENT_VALUE 1
#define SPINDL_EXPONENT_SITE 2
#define SPINDL_EXPONENT_STATE 3
#define SPINDL_EXPONENT_SUM 4
#define SPINDL_EXPONENT_DIFFERENCE 5
#define SPINDL_EXPONENT_MINIMUM 6
#define SPINDL_EXPONENT_MAXIMUM 7
#define SPINDL_EXPONENT_ALIGN 8
#define SPINDL_EXPONENT_RAISED 9
#define SPINDL_EXPONENT_TARGET_STATE 256

typedef struct {
    int16_t exponent; /* in use */
    int16_t lowest; /* the exponent never falls below */
    uint16_t bits; /* of the rounded values including the sign */
    uint16_t headroom; /* free bits above the largest extent */
    int16_t extent_0; /* of the last step */
    int16_t extent_1; /* of 2 steps ago */
    int16_t extent_2; /* of 3 steps ago */
    int16_t extent_3; /* of 4 steps ago */
    int16_t extent_4; /* of 5 steps ago */
    int16_t extent_5; /* of 6 steps ago */
    int16_t extent_6; /* of 7 steps ago */
    int16_t extent_7; /* of 8 steps ago */
    int16_t extent_8; /* of 9 steps ago */
    int16_t extent_9; /* of 10 steps ago */
    int16_t extent_10; /* of 11 steps ago */
    int16_t extent_11; /* of 12 steps ago */
    int16_t extent_12; /* of 13 steps ago */
    int16_t extent_13; /* of 14 steps ago */
    int16_t extent_14; /* of 15 steps ago */
    int16_t extent_15; /* of 16 steps ago */
} spindl_site_state;
typedef char spindl_site_state_size[sizeof(spindl_site_state) == 40 ? 1 : -1];

typedef struct {
    uint16_t target; /* number of the value (or of the word of state) that gets the exponent */
    uint16_t rule; /* an entry of EXPONENT_RULES, plus 256 if the target is a word of state */
    uint16_t a; /* first operand */
    uint16_t b; /* second operand */
    int16_t constant; /* added to the result */
    uint16_t unused; /* 0 */
} spindl_exponent_rule;
typedef char spindl_exponent_rule_size[sizeof(spindl_exponent_rule) == 12 ? 1 : -1];

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

/* y = x rounded at the site. x is first aligned from x_exponent to wide_exponent (the part of a concat; for a plain requantise both name the same value); alignment to the left by at most 30 + 32 places and below 2^62. y may be x where y_pitch <= x_pitch. */
typedef struct {
    uint32_t x; /* address: [rows][columns] of x_bytes bytes each */
    uint32_t y; /* address: [rows][columns] int16 */
    uint32_t x_bytes; /* 2: int16, 4: int32, 8: int64 */
    uint32_t rows; /* rows */
    uint32_t columns; /* elements of a row */
    uint32_t x_pitch; /* bytes from row to row of x */
    uint32_t y_pitch; /* bytes from row to row of y */
    uint32_t x_exponent; /* value whose exponent is that of x */
    uint32_t wide_exponent; /* value whose exponent is that of wide */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_requantise_arguments;
typedef char spindl_requantise_arguments_size[sizeof(spindl_requantise_arguments) == 52 ? 1 : -1];
int spindl_requantise(const spindl_requantise_arguments *arguments, spindl_context *context);
uint32_t spindl_requantise_cycles(const spindl_requantise_arguments *arguments);
uint32_t spindl_requantise_scratch(const spindl_requantise_arguments *arguments);

/* Copies elements in four loops: reshape, permute, slice, transposition, concat of parts of one exponent. Elements start at multiples of their size (int64: of 4). Fast where the innermost strides are both `bytes`. */
typedef struct {
    uint32_t x; /* address: source */
    uint32_t y; /* address: target, not overlapping */
    uint32_t bytes; /* of an element: 1, 2, 4 or 8 */
    uint32_t count_0; /* outermost count */
    uint32_t count_1; /* second count */
    uint32_t count_2; /* third count */
    uint32_t count_3; /* innermost count */
    int32_t x_stride_0; /* bytes from element to element of x along axis 0 */
    int32_t x_stride_1; /* along axis 1 */
    int32_t x_stride_2; /* along axis 2 */
    int32_t x_stride_3; /* along axis 3 */
    int32_t y_stride_0; /* bytes from element to element of y along axis 0 */
    int32_t y_stride_1; /* along axis 1 */
    int32_t y_stride_2; /* along axis 2 */
    int32_t y_stride_3; /* along axis 3 */
} spindl_move_arguments;
typedef char spindl_move_arguments_size[sizeof(spindl_move_arguments) == 60 ? 1 : -1];
int spindl_move(const spindl_move_arguments *arguments, spindl_context *context);
uint32_t spindl_move_cycles(const spindl_move_arguments *arguments);
uint32_t spindl_move_scratch(const spindl_move_arguments *arguments);

/* y = clamp(RSH(x, 32 - bits)): the copy of the weights that the cores compute with. y may be x. */
typedef struct {
    uint32_t x; /* address: int32 master weights */
    uint32_t y; /* address: int16 */
    uint32_t count; /* elements */
    uint32_t bits; /* mantissa bits of y, 8..16 */
} spindl_narrow_arguments;
typedef char spindl_narrow_arguments_size[sizeof(spindl_narrow_arguments) == 16 ? 1 : -1];
int spindl_narrow(const spindl_narrow_arguments *arguments, spindl_context *context);
uint32_t spindl_narrow_cycles(const spindl_narrow_arguments *arguments);
uint32_t spindl_narrow_scratch(const spindl_narrow_arguments *arguments);

/* y = max(x, 0), for ReLU6 also at most RSH(6, e_x). y may be x. */
typedef struct {
    uint32_t x; /* address: int16 */
    uint32_t y; /* address: int16 */
    uint32_t count; /* elements */
    uint32_t activation; /* 1 ReLU, 2 ReLU6 */
    uint32_t x_exponent; /* value whose exponent is that of x */
} spindl_relu_arguments;
typedef char spindl_relu_arguments_size[sizeof(spindl_relu_arguments) == 20 ? 1 : -1];
int spindl_relu(const spindl_relu_arguments *arguments, spindl_context *context);
uint32_t spindl_relu_cycles(const spindl_relu_arguments *arguments);
uint32_t spindl_relu_scratch(const spindl_relu_arguments *arguments);

/* dx = dy where y > 0 (ReLU6: and y < RSH(6, e_y)), else 0. dx may be dy or y. */
typedef struct {
    uint32_t dy; /* address: int16 gradient */
    uint32_t y; /* address: int16 result of the activation */
    uint32_t dx; /* address: int16 */
    uint32_t count; /* elements */
    uint32_t activation; /* 1 ReLU, 2 ReLU6 */
    uint32_t y_exponent; /* value whose exponent is that of y */
} spindl_relu_gradient_arguments;
typedef char spindl_relu_gradient_arguments_size[sizeof(spindl_relu_gradient_arguments) == 24 ? 1 : -1];
int spindl_relu_gradient(const spindl_relu_gradient_arguments *arguments, spindl_context *context);
uint32_t spindl_relu_gradient_cycles(const spindl_relu_gradient_arguments *arguments);
uint32_t spindl_relu_gradient_scratch(const spindl_relu_gradient_arguments *arguments);

/* z = x + y, aligned to max(min(e_x, e_y), max(e_x, e_y) - 30), rounded at the site. z may be x or y. */
typedef struct {
    uint32_t x; /* address: int16 */
    uint32_t y; /* address: int16 */
    uint32_t z; /* address: int16 */
    uint32_t count; /* elements */
    uint32_t x_exponent; /* value whose exponent is that of x */
    uint32_t y_exponent; /* value whose exponent is that of y */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_add_arguments;
typedef char spindl_add_arguments_size[sizeof(spindl_add_arguments) == 40 ? 1 : -1];
int spindl_add(const spindl_add_arguments *arguments, spindl_context *context);
uint32_t spindl_add_cycles(const spindl_add_arguments *arguments);
uint32_t spindl_add_scratch(const spindl_add_arguments *arguments);

/* y = scale[c] * x + offset[c] at the exponent of offset, rounded at the site. y may be x where x_bytes is 2. */
typedef struct {
    uint32_t x; /* address: [pixels][channels] int16 or uint8 */
    uint32_t scale; /* address: [channels] int64 with |scale| < 2^31 */
    uint32_t offset; /* address: [channels] int64 */
    uint32_t y; /* address: [pixels][channels] int16 */
    uint32_t x_bytes; /* 1: uint8, 2: int16 */
    uint32_t pixels; /* pixels */
    uint32_t channels; /* channels */
    uint32_t offset_exponent; /* value whose exponent is that of offset */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_affine_arguments;
typedef char spindl_affine_arguments_size[sizeof(spindl_affine_arguments) == 48 ? 1 : -1];
int spindl_affine(const spindl_affine_arguments *arguments, spindl_context *context);
uint32_t spindl_affine_cycles(const spindl_affine_arguments *arguments);
uint32_t spindl_affine_scratch(const spindl_affine_arguments *arguments);

/* z = scale[c] * x + slope[c] * y + offset[c], rounded at the site. z may be x or y. */
typedef struct {
    uint32_t x; /* address: [pixels][channels] int16 */
    uint32_t scale; /* address: [channels] int64 with |scale| < 2^31 */
    uint32_t y; /* address: [pixels][channels] int16 */
    uint32_t slope; /* address: [channels] int64 with |slope| < 2^31 */
    uint32_t offset; /* address: [channels] int64 */
    uint32_t z; /* address: [pixels][channels] int16 */
    uint32_t pixels; /* pixels */
    uint32_t channels; /* channels */
    uint32_t offset_exponent; /* value whose exponent is that of offset */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_affine_pair_arguments;
typedef char spindl_affine_pair_arguments_size[sizeof(spindl_affine_pair_arguments) == 52 ? 1 : -1];
int spindl_affine_pair(const spindl_affine_pair_arguments *arguments, spindl_context *context);
uint32_t spindl_affine_pair_cycles(const spindl_affine_pair_arguments *arguments);
uint32_t spindl_affine_pair_scratch(const spindl_affine_pair_arguments *arguments);

/* Largest mantissa of each window; padding never wins. SPINDL_ERROR_ARGUMENT if a window sees a row of the image that x does not hold, or nothing but padding. */
typedef struct {
    uint32_t images; /* images */
    uint32_t channels; /* channels */
    uint32_t height; /* rows of the whole input image */
    uint32_t width; /* columns of the input */
    uint32_t first_row; /* row of the image that is x's row 0 */
    uint32_t rows; /* rows of x (below 65536 elements): all that the windows of these outputs see */
    uint32_t first_output; /* row of the whole output that is row 0 of y (of dy) */
    uint32_t outputs; /* rows of y (of dy) */
    uint32_t output_width; /* columns of the output */
    uint32_t kernel_height; /* rows of a window */
    uint32_t kernel_width; /* columns of a window, which has at most 256 cells */
    uint32_t stride_height; /* rows from window to window */
    uint32_t stride_width; /* columns from window to window */
    uint32_t padding_top; /* rows of padding above */
    uint32_t padding_left; /* columns of padding on the left */
    uint32_t dilation_height; /* rows from cell to cell of a window */
    uint32_t dilation_width; /* columns from cell to cell of a window */
    uint32_t x; /* address: [images][rows][width][channels] int16 */
    uint32_t y; /* address: [images][outputs][output_width][channels] */
} spindl_max_pool_arguments;
typedef char spindl_max_pool_arguments_size[sizeof(spindl_max_pool_arguments) == 76 ? 1 : -1];
int spindl_max_pool(const spindl_max_pool_arguments *arguments, spindl_context *context);
uint32_t spindl_max_pool_cycles(const spindl_max_pool_arguments *arguments);
uint32_t spindl_max_pool_scratch(const spindl_max_pool_arguments *arguments);

/* dx[cell] = sum of dy over the windows whose first maximum (row-major) is the cell, rounded at the site. */
typedef struct {
    uint32_t images; /* images */
    uint32_t channels; /* channels */
    uint32_t height; /* rows of the whole input image */
    uint32_t width; /* columns of the input */
    uint32_t first_row; /* row of the image that is x's row 0 */
    uint32_t rows; /* rows of x (below 65536 elements): all that the windows of these outputs see */
    uint32_t first_output; /* row of the whole output that is row 0 of y (of dy) */
    uint32_t outputs; /* rows of y (of dy) */
    uint32_t output_width; /* columns of the output */
    uint32_t kernel_height; /* rows of a window */
    uint32_t kernel_width; /* columns of a window, which has at most 256 cells */
    uint32_t stride_height; /* rows from window to window */
    uint32_t stride_width; /* columns from window to window */
    uint32_t padding_top; /* rows of padding above */
    uint32_t padding_left; /* columns of padding on the left */
    uint32_t dilation_height; /* rows from cell to cell of a window */
    uint32_t dilation_width; /* columns from cell to cell of a window */
    uint32_t dy; /* address: [images][outputs][output_width][channels] int16: of all windows that see a row of dx */
    uint32_t x; /* address: [images][rows][width][channels] int16: all that these windows see */
    uint32_t dx; /* address: [images][dx_rows][width][channels] int16 */
    uint32_t scratch; /* address: int32 of one image of dx (spindl_max_pool_gradient_scratch bytes) */
    uint32_t first_dx_row; /* row of the image that is dx's row 0 */
    uint32_t dx_rows; /* rows of dx */
    uint32_t dy_exponent; /* value whose exponent is that of dy */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_max_pool_gradient_arguments;
typedef char spindl_max_pool_gradient_arguments_size[sizeof(spindl_max_pool_gradient_arguments) == 112 ? 1 : -1];
int spindl_max_pool_gradient(const spindl_max_pool_gradient_arguments *arguments, spindl_context *context);
uint32_t spindl_max_pool_gradient_cycles(const spindl_max_pool_gradient_arguments *arguments);
uint32_t spindl_max_pool_gradient_scratch(const spindl_max_pool_gradient_arguments *arguments);

/* Average pooling: y = floor(2^20 / k + 1/2) * (sum of the window), at e_x - 20, rounded at the site. */
typedef struct {
    uint32_t x; /* address: [images][rows][width][channels] int16 */
    uint32_t y; /* address: [images][outputs][output_width][channels] */
    uint32_t row_windows; /* address: (start, stop) of each window of the whole output along its rows, uint16 pairs */
    uint32_t column_windows; /* address: (start, stop) of each window of the whole output along its columns, uint16 pairs */
    uint32_t images; /* images */
    uint32_t channels; /* channels */
    uint32_t width; /* columns of x */
    uint32_t first_row; /* row of the image that is x's row 0 */
    uint32_t rows; /* rows of x: all that the windows of these outputs see */
    uint32_t first_output; /* row of the whole output that is y's row 0 */
    uint32_t outputs; /* rows of y */
    uint32_t output_width; /* columns of y */
    uint32_t divisor; /* of every window; 0: each window's own number of cells (at most 65535) */
    uint32_t x_exponent; /* value whose exponent is that of x */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_window_sum_arguments;
typedef char spindl_window_sum_arguments_size[sizeof(spindl_window_sum_arguments) == 72 ? 1 : -1];
int spindl_window_sum(const spindl_window_sum_arguments *arguments, spindl_context *context);
uint32_t spindl_window_sum_cycles(const spindl_window_sum_arguments *arguments);
uint32_t spindl_window_sum_scratch(const spindl_window_sum_arguments *arguments);

/* dx[cell] = sum over the windows with the cell of floor(2^20 / k + 1/2) * dy, at e_dy - 20, rounded at the site. */
typedef struct {
    uint32_t dy; /* address: [images][outputs][output_width][channels] int16: of all windows that see a row of dx */
    uint32_t dx; /* address: [images][rows][width][channels] int16 */
    uint32_t row_windows; /* address: (start, stop) of each window of the whole output along its rows, uint16 pairs */
    uint32_t column_windows; /* address: (start, stop) of each window of the whole output along its columns, uint16 pairs */
    uint32_t images; /* images */
    uint32_t channels; /* channels */
    uint32_t width; /* columns of dx */
    uint32_t first_row; /* row of the image that is dx's row 0 */
    uint32_t rows; /* rows of dx */
    uint32_t first_output; /* row of the whole output that is dy's row 0 */
    uint32_t outputs; /* rows of dy */
    uint32_t output_width; /* columns of dy */
    uint32_t divisor; /* of every window; 0: each window's own number of cells (at most 65535) */
    uint32_t dy_exponent; /* value whose exponent is that of dy */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_window_sum_gradient_arguments;
typedef char spindl_window_sum_gradient_arguments_size[sizeof(spindl_window_sum_gradient_arguments) == 72 ? 1 : -1];
int spindl_window_sum_gradient(const spindl_window_sum_gradient_arguments *arguments, spindl_context *context);
uint32_t spindl_window_sum_gradient_cycles(const spindl_window_sum_gradient_arguments *arguments);
uint32_t spindl_window_sum_gradient_scratch(const spindl_window_sum_gradient_arguments *arguments);

/* 1 / (1 + exp(-x)) or tanh(x) in Q30, rounded at the site. y may be x. */
typedef struct {
    uint32_t x; /* address: int16 */
    uint32_t y; /* address: int16 */
    uint32_t count; /* elements */
    uint32_t hyperbolic; /* 0: sigmoid, 1: tanh */
    uint32_t x_exponent; /* value whose exponent is that of x */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_sigmoid_arguments;
typedef char spindl_sigmoid_arguments_size[sizeof(spindl_sigmoid_arguments) == 36 ? 1 : -1];
int spindl_sigmoid(const spindl_sigmoid_arguments *arguments, spindl_context *context);
uint32_t spindl_sigmoid_cycles(const spindl_sigmoid_arguments *arguments);
uint32_t spindl_sigmoid_scratch(const spindl_sigmoid_arguments *arguments);

/* dy * y * (1 - y), or dy * (1 - y^2), at e_dy + 2 e_y >= e_dy - 40, rounded at the site. dx may be dy. */
typedef struct {
    uint32_t dy; /* address: int16 */
    uint32_t y; /* address: int16 result of the activation */
    uint32_t dx; /* address: int16 */
    uint32_t count; /* elements */
    uint32_t hyperbolic; /* 0: sigmoid, 1: tanh */
    uint32_t dy_exponent; /* value whose exponent is that of dy */
    uint32_t y_exponent; /* value whose exponent is that of y */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_sigmoid_gradient_arguments;
typedef char spindl_sigmoid_gradient_arguments_size[sizeof(spindl_sigmoid_gradient_arguments) == 44 ? 1 : -1];
int spindl_sigmoid_gradient(const spindl_sigmoid_gradient_arguments *arguments, spindl_context *context);
uint32_t spindl_sigmoid_gradient_cycles(const spindl_sigmoid_gradient_arguments *arguments);
uint32_t spindl_sigmoid_gradient_scratch(const spindl_sigmoid_gradient_arguments *arguments);

/* exp(x - max) / sum along the middle axis in Q30, rounded at the site. y may not be x. */
typedef struct {
    uint32_t x; /* address: [outer][length][inner] int16 */
    uint32_t y; /* address: [outer][length][inner] int16 */
    uint32_t outer; /* outer count */
    uint32_t length; /* elements of the softmax axis */
    uint32_t inner; /* inner count */
    uint32_t x_exponent; /* value whose exponent is that of x */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_softmax_arguments;
typedef char spindl_softmax_arguments_size[sizeof(spindl_softmax_arguments) == 40 ? 1 : -1];
int spindl_softmax(const spindl_softmax_arguments *arguments, spindl_context *context);
uint32_t spindl_softmax_cycles(const spindl_softmax_arguments *arguments);
uint32_t spindl_softmax_scratch(const spindl_softmax_arguments *arguments);

/* y * (dy * one - sum(dy * y)) with one = 1 at e_y, at e_dy + 2 e_y, rounded at the site. dx may be dy. */
typedef struct {
    uint32_t dy; /* address: [outer][length][inner] int16 */
    uint32_t y; /* address: int16 result of softmax */
    uint32_t dx; /* address: int16 */
    uint32_t outer; /* outer count */
    uint32_t length; /* elements of the softmax axis */
    uint32_t inner; /* inner count */
    uint32_t dy_exponent; /* value whose exponent is that of dy */
    uint32_t y_exponent; /* value whose exponent is that of y */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_softmax_gradient_arguments;
typedef char spindl_softmax_gradient_arguments_size[sizeof(spindl_softmax_gradient_arguments) == 48 ? 1 : -1];
int spindl_softmax_gradient(const spindl_softmax_gradient_arguments *arguments, spindl_context *context);
uint32_t spindl_softmax_gradient_cycles(const spindl_softmax_gradient_arguments *arguments);
uint32_t spindl_softmax_gradient_scratch(const spindl_softmax_gradient_arguments *arguments);

/* y = multiplier * x where hash32(seed, step, place, position, element) >= threshold, else 0, at e_x - 14, rounded at the site. The gradient is the same. y may be x. */
typedef struct {
    uint32_t x; /* address: [images][elements] int16 */
    uint32_t y; /* address: int16 */
    uint32_t positions; /* address: [images] int32: places in the global batch */
    uint32_t seed; /* address: uint32 */
    uint32_t step; /* address: uint32 */
    uint32_t images; /* images */
    uint32_t elements; /* elements of an image in x */
    uint32_t first_element; /* index in the image (channels-last) of x's element 0 */
    uint32_t place; /* number of the place of the draw */
    uint32_t threshold; /* round(2^32 p) */
    uint32_t multiplier; /* round(2^14 / (1 - p)), below 2^31 */
    uint32_t x_exponent; /* value whose exponent is that of x */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_dropout_arguments;
typedef char spindl_dropout_arguments_size[sizeof(spindl_dropout_arguments) == 64 ? 1 : -1];
int spindl_dropout(const spindl_dropout_arguments *arguments, spindl_context *context);
uint32_t spindl_dropout_cycles(const spindl_dropout_arguments *arguments);
uint32_t spindl_dropout_scratch(const spindl_dropout_arguments *arguments);

/* Gradient, loss and hits of cross-entropy. SPINDL_ERROR_RANGE for a label outside 0..classes-1. */
typedef struct {
    uint32_t z; /* address: [images][classes] int16 logits */
    uint32_t labels; /* address: [images] int32 */
    uint32_t dz; /* address: [images][classes] int16: softmax(z) - target in Q30, rounded at the site; 0: left out */
    uint32_t loss; /* address: [images] int64: nats in Q16; 0: left out */
    uint32_t correct; /* address: [images] int64: 1 if the first largest logit is the label's; 0: left out */
    uint32_t images; /* images */
    uint32_t classes; /* classes */
    uint32_t smoothing; /* Q30 */
    uint32_t z_exponent; /* value whose exponent is that of z */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_cross_entropy_arguments;
typedef char spindl_cross_entropy_arguments_size[sizeof(spindl_cross_entropy_arguments) == 52 ? 1 : -1];
int spindl_cross_entropy(const spindl_cross_entropy_arguments *arguments, spindl_context *context);
uint32_t spindl_cross_entropy_cycles(const spindl_cross_entropy_arguments *arguments);
uint32_t spindl_cross_entropy_scratch(const spindl_cross_entropy_arguments *arguments);

/* dz = clamp(z - target, 2^40) * multiplier, 20 places below the aligned difference; loss = the mean square. */
typedef struct {
    uint32_t z; /* address: [images][features] int16 */
    uint32_t target; /* address: [images][features] int32, Q16 */
    uint32_t dz; /* address: int16: the gradient, rounded at the site; 0: left out */
    uint32_t loss; /* address: [images] int64: Q16; 0: left out */
    uint32_t images; /* images */
    uint32_t features; /* features of an image */
    uint32_t multiplier; /* round(2^20 * 2 / features) */
    uint32_t z_exponent; /* value whose exponent is that of z */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_squared_error_arguments;
typedef char spindl_squared_error_arguments_size[sizeof(spindl_squared_error_arguments) == 48 ? 1 : -1];
int spindl_squared_error(const spindl_squared_error_arguments *arguments, spindl_context *context);
uint32_t spindl_squared_error_cycles(const spindl_squared_error_arguments *arguments);
uint32_t spindl_squared_error_scratch(const spindl_squared_error_arguments *arguments);

/* Gradient, loss and hits of binary cross-entropy. SPINDL_ERROR_RANGE for a target outside 0..2^16. */
typedef struct {
    uint32_t z; /* address: [images][features] int16 logits */
    uint32_t target; /* address: [images][features] int32, Q16 in 0..2^16 */
    uint32_t dz; /* address: int16: RSH((sigmoid(z) - target) * multiplier, 20) in Q30, rounded; 0: left out */
    uint32_t loss; /* address: [images] int64: Q16; 0: left out */
    uint32_t correct; /* address: [images] int64: 1 if all signs say their targets; 0: left out */
    uint32_t images; /* images */
    uint32_t features; /* features of an image */
    uint32_t multiplier; /* round(2^20 / features) */
    uint32_t z_exponent; /* value whose exponent is that of z */
    uint32_t site; /* site where the result is rounded */
    uint32_t bits; /* mantissa bits of y including the sign, 8..16 */
    uint32_t activation; /* after rounding: 0 nothing, 1 ReLU, 2 ReLU6 */
    uint32_t ties; /* 0 up, 1 to the even neighbour */
} spindl_binary_cross_entropy_arguments;
typedef char spindl_binary_cross_entropy_arguments_size[sizeof(spindl_binary_cross_entropy_arguments) == 52 ? 1 : -1];
int spindl_binary_cross_entropy(const spindl_binary_cross_entropy_arguments *arguments, spindl_context *context);
uint32_t spindl_binary_cross_entropy_cycles(const spindl_binary_cross_entropy_arguments *arguments);
uint32_t spindl_binary_cross_entropy_scratch(const spindl_binary_cross_entropy_arguments *arguments);

/* channel_sum and channel_dot over the pixels of a tile. */
typedef struct {
    uint32_t x; /* address: [pixels][channels] int16 */
    uint32_t y; /* address: [pixels][channels] int16; may be x */
    uint32_t sum; /* address: [channels] int64: sum of x; 0: left out */
    uint32_t dot; /* address: [channels] int64: sum of x * y; 0: left out */
    uint32_t pixels; /* pixels, at most 65535 */
    uint32_t channels; /* channels */
    uint32_t first; /* 1: sums begin at 0; 0: add to them */
} spindl_channel_sums_arguments;
typedef char spindl_channel_sums_arguments_size[sizeof(spindl_channel_sums_arguments) == 28 ? 1 : -1];
int spindl_channel_sums(const spindl_channel_sums_arguments *arguments, spindl_context *context);
uint32_t spindl_channel_sums_cycles(const spindl_channel_sums_arguments *arguments);
uint32_t spindl_channel_sums_scratch(const spindl_channel_sums_arguments *arguments);

/* 1 / sqrt(variance + eps). */
typedef struct {
    uint32_t s1; /* address: int64 sums */
    uint32_t s2; /* address: int64 sums of squares */
    uint32_t y; /* address: pairs */
    uint32_t channels; /* channels */
    uint32_t s1_exponent; /* value whose exponent is that of s1 */
    uint32_t count; /* N */
    int32_t eps_mantissa; /* eps, mantissa of a pair */
    int32_t eps_exponent; /* its exponent */
} spindl_inverse_deviation_arguments;
typedef char spindl_inverse_deviation_arguments_size[sizeof(spindl_inverse_deviation_arguments) == 32 ? 1 : -1];
int spindl_inverse_deviation(const spindl_inverse_deviation_arguments *arguments, spindl_context *context);
uint32_t spindl_inverse_deviation_cycles(const spindl_inverse_deviation_arguments *arguments);
uint32_t spindl_inverse_deviation_scratch(const spindl_inverse_deviation_arguments *arguments);

/* 1 / sqrt(running variance + eps). */
typedef struct {
    uint32_t variance; /* address: pairs */
    uint32_t y; /* address: pairs */
    uint32_t channels; /* channels */
    int32_t eps_mantissa; /* eps, mantissa of a pair */
    int32_t eps_exponent; /* its exponent */
} spindl_running_inverse_deviation_arguments;
typedef char spindl_running_inverse_deviation_arguments_size[sizeof(spindl_running_inverse_deviation_arguments) == 20 ? 1 : -1];
int spindl_running_inverse_deviation(const spindl_running_inverse_deviation_arguments *arguments, spindl_context *context);
uint32_t spindl_running_inverse_deviation_cycles(const spindl_running_inverse_deviation_arguments *arguments);
uint32_t spindl_running_inverse_deviation_scratch(const spindl_running_inverse_deviation_arguments *arguments);

/* gamma * inverse at e_site - 16 - e_reference, clamped to 2^31 - 1. */
typedef struct {
    uint32_t gamma; /* address: int32 */
    uint32_t inverse; /* address: pairs */
    uint32_t y; /* address: int64 */
    uint32_t channels; /* channels */
    uint32_t gamma_exponent; /* value whose exponent is that of gamma */
    uint32_t site; /* site of the result of the normalisation (of its gradient) */
    uint32_t reference_exponent; /* value whose exponent is that of reference */
} spindl_batch_norm_scale_arguments;
typedef char spindl_batch_norm_scale_arguments_size[sizeof(spindl_batch_norm_scale_arguments) == 28 ? 1 : -1];
int spindl_batch_norm_scale(const spindl_batch_norm_scale_arguments *arguments, spindl_context *context);
uint32_t spindl_batch_norm_scale_cycles(const spindl_batch_norm_scale_arguments *arguments);
uint32_t spindl_batch_norm_scale_scratch(const spindl_batch_norm_scale_arguments *arguments);

/* beta at e_site - 16, clamped to 2^61, less RSH(scale * mean, 16), the mean with 16 fraction bits. */
typedef struct {
    uint32_t beta; /* address: int32 */
    uint32_t scale; /* address: int64 */
    uint32_t s1; /* address: int64 */
    uint32_t y; /* address: int64 */
    uint32_t channels; /* channels */
    uint32_t beta_exponent; /* value whose exponent is that of beta */
    uint32_t site; /* site of the result of the normalisation (of its gradient) */
    uint32_t count; /* N */
} spindl_batch_norm_offset_arguments;
typedef char spindl_batch_norm_offset_arguments_size[sizeof(spindl_batch_norm_offset_arguments) == 32 ? 1 : -1];
int spindl_batch_norm_offset(const spindl_batch_norm_offset_arguments *arguments, spindl_context *context);
uint32_t spindl_batch_norm_offset_cycles(const spindl_batch_norm_offset_arguments *arguments);
uint32_t spindl_batch_norm_offset_scratch(const spindl_batch_norm_offset_arguments *arguments);

/* beta at e_site - 16, clamped to 2^61, less RSH(scale * running mean, 16). */
typedef struct {
    uint32_t beta; /* address: int32 */
    uint32_t scale; /* address: int64 */
    uint32_t mean; /* address: pairs */
    uint32_t y; /* address: int64 */
    uint32_t channels; /* channels */
    uint32_t beta_exponent; /* value whose exponent is that of beta */
    uint32_t scale_exponent; /* value whose exponent is that of scale */
    uint32_t site; /* site of the result of the normalisation (of its gradient) */
} spindl_running_offset_arguments;
typedef char spindl_running_offset_arguments_size[sizeof(spindl_running_offset_arguments) == 32 ? 1 : -1];
int spindl_running_offset(const spindl_running_offset_arguments *arguments, spindl_context *context);
uint32_t spindl_running_offset_cycles(const spindl_running_offset_arguments *arguments);
uint32_t spindl_running_offset_scratch(const spindl_running_offset_arguments *arguments);

/* (N * sgx - s1 * sg) * inverse / N. */
typedef struct {
    uint32_t sg; /* address: int64 */
    uint32_t sgx; /* address: int64 */
    uint32_t s1; /* address: int64 */
    uint32_t inverse; /* address: pairs */
    uint32_t y; /* address: pairs */
    uint32_t channels; /* channels */
    uint32_t sgx_exponent; /* value whose exponent is that of sgx */
    uint32_t count; /* N */
} spindl_gamma_gradient_arguments;
typedef char spindl_gamma_gradient_arguments_size[sizeof(spindl_gamma_gradient_arguments) == 32 ? 1 : -1];
int spindl_gamma_gradient(const spindl_gamma_gradient_arguments *arguments, spindl_context *context);
uint32_t spindl_gamma_gradient_cycles(const spindl_gamma_gradient_arguments *arguments);
uint32_t spindl_gamma_gradient_scratch(const spindl_gamma_gradient_arguments *arguments);

/* (sgx - sg * running mean) * inverse. */
typedef struct {
    uint32_t sg; /* address: int64 */
    uint32_t sgx; /* address: int64 */
    uint32_t mean; /* address: pairs */
    uint32_t inverse; /* address: pairs */
    uint32_t y; /* address: pairs */
    uint32_t channels; /* channels */
    uint32_t sg_exponent; /* value whose exponent is that of sg */
    uint32_t sgx_exponent; /* value whose exponent is that of sgx */
} spindl_running_gamma_gradient_arguments;
typedef char spindl_running_gamma_gradient_arguments_size[sizeof(spindl_running_gamma_gradient_arguments) == 32 ? 1 : -1];
int spindl_running_gamma_gradient(const spindl_running_gamma_gradient_arguments *arguments, spindl_context *context);
uint32_t spindl_running_gamma_gradient_cycles(const spindl_running_gamma_gradient_arguments *arguments);
uint32_t spindl_running_gamma_gradient_scratch(const spindl_running_gamma_gradient_arguments *arguments);

/* -gamma * inverse^2 * dgamma / N at e_site - 16 - e_s1, clamped to 2^31 - 1. */
typedef struct {
    uint32_t gamma; /* address: int32 */
    uint32_t inverse; /* address: pairs */
    uint32_t gradient; /* address: pairs: dgamma */
    uint32_t y; /* address: int64 */
    uint32_t channels; /* channels */
    uint32_t gamma_exponent; /* value whose exponent is that of gamma */
    uint32_t s1_exponent; /* value whose exponent is that of s1 */
    uint32_t site; /* site of the result of the normalisation (of its gradient) */
    uint32_t count; /* N */
} spindl_batch_norm_slope_arguments;
typedef char spindl_batch_norm_slope_arguments_size[sizeof(spindl_batch_norm_slope_arguments) == 36 ? 1 : -1];
int spindl_batch_norm_slope(const spindl_batch_norm_slope_arguments *arguments, spindl_context *context);
uint32_t spindl_batch_norm_slope_cycles(const spindl_batch_norm_slope_arguments *arguments);
uint32_t spindl_batch_norm_slope_scratch(const spindl_batch_norm_slope_arguments *arguments);

/* -floor((2 * scale * sg + N) / 2N) - RSH(slope * mean, 16), the mean with 16 fraction bits. */
typedef struct {
    uint32_t scale; /* address: int64 */
    uint32_t slope; /* address: int64 */
    uint32_t sg; /* address: int64 */
    uint32_t s1; /* address: int64 */
    uint32_t y; /* address: int64 */
    uint32_t channels; /* channels */
    uint32_t count; /* N */
} spindl_batch_norm_gradient_offset_arguments;
typedef char spindl_batch_norm_gradient_offset_arguments_size[sizeof(spindl_batch_norm_gradient_offset_arguments) == 28 ? 1 : -1];
int spindl_batch_norm_gradient_offset(const spindl_batch_norm_gradient_offset_arguments *arguments, spindl_context *context);
uint32_t spindl_batch_norm_gradient_offset_cycles(const spindl_batch_norm_gradient_offset_arguments *arguments);
uint32_t spindl_batch_norm_gradient_offset_scratch(const spindl_batch_norm_gradient_offset_arguments *arguments);

/* running + (s1 / N - running) * momentum. */
typedef struct {
    uint32_t running; /* address: pairs */
    uint32_t s1; /* address: int64 */
    uint32_t y; /* address: pairs */
    uint32_t channels; /* channels */
    uint32_t s1_exponent; /* value whose exponent is that of s1 */
    uint32_t count; /* N */
    uint32_t momentum; /* Q15 */
} spindl_running_mean_arguments;
typedef char spindl_running_mean_arguments_size[sizeof(spindl_running_mean_arguments) == 28 ? 1 : -1];
int spindl_running_mean(const spindl_running_mean_arguments *arguments, spindl_context *context);
uint32_t spindl_running_mean_cycles(const spindl_running_mean_arguments *arguments);
uint32_t spindl_running_mean_scratch(const spindl_running_mean_arguments *arguments);

/* running + ((N * s2 - s1^2) / N / (N - 1) - running) * momentum. */
typedef struct {
    uint32_t running; /* address: pairs */
    uint32_t s1; /* address: int64 */
    uint32_t s2; /* address: int64 */
    uint32_t y; /* address: pairs */
    uint32_t channels; /* channels */
    uint32_t s1_exponent; /* value whose exponent is that of s1 */
    uint32_t count; /* N */
    uint32_t momentum; /* Q15 */
} spindl_running_variance_arguments;
typedef char spindl_running_variance_arguments_size[sizeof(spindl_running_variance_arguments) == 32 ? 1 : -1];
int spindl_running_variance(const spindl_running_variance_arguments *arguments, spindl_context *context);
uint32_t spindl_running_variance_cycles(const spindl_running_variance_arguments *arguments);
uint32_t spindl_running_variance_scratch(const spindl_running_variance_arguments *arguments);

/* Pairs as integers at e_site, clamped to 2^61. */
typedef struct {
    uint32_t x; /* address: pairs */
    uint32_t y; /* address: int64 */
    uint32_t channels; /* channels */
    uint32_t site; /* site of the result of the normalisation (of its gradient) */
} spindl_pair_to_wide_arguments;
typedef char spindl_pair_to_wide_arguments_size[sizeof(spindl_pair_to_wide_arguments) == 16 ? 1 : -1];
int spindl_pair_to_wide(const spindl_pair_to_wide_arguments *arguments, spindl_context *context);
uint32_t spindl_pair_to_wide_cycles(const spindl_pair_to_wide_arguments *arguments);
uint32_t spindl_pair_to_wide_scratch(const spindl_pair_to_wide_arguments *arguments);

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

/* After a step: states become those of the next step (docs/numbers.md, delayed scaling). */
typedef struct {
    uint32_t states; /* address: [count] spindl_site_state */
    uint32_t sites; /* address: [count] spindl_site, merged over all cores */
    uint32_t count; /* sites */
} spindl_next_sites_arguments;
typedef char spindl_next_sites_arguments_size[sizeof(spindl_next_sites_arguments) == 12 ? 1 : -1];
int spindl_next_sites(const spindl_next_sites_arguments *arguments, spindl_context *context);
uint32_t spindl_next_sites_cycles(const spindl_next_sites_arguments *arguments);
uint32_t spindl_next_sites_scratch(const spindl_next_sites_arguments *arguments);

/* Fills the exponent table at the start of a step, or the exponents of the State at its end. SPINDL_ERROR_ARGUMENT for an unknown rule, value, site or word. */
typedef struct {
    uint32_t rules; /* address: [count] spindl_exponent_rule, applied in order */
    uint32_t state; /* address: int32 words */
    uint32_t count; /* rules */
    uint32_t state_count; /* words of state */
} spindl_exponents_arguments;
typedef char spindl_exponents_arguments_size[sizeof(spindl_exponents_arguments) == 16 ? 1 : -1];
int spindl_exponents(const spindl_exponents_arguments *arguments, spindl_context *context);
uint32_t spindl_exponents_cycles(const spindl_exponents_arguments *arguments);
uint32_t spindl_exponents_scratch(const spindl_exponents_arguments *arguments);

/* y (+)= sum of the rows of x, exactly: gradient groups, partial sums of cores, losses of images (count 1). */
typedef struct {
    uint32_t x; /* address: [rows][count] of x_bytes bytes each */
    uint32_t y; /* address: [count] of y_bytes bytes each */
    uint32_t x_bytes; /* 2: int16, 4: int32, 8: int64 */
    uint32_t y_bytes; /* 4: int32, 8: int64; at least x_bytes */
    uint32_t rows; /* rows */
    uint32_t count; /* elements of a row */
    uint32_t x_pitch; /* bytes from row to row of x, a multiple of min(x_bytes, 4) */
    uint32_t first; /* 1: y begins at 0; 0: add to it */
} spindl_sum_rows_arguments;
typedef char spindl_sum_rows_arguments_size[sizeof(spindl_sum_rows_arguments) == 32 ? 1 : -1];
int spindl_sum_rows(const spindl_sum_rows_arguments *arguments, spindl_context *context);
uint32_t spindl_sum_rows_cycles(const spindl_sum_rows_arguments *arguments);
uint32_t spindl_sum_rows_scratch(const spindl_sum_rows_arguments *arguments);

/* Before a step: sites take their exponents from the State; extents become EMPTY, counts of clamped elements 0. */
typedef struct {
    uint32_t states; /* address: [count] spindl_site_state */
    uint32_t count; /* sites, the first ones of the table */
} spindl_begin_sites_arguments;
typedef char spindl_begin_sites_arguments_size[sizeof(spindl_begin_sites_arguments) == 8 ? 1 : -1];
int spindl_begin_sites(const spindl_begin_sites_arguments *arguments, spindl_context *context);
uint32_t spindl_begin_sites_cycles(const spindl_begin_sites_arguments *arguments);
uint32_t spindl_begin_sites_scratch(const spindl_begin_sites_arguments *arguments);

/* y's extents become the maxima of all, y's counts of clamped elements the sums. */
typedef struct {
    uint32_t x; /* address: [rows][count] spindl_site */
    uint32_t y; /* address: [count] spindl_site */
    uint32_t rows; /* cores */
    uint32_t count; /* sites */
    uint32_t x_pitch; /* bytes from row to row of x */
} spindl_merge_sites_arguments;
typedef char spindl_merge_sites_arguments_size[sizeof(spindl_merge_sites_arguments) == 20 ? 1 : -1];
int spindl_merge_sites(const spindl_merge_sites_arguments *arguments, spindl_context *context);
uint32_t spindl_merge_sites_cycles(const spindl_merge_sites_arguments *arguments);
uint32_t spindl_merge_sites_scratch(const spindl_merge_sites_arguments *arguments);

/* D = T(decay * W) + T(gradient), terms at e_site; further gradients by further calls with master 0, first 0. At most five gradients. y may be an int64 gradient. */
typedef struct {
    uint32_t master; /* address: int32 W; 0: no decay */
    uint32_t decay; /* address: scalar B * wd */
    uint32_t gradient; /* address: int32 or int64; 0: none */
    uint32_t y; /* address: int64 D at e_site */
    uint32_t gradient_bytes; /* 4 or 8 */
    uint32_t first; /* 1: D = terms; 0: D += terms */
    uint32_t watch; /* 1: D is complete, its extent goes to the site (LARS) */
    uint32_t count; /* elements */
    uint32_t site; /* site of the momentum (for the direction of LARS: of the direction) */
    uint32_t master_exponent; /* value whose exponent is that of master */
    uint32_t gradient_exponent; /* value whose exponent is that of gradient */
} spindl_direction_arguments;
typedef char spindl_direction_arguments_size[sizeof(spindl_direction_arguments) == 44 ? 1 : -1];
int spindl_direction(const spindl_direction_arguments *arguments, spindl_context *context);
uint32_t spindl_direction_cycles(const spindl_direction_arguments *arguments);
uint32_t spindl_direction_scratch(const spindl_direction_arguments *arguments);

/* y = T(rate * clamp(D, 2^46)) at e_site. */
typedef struct {
    uint32_t step; /* address: int64 D */
    uint32_t rate; /* address: scalar */
    uint32_t y; /* address: int64 at e_site; may be D */
    uint32_t count; /* elements */
    uint32_t site; /* site of the momentum (for the direction of LARS: of the direction) */
    uint32_t step_exponent; /* value whose exponent is that of step */
} spindl_scale_direction_arguments;
typedef char spindl_scale_direction_arguments_size[sizeof(spindl_scale_direction_arguments) == 24 ? 1 : -1];
int spindl_scale_direction(const spindl_scale_direction_arguments *arguments, spindl_context *context);
uint32_t spindl_scale_direction_cycles(const spindl_scale_direction_arguments *arguments);
uint32_t spindl_scale_direction_scratch(const spindl_scale_direction_arguments *arguments);

/* direction, momentum, saturate32 (its site watches it) and descend in one pass. Without `fixed` y is the low 32 bits of W - T(rate * U): if any core's overflow word is set, `halve` follows on the whole tensor. */
typedef struct {
    uint32_t master; /* address: int32 W */
    uint32_t velocity; /* address: int32 V, becomes V'; 0: no momentum */
    uint32_t gradient; /* address: int32 or int64 dW, or int64 D */
    uint32_t change; /* address: int32 U, for `halve`; may be dW; 0: not kept (it is V' without Nesterov) */
    uint32_t decay; /* address: scalar B * wd; 0: no decay */
    uint32_t factor; /* address: scalar mu */
    uint32_t rate; /* address: scalar lr / B (LARS: 1) */
    uint32_t y; /* address: int32; may be W */
    uint32_t overflow; /* address: int32 word that becomes 1 if any |W - T(rate * U)| > 0.98 * 2^31, else is left alone */
    uint32_t gradient_bytes; /* 4 or 8 */
    uint32_t ready; /* 1: gradient is the direction D at e_site, decay included */
    uint32_t nesterov; /* 1: Nesterov's momentum */
    uint32_t fixed; /* 1: biases, gamma, beta: y is clamped, e_W stays; overflow is not touched */
    uint32_t count; /* elements */
    uint32_t site; /* site of the momentum (for the direction of LARS: of the direction) */
    uint32_t master_exponent; /* value whose exponent is that of master */
    uint32_t velocity_exponent; /* value whose exponent is that of velocity */
    uint32_t gradient_exponent; /* value whose exponent is that of gradient */
} spindl_update_arguments;
typedef char spindl_update_arguments_size[sizeof(spindl_update_arguments) == 72 ? 1 : -1];
int spindl_update(const spindl_update_arguments *arguments, spindl_context *context);
uint32_t spindl_update_cycles(const spindl_update_arguments *arguments);
uint32_t spindl_update_scratch(const spindl_update_arguments *arguments);

/* y = clamp(RSH(W - T(rate * U), 1), 2^31 - 1) at e_W + 1; W is recovered exactly from its wrapped difference. master_exponent is still the old e_W. y may be master. */
typedef struct {
    uint32_t master; /* address: int32: what `update` left */
    uint32_t step; /* address: int32 U of that call */
    uint32_t rate; /* address: scalar */
    uint32_t y; /* address: int32 */
    uint32_t count; /* elements */
    uint32_t site; /* site of the momentum (for the direction of LARS: of the direction) */
    uint32_t master_exponent; /* value whose exponent is that of master */
} spindl_halve_arguments;
typedef char spindl_halve_arguments_size[sizeof(spindl_halve_arguments) == 28 ? 1 : -1];
int spindl_halve(const spindl_halve_arguments *arguments, spindl_context *context);
uint32_t spindl_halve_cycles(const spindl_halve_arguments *arguments);
uint32_t spindl_halve_scratch(const spindl_halve_arguments *arguments);

/* largest = bit_length(max |x|), over several tiles. */
typedef struct {
    uint32_t x; /* address: [count] of x_bytes bytes each */
    uint32_t largest; /* address: int32 word */
    uint32_t x_bytes; /* 2: int16, 4: int32, 8: int64 */
    uint32_t first; /* 1: the word begins at 0; 0: maximum with it */
    uint32_t count; /* elements */
} spindl_largest_bits_arguments;
typedef char spindl_largest_bits_arguments_size[sizeof(spindl_largest_bits_arguments) == 20 ? 1 : -1];
int spindl_largest_bits(const spindl_largest_bits_arguments *arguments, spindl_context *context);
uint32_t spindl_largest_bits_cycles(const spindl_largest_bits_arguments *arguments);
uint32_t spindl_largest_bits_scratch(const spindl_largest_bits_arguments *arguments);

/* y (+)= sum of RSH(x, s)^2 with s = max(0, largest - 15); its exponent is 2 (e_x + s). */
typedef struct {
    uint32_t x; /* address: [count] of x_bytes bytes each */
    uint32_t largest; /* address: int32 word: largest_bits of the tensor */
    uint32_t y; /* address: int64 */
    uint32_t x_bytes; /* 2: int16, 4: int32, 8: int64 */
    uint32_t first; /* 1: y begins at 0; 0: add to it */
    uint32_t count; /* elements */
} spindl_squared_norm_arguments;
typedef char spindl_squared_norm_arguments_size[sizeof(spindl_squared_norm_arguments) == 24 ? 1 : -1];
int spindl_squared_norm(const spindl_squared_norm_arguments *arguments, spindl_context *context);
uint32_t spindl_squared_norm_cycles(const spindl_squared_norm_arguments *arguments);
uint32_t spindl_squared_norm_scratch(const spindl_squared_norm_arguments *arguments);

/* lr * eta * |W| / (|G| + B*wd * |W| + eps) with 15 bits; lr/B where |W| or |G| is 0. */
typedef struct {
    uint32_t weight_norm; /* address: int64 squared norm of W */
    uint32_t weight_largest; /* address: int32 word: largest_bits of W */
    uint32_t gradient_norm; /* address: int64 squared norm of the summed gradient */
    uint32_t gradient_largest; /* address: int32 word: its largest_bits */
    uint32_t rate; /* address: scalar lr / B */
    uint32_t decay; /* address: scalar B * wd */
    uint32_t y; /* address: scalar */
    uint32_t batch; /* B */
    int32_t eta_mantissa; /* eta, mantissa of a pair */
    int32_t eta_exponent; /* its exponent */
    int32_t eps_mantissa; /* eps of the summed gradient, mantissa of a pair */
    int32_t eps_exponent; /* its exponent */
    uint32_t weight_exponent; /* value whose exponent is that of weight */
    uint32_t gradient_exponent; /* value whose exponent is that of gradient */
} spindl_lars_rate_arguments;
typedef char spindl_lars_rate_arguments_size[sizeof(spindl_lars_rate_arguments) == 56 ? 1 : -1];
int spindl_lars_rate(const spindl_lars_rate_arguments *arguments, spindl_context *context);
uint32_t spindl_lars_rate_cycles(const spindl_lars_rate_arguments *arguments);
uint32_t spindl_lars_rate_scratch(const spindl_lars_rate_arguments *arguments);

/* Sends a block and waits until every receiver has it; sends again what they ask for. */
typedef struct {
    uint32_t stream; /* its number, even; the answers use stream + 1 */
    uint32_t block; /* number of the block */
    uint32_t x; /* the words, a multiple of 4 */
    uint32_t words; /* their number, 1 to 1023 */
    uint32_t receivers; /* bits of the receivers that have to acknowledge */
    uint32_t gap; /* cycles from packet to packet, at least */
} spindl_send_arguments;
typedef char spindl_send_arguments_size[sizeof(spindl_send_arguments) == 24 ? 1 : -1];
int spindl_send(const spindl_send_arguments *arguments, spindl_context *context);

/* From now on the block's packets are taken: the word of place p goes to y + 4 p, the head to y. A slot may be listened to again after its `receive`. */
typedef struct {
    uint32_t slot; /* 0 or 1: two blocks can be under way */
    uint32_t stream; /* its number, even; the answers use stream + 1 */
    uint32_t block; /* number of the block */
    uint32_t y; /* room for the block's head and its words, a multiple of 4 */
    uint32_t words; /* number of words, 1 to 1023 */
    uint32_t receiver; /* number of this receiver among those of the stream, 0 to 31 */
} spindl_listen_arguments;
typedef char spindl_listen_arguments_size[sizeof(spindl_listen_arguments) == 24 ? 1 : -1];
int spindl_listen(const spindl_listen_arguments *arguments, spindl_context *context);

/* Waits until the block is complete, checked and acknowledged, asking for what is missing. */
typedef struct {
    uint32_t slot; /* as given to listen */
} spindl_receive_arguments;
typedef char spindl_receive_arguments_size[sizeof(spindl_receive_arguments) == 4 ? 1 : -1];
int spindl_receive(const spindl_receive_arguments *arguments, spindl_context *context);

/* X(name) for every kernel that is also built for the host. */
#define SPINDL_EVERY_KERNEL(X) \
    X(convolution) \
    X(convolution_input_gradient) \
    X(convolution_weight_gradient) \
    X(round_sums) \
    X(add_rounded_sums) \
    X(requantise) \
    X(move) \
    X(narrow) \
    X(relu) \
    X(relu_gradient) \
    X(add) \
    X(affine) \
    X(affine_pair) \
    X(max_pool) \
    X(max_pool_gradient) \
    X(window_sum) \
    X(window_sum_gradient) \
    X(sigmoid) \
    X(sigmoid_gradient) \
    X(softmax) \
    X(softmax_gradient) \
    X(dropout) \
    X(cross_entropy) \
    X(squared_error) \
    X(binary_cross_entropy) \
    X(channel_sums) \
    X(inverse_deviation) \
    X(running_inverse_deviation) \
    X(batch_norm_scale) \
    X(batch_norm_offset) \
    X(running_offset) \
    X(gamma_gradient) \
    X(running_gamma_gradient) \
    X(batch_norm_slope) \
    X(batch_norm_gradient_offset) \
    X(running_mean) \
    X(running_variance) \
    X(pair_to_wide) \
    X(copy) \
    X(next_sites) \
    X(exponents) \
    X(sum_rows) \
    X(begin_sites) \
    X(merge_sites) \
    X(direction) \
    X(scale_direction) \
    X(update) \
    X(halve) \
    X(largest_bits) \
    X(squared_norm) \
    X(lars_rate) \

/* X(name) for those that need a core's runtime. */
#define SPINDL_EVERY_RUNTIME_KERNEL(X) \
    X(send) \
    X(listen) \
    X(receive) \

#endif
