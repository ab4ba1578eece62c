/* Written by `python -m tests.kernels.costs` from cycles measured on the emulator, in 32nds of a cycle. */
#include "spindl_kernels.h"

uint32_t spindl_requantise_cycles(const spindl_requantise_arguments *a) {
    (void)a;
    int64_t parts = 7376;
    parts += (int64_t)(a->rows) * 7376;
    parts += (int64_t)(a->rows * a->columns * (a->x_bytes == 8)) * 1952;
    parts += (int64_t)(a->rows * a->columns * (a->x_bytes != 8)) * 4320;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_requantise_scratch(const spindl_requantise_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_move_cycles(const spindl_move_arguments *a) {
    (void)a;
    int64_t parts = 3401;
    parts += (int64_t)(a->count_0 * a->count_1 * a->count_2) * 2668;
    parts += (int64_t)(a->count_0 * a->count_1 * a->count_2 * a->count_3 * a->bytes * (((a->x | a->y | a->x_stride_2 | a->y_stride_2 | a->bytes * a->count_3) & 3) == 0) * (a->x_stride_3 == (int32_t)a->bytes) * (a->y_stride_3 == (int32_t)a->bytes)) * 77;
    parts += (int64_t)(a->count_0 * a->count_1 * a->count_2 * a->count_3 * (1 - (((a->x | a->y | a->x_stride_2 | a->y_stride_2 | a->bytes * a->count_3) & 3) == 0) * (a->x_stride_3 == (int32_t)a->bytes) * (a->y_stride_3 == (int32_t)a->bytes)) * (a->bytes == 2)) * 384;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_move_scratch(const spindl_move_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_narrow_cycles(const spindl_narrow_arguments *a) {
    (void)a;
    int64_t parts = 1056;
    parts += (int64_t)(a->count) * 448;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_narrow_scratch(const spindl_narrow_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_relu_cycles(const spindl_relu_arguments *a) {
    (void)a;
    int64_t parts = 1024;
    parts += (int64_t)(a->activation == 2) * 2368;
    parts += (int64_t)(a->count * (a->activation == 1)) * 136;
    parts += (int64_t)(a->count * (a->activation == 2)) * 352;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_relu_scratch(const spindl_relu_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_relu_gradient_cycles(const spindl_relu_gradient_arguments *a) {
    (void)a;
    int64_t parts = 1248;
    parts += (int64_t)(a->activation == 2) * 2400;
    parts += (int64_t)(a->count * (a->activation == 1)) * 176;
    parts += (int64_t)(a->count * (a->activation == 2)) * 352;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_relu_gradient_scratch(const spindl_relu_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_add_cycles(const spindl_add_arguments *a) {
    (void)a;
    int64_t parts = 13504;
    parts += (int64_t)(a->count) * 640;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_add_scratch(const spindl_add_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_affine_cycles(const spindl_affine_arguments *a) {
    (void)a;
    int64_t parts = 14260;
    parts += (int64_t)(a->channels) * 9280;
    parts += (int64_t)(a->pixels * a->channels * (a->x_bytes == 2)) * 608;
    parts += (int64_t)(a->pixels * a->channels * (a->x_bytes == 1)) * 832;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_affine_scratch(const spindl_affine_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_affine_pair_cycles(const spindl_affine_pair_arguments *a) {
    (void)a;
    int64_t parts = 14272;
    parts += (int64_t)(a->channels) * 9376;
    parts += (int64_t)(a->pixels * a->channels) * 608;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_affine_pair_scratch(const spindl_affine_pair_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_max_pool_cycles(const spindl_max_pool_arguments *a) {
    (void)a;
    int64_t parts = 3473;
    parts += (int64_t)(a->outputs * a->images) * 5003;
    parts += (int64_t)(a->images * a->outputs * a->output_width) * 5988;
    parts += (int64_t)(a->images * a->outputs * a->output_width * a->kernel_height * a->kernel_width) * 1031;
    parts += (int64_t)(a->images * a->outputs * a->output_width * a->channels) * -58;
    parts += (int64_t)(a->images * a->outputs * a->output_width * a->kernel_height * a->kernel_width * a->channels) * 273;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_max_pool_scratch(const spindl_max_pool_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_max_pool_gradient_cycles(const spindl_max_pool_gradient_arguments *a) {
    (void)a;
    int64_t parts = 8448;
    parts += (int64_t)(a->outputs * a->images) * 10700;
    parts += (int64_t)(a->images * a->outputs * a->output_width) * 513;
    parts += (int64_t)(a->images * a->outputs * a->output_width * a->kernel_height * a->kernel_width) * 2000;
    parts += (int64_t)(a->images * a->outputs * a->output_width * a->channels) * 125;
    parts += (int64_t)(a->images * a->outputs * a->output_width * a->kernel_height * a->kernel_width * a->channels) * 399;
    parts += (int64_t)(a->images * a->dx_rows * a->width * a->channels) * 856;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_max_pool_gradient_scratch(const spindl_max_pool_gradient_arguments *a) {
    (void)a;
    return 4 * a->dx_rows * a->width * a->channels;
}

uint32_t spindl_window_sum_cycles(const spindl_window_sum_arguments *a) {
    (void)a;
    int64_t parts = 5193;
    parts += (int64_t)(a->images * a->outputs * a->output_width) * 20215;
    parts += (int64_t)(a->images * a->outputs * a->output_width * a->channels) * 4901;
    parts += (int64_t)(a->images * a->rows * a->width * a->channels) * 441;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_window_sum_scratch(const spindl_window_sum_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_window_sum_gradient_cycles(const spindl_window_sum_gradient_arguments *a) {
    (void)a;
    int64_t parts = -74806;
    parts += (int64_t)(a->images * a->rows * a->width) * 2455;
    parts += (int64_t)(a->images * a->rows * a->width * ((a->channels + 15) / 16)) * 348;
    parts += (int64_t)(a->images * a->rows * a->width * ((a->channels + 15) / 16) * a->outputs * a->output_width) * 548;
    parts += (int64_t)(a->images * a->rows * a->width * a->channels) * 5564;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_window_sum_gradient_scratch(const spindl_window_sum_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_sigmoid_cycles(const spindl_sigmoid_arguments *a) {
    (void)a;
    int64_t parts = 6370;
    parts += (int64_t)(a->count * (a->hyperbolic == 0)) * 17733;
    parts += (int64_t)(a->count * (a->hyperbolic != 0)) * 17374;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_sigmoid_scratch(const spindl_sigmoid_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_sigmoid_gradient_cycles(const spindl_sigmoid_gradient_arguments *a) {
    (void)a;
    int64_t parts = 16336;
    parts += (int64_t)(a->count * (a->hyperbolic == 0)) * 4928;
    parts += (int64_t)(a->count * (a->hyperbolic != 0)) * 4896;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_sigmoid_gradient_scratch(const spindl_sigmoid_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_softmax_cycles(const spindl_softmax_arguments *a) {
    (void)a;
    int64_t parts = 11470;
    parts += (int64_t)(a->outer * a->inner) * 14902;
    parts += (int64_t)(a->outer * a->inner * a->length) * 19929;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_softmax_scratch(const spindl_softmax_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_softmax_gradient_cycles(const spindl_softmax_gradient_arguments *a) {
    (void)a;
    int64_t parts = 14272;
    parts += (int64_t)(a->outer * a->inner) * 2848;
    parts += (int64_t)(a->outer * a->inner * a->length) * 6848;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_softmax_gradient_scratch(const spindl_softmax_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_dropout_cycles(const spindl_dropout_arguments *a) {
    (void)a;
    int64_t parts = 12544;
    parts += (int64_t)(a->images) * 3424;
    parts += (int64_t)(a->images * a->elements) * 2528;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_dropout_scratch(const spindl_dropout_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_cross_entropy_cycles(const spindl_cross_entropy_arguments *a) {
    (void)a;
    int64_t parts = 18888;
    parts += (int64_t)(a->images) * 22595;
    parts += (int64_t)(a->images * a->classes) * 12149;
    parts += (int64_t)(a->images * a->classes * (a->dz != 0)) * 12149;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_cross_entropy_scratch(const spindl_cross_entropy_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_squared_error_cycles(const spindl_squared_error_arguments *a) {
    (void)a;
    int64_t parts = 13850;
    parts += (int64_t)(a->images) * 9141;
    parts += (int64_t)(a->images * a->features) * 7994;
    parts += (int64_t)(a->images * a->features * (a->dz != 0)) * 7994;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_squared_error_scratch(const spindl_squared_error_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_binary_cross_entropy_cycles(const spindl_binary_cross_entropy_arguments *a) {
    (void)a;
    int64_t parts = 10036;
    parts += (int64_t)(a->images) * 10551;
    parts += (int64_t)(a->images * a->features) * 17484;
    parts += (int64_t)(a->images * a->features * (a->dz != 0)) * 17484;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_binary_cross_entropy_scratch(const spindl_binary_cross_entropy_arguments *a) {
    (void)a;
    return 0;
}
