/* Written by `python -m tests.kernels.costs` from cycles measured on the emulator, in 32nds of a cycle. */
#include "spindl_kernels.h"

uint32_t spindl_requantise_cycles(const spindl_requantise_arguments *a) {
    (void)a;
    int64_t parts = 7678;
    parts += (int64_t)(a->rows) * 7678;
    parts += (int64_t)(a->rows * a->columns * (a->x_bytes == 8)) * 2368;
    parts += (int64_t)(a->rows * a->columns * (a->x_bytes == 4)) * 4736;
    parts += (int64_t)(a->rows * a->columns * (a->x_bytes == 2)) * 5986;
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
    int64_t parts = 14302;
    parts += (int64_t)(a->count) * 752;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_add_scratch(const spindl_add_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_affine_cycles(const spindl_affine_arguments *a) {
    (void)a;
    int64_t parts = 15029;
    parts += (int64_t)(a->channels) * 9408;
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
    int64_t parts = 15040;
    parts += (int64_t)(a->channels) * 9504;
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
    int64_t parts = 8843;
    parts += (int64_t)(a->outputs * a->images) * 11198;
    parts += (int64_t)(a->images * a->outputs * a->output_width) * 515;
    parts += (int64_t)(a->images * a->outputs * a->output_width * a->kernel_height * a->kernel_width) * 1989;
    parts += (int64_t)(a->images * a->outputs * a->output_width * a->channels) * 98;
    parts += (int64_t)(a->images * a->outputs * a->output_width * a->kernel_height * a->kernel_width * a->channels) * 403;
    parts += (int64_t)(a->images * a->dx_rows * a->width * a->channels) * 946;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_max_pool_gradient_scratch(const spindl_max_pool_gradient_arguments *a) {
    (void)a;
    return 4 * a->dx_rows * a->width * a->channels;
}

uint32_t spindl_window_sum_cycles(const spindl_window_sum_arguments *a) {
    (void)a;
    int64_t parts = 5993;
    parts += (int64_t)(a->images * a->outputs * a->output_width) * 20215;
    parts += (int64_t)(a->images * a->outputs * a->output_width * a->channels) * 6405;
    parts += (int64_t)(a->images * a->rows * a->width * a->channels) * 441;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_window_sum_scratch(const spindl_window_sum_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_window_sum_gradient_cycles(const spindl_window_sum_gradient_arguments *a) {
    (void)a;
    int64_t parts = -74006;
    parts += (int64_t)(a->images * a->rows * a->width) * 2455;
    parts += (int64_t)(a->images * a->rows * a->width * ((a->channels + 15) / 16)) * 441;
    parts += (int64_t)(a->images * a->rows * a->width * ((a->channels + 15) / 16) * a->outputs * a->output_width) * 548;
    parts += (int64_t)(a->images * a->rows * a->width * a->channels) * 7062;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_window_sum_gradient_scratch(const spindl_window_sum_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_sigmoid_cycles(const spindl_sigmoid_arguments *a) {
    (void)a;
    int64_t parts = 11062;
    parts += (int64_t)(a->count * (a->hyperbolic == 0)) * 18109;
    parts += (int64_t)(a->count * (a->hyperbolic != 0)) * 17814;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_sigmoid_scratch(const spindl_sigmoid_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_sigmoid_gradient_cycles(const spindl_sigmoid_gradient_arguments *a) {
    (void)a;
    int64_t parts = 16912;
    parts += (int64_t)(a->count * (a->hyperbolic == 0)) * 5376;
    parts += (int64_t)(a->count * (a->hyperbolic != 0)) * 5344;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_sigmoid_gradient_scratch(const spindl_sigmoid_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_softmax_cycles(const spindl_softmax_arguments *a) {
    (void)a;
    int64_t parts = 5204;
    parts += (int64_t)(a->outer * a->inner) * 14625;
    parts += (int64_t)(a->outer * a->inner * a->length) * 20392;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_softmax_scratch(const spindl_softmax_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_softmax_gradient_cycles(const spindl_softmax_gradient_arguments *a) {
    (void)a;
    int64_t parts = 14848;
    parts += (int64_t)(a->outer * a->inner) * 2848;
    parts += (int64_t)(a->outer * a->inner * a->length) * 7296;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_softmax_gradient_scratch(const spindl_softmax_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_dropout_cycles(const spindl_dropout_arguments *a) {
    (void)a;
    int64_t parts = 13344;
    parts += (int64_t)(a->images) * 3424;
    parts += (int64_t)(a->images * a->elements) * 4000;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_dropout_scratch(const spindl_dropout_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_cross_entropy_cycles(const spindl_cross_entropy_arguments *a) {
    (void)a;
    int64_t parts = 17262;
    parts += (int64_t)(a->images) * 20950;
    parts += (int64_t)(a->images * a->classes) * 12352;
    parts += (int64_t)(a->images * a->classes * (a->dz != 0)) * 12352;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_cross_entropy_scratch(const spindl_cross_entropy_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_squared_error_cycles(const spindl_squared_error_arguments *a) {
    (void)a;
    int64_t parts = 12847;
    parts += (int64_t)(a->images) * 8685;
    parts += (int64_t)(a->images * a->features) * 8224;
    parts += (int64_t)(a->images * a->features * (a->dz != 0)) * 8224;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_squared_error_scratch(const spindl_squared_error_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_binary_cross_entropy_cycles(const spindl_binary_cross_entropy_arguments *a) {
    (void)a;
    int64_t parts = 10929;
    parts += (int64_t)(a->images) * 10651;
    parts += (int64_t)(a->images * a->features) * 17690;
    parts += (int64_t)(a->images * a->features * (a->dz != 0)) * 17690;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_binary_cross_entropy_scratch(const spindl_binary_cross_entropy_arguments *a) {
    (void)a;
    return 0;
}
