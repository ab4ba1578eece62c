/* Written by `python -m tests.kernels.costs` from cycles measured on the emulator, in 32nds of a cycle. */
#include "spindl_kernels.h"

uint32_t spindl_sum_rows_cycles(const spindl_sum_rows_arguments *a) {
    (void)a;
    int64_t parts = 3093;
    parts += (int64_t)(a->rows) * 716;
    parts += (int64_t)(a->count * a->y_bytes * a->first) * 40;
    parts += (int64_t)(a->rows * a->count * (a->y_bytes == 8)) * 1140;
    parts += (int64_t)(a->rows * a->count * (a->y_bytes == 4)) * 257;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_sum_rows_scratch(const spindl_sum_rows_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_begin_sites_cycles(const spindl_begin_sites_arguments *a) {
    (void)a;
    int64_t parts = 1152;
    parts += (int64_t)(a->count) * 704;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_begin_sites_scratch(const spindl_begin_sites_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_merge_sites_cycles(const spindl_merge_sites_arguments *a) {
    (void)a;
    int64_t parts = 832;
    parts += (int64_t)(a->rows) * 704;
    parts += (int64_t)(a->rows * a->count) * 736;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_merge_sites_scratch(const spindl_merge_sites_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_next_sites_cycles(const spindl_next_sites_arguments *a) {
    (void)a;
    int64_t parts = 1152;
    parts += (int64_t)(a->count) * 17632;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_next_sites_scratch(const spindl_next_sites_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_exponents_cycles(const spindl_exponents_arguments *a) {
    (void)a;
    int64_t parts = 1152;
    parts += (int64_t)(a->count) * 3520;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_exponents_scratch(const spindl_exponents_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_direction_cycles(const spindl_direction_arguments *a) {
    (void)a;
    int64_t parts = 10112;
    parts += (int64_t)(a->count) * 3157;
    parts += (int64_t)(a->count * (a->master != 0)) * 3157;
    parts += (int64_t)(a->count * (a->gradient != 0)) * 3157;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_direction_scratch(const spindl_direction_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_scale_direction_cycles(const spindl_scale_direction_arguments *a) {
    (void)a;
    int64_t parts = 1920;
    parts += (int64_t)(a->count) * 8064;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_scale_direction_scratch(const spindl_scale_direction_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_update_cycles(const spindl_update_arguments *a) {
    (void)a;
    int64_t parts = 23008;
    parts += (int64_t)(a->count) * 4812;
    parts += (int64_t)(a->count * (a->velocity != 0)) * 1056;
    parts += (int64_t)(a->count * (a->decay != 0)) * 1055;
    parts += (int64_t)(a->count * a->nesterov) * 1857;
    parts += (int64_t)(a->count * (a->gradient_bytes == 8)) * 5090;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_update_scratch(const spindl_update_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_halve_cycles(const spindl_halve_arguments *a) {
    (void)a;
    int64_t parts = 4928;
    parts += (int64_t)(a->count) * 2560;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_halve_scratch(const spindl_halve_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_largest_bits_cycles(const spindl_largest_bits_arguments *a) {
    (void)a;
    int64_t parts = 2944;
    parts += (int64_t)(a->count) * 1152;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_largest_bits_scratch(const spindl_largest_bits_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_squared_norm_cycles(const spindl_squared_norm_arguments *a) {
    (void)a;
    int64_t parts = 2784;
    parts += (int64_t)(a->count) * 3424;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_squared_norm_scratch(const spindl_squared_norm_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_lars_rate_cycles(const spindl_lars_rate_arguments *a) {
    (void)a;
    int64_t parts = 223328;
    return parts > 0 ? (uint32_t)(parts / 32) : 0;
}

uint32_t spindl_lars_rate_scratch(const spindl_lars_rate_arguments *a) {
    (void)a;
    return 0;
}
