#include "spindl_kernels.h"

uint32_t spindl_sum_rows_cycles(const spindl_sum_rows_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_sum_rows_scratch(const spindl_sum_rows_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_begin_sites_cycles(const spindl_begin_sites_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_begin_sites_scratch(const spindl_begin_sites_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_merge_sites_cycles(const spindl_merge_sites_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_merge_sites_scratch(const spindl_merge_sites_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_next_sites_cycles(const spindl_next_sites_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_next_sites_scratch(const spindl_next_sites_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_exponents_cycles(const spindl_exponents_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_exponents_scratch(const spindl_exponents_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_direction_cycles(const spindl_direction_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_direction_scratch(const spindl_direction_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_scale_direction_cycles(const spindl_scale_direction_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_scale_direction_scratch(const spindl_scale_direction_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_update_cycles(const spindl_update_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_update_scratch(const spindl_update_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_halve_cycles(const spindl_halve_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_halve_scratch(const spindl_halve_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_largest_bits_cycles(const spindl_largest_bits_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_largest_bits_scratch(const spindl_largest_bits_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_squared_norm_cycles(const spindl_squared_norm_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_squared_norm_scratch(const spindl_squared_norm_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_lars_rate_cycles(const spindl_lars_rate_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_lars_rate_scratch(const spindl_lars_rate_arguments *a) {
    (void)a;
    return 0;
}
