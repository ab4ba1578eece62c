#include "spindl_kernels.h"

uint32_t spindl_requantise_cycles(const spindl_requantise_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_requantise_scratch(const spindl_requantise_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_move_cycles(const spindl_move_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_move_scratch(const spindl_move_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_narrow_cycles(const spindl_narrow_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_narrow_scratch(const spindl_narrow_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_relu_cycles(const spindl_relu_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_relu_scratch(const spindl_relu_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_relu_gradient_cycles(const spindl_relu_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_relu_gradient_scratch(const spindl_relu_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_add_cycles(const spindl_add_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_add_scratch(const spindl_add_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_affine_cycles(const spindl_affine_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_affine_scratch(const spindl_affine_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_affine_pair_cycles(const spindl_affine_pair_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_affine_pair_scratch(const spindl_affine_pair_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_max_pool_cycles(const spindl_max_pool_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_max_pool_scratch(const spindl_max_pool_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_max_pool_gradient_cycles(const spindl_max_pool_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_max_pool_gradient_scratch(const spindl_max_pool_gradient_arguments *a) {
    (void)a;
    return 4 * a->dx_rows * a->width * a->channels;
}

uint32_t spindl_window_sum_cycles(const spindl_window_sum_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_window_sum_scratch(const spindl_window_sum_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_window_sum_gradient_cycles(const spindl_window_sum_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_window_sum_gradient_scratch(const spindl_window_sum_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_sigmoid_cycles(const spindl_sigmoid_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_sigmoid_scratch(const spindl_sigmoid_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_sigmoid_gradient_cycles(const spindl_sigmoid_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_sigmoid_gradient_scratch(const spindl_sigmoid_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_softmax_cycles(const spindl_softmax_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_softmax_scratch(const spindl_softmax_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_softmax_gradient_cycles(const spindl_softmax_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_softmax_gradient_scratch(const spindl_softmax_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_dropout_cycles(const spindl_dropout_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_dropout_scratch(const spindl_dropout_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_cross_entropy_cycles(const spindl_cross_entropy_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_cross_entropy_scratch(const spindl_cross_entropy_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_squared_error_cycles(const spindl_squared_error_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_squared_error_scratch(const spindl_squared_error_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_binary_cross_entropy_cycles(const spindl_binary_cross_entropy_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_binary_cross_entropy_scratch(const spindl_binary_cross_entropy_arguments *a) {
    (void)a;
    return 0;
}
