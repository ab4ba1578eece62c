/* Written by `python -m tests.kernels.costs` from cycles measured on the emulator, in 32nds of a cycle. */
#include "spindl_kernels.h"

uint32_t spindl_channel_sums_cycles(const spindl_channel_sums_arguments *a) {
    (void)a;
    int64_t parts = 1856;
    parts += (int64_t)(a->channels) * 3168;
    parts += (int64_t)(a->pixels * a->channels * (((a->channels | a->x >> 1 | a->y >> 1) & 1) == 0)) * 208;
    parts += (int64_t)(a->pixels * a->channels * (1 - (((a->channels | a->x >> 1 | a->y >> 1) & 1) == 0))) * 461;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_channel_sums_scratch(const spindl_channel_sums_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_inverse_deviation_cycles(const spindl_inverse_deviation_arguments *a) {
    (void)a;
    int64_t parts = 15072;
    parts += (int64_t)(a->channels) * 76256;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_inverse_deviation_scratch(const spindl_inverse_deviation_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_running_inverse_deviation_cycles(const spindl_running_inverse_deviation_arguments *a) {
    (void)a;
    int64_t parts = 1448;
    parts += (int64_t)(a->channels) * 71052;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_running_inverse_deviation_scratch(const spindl_running_inverse_deviation_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_batch_norm_scale_cycles(const spindl_batch_norm_scale_arguments *a) {
    (void)a;
    int64_t parts = -398;
    parts += (int64_t)(a->channels) * 33582;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_batch_norm_scale_scratch(const spindl_batch_norm_scale_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_batch_norm_offset_cycles(const spindl_batch_norm_offset_arguments *a) {
    (void)a;
    int64_t parts = 671;
    parts += (int64_t)(a->channels) * 20545;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_batch_norm_offset_scratch(const spindl_batch_norm_offset_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_running_offset_cycles(const spindl_running_offset_arguments *a) {
    (void)a;
    int64_t parts = 2565;
    parts += (int64_t)(a->channels) * 17620;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_running_offset_scratch(const spindl_running_offset_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_gamma_gradient_cycles(const spindl_gamma_gradient_arguments *a) {
    (void)a;
    int64_t parts = 4472;
    parts += (int64_t)(a->channels) * 65334;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_gamma_gradient_scratch(const spindl_gamma_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_running_gamma_gradient_cycles(const spindl_running_gamma_gradient_arguments *a) {
    (void)a;
    int64_t parts = 6769;
    parts += (int64_t)(a->channels) * 75444;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_running_gamma_gradient_scratch(const spindl_running_gamma_gradient_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_batch_norm_slope_cycles(const spindl_batch_norm_slope_arguments *a) {
    (void)a;
    int64_t parts = -1177;
    parts += (int64_t)(a->channels) * 96336;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_batch_norm_slope_scratch(const spindl_batch_norm_slope_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_batch_norm_gradient_offset_cycles(const spindl_batch_norm_gradient_offset_arguments *a) {
    (void)a;
    int64_t parts = -5743;
    parts += (int64_t)(a->channels) * 33580;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_batch_norm_gradient_offset_scratch(const spindl_batch_norm_gradient_offset_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_running_mean_cycles(const spindl_running_mean_arguments *a) {
    (void)a;
    int64_t parts = -589;
    parts += (int64_t)(a->channels) * 94349;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_running_mean_scratch(const spindl_running_mean_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_running_variance_cycles(const spindl_running_variance_arguments *a) {
    (void)a;
    int64_t parts = -7197;
    parts += (int64_t)(a->channels) * 129656;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_running_variance_scratch(const spindl_running_variance_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_pair_to_wide_cycles(const spindl_pair_to_wide_arguments *a) {
    (void)a;
    int64_t parts = 1024;
    parts += (int64_t)(a->channels) * 6784;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_pair_to_wide_scratch(const spindl_pair_to_wide_arguments *a) {
    (void)a;
    return 0;
}
