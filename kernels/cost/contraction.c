#include "../arm/scratch.h"
#define COST(NAME) \
uint32_t spindl_##NAME##_cycles(const spindl_##NAME##_arguments *a) { (void)a; return 0; }
#define SCRATCH(NAME, RESULT) COST(NAME) \
uint32_t spindl_##NAME##_scratch(const spindl_##NAME##_arguments *a) { return scratch_parts((const spindl_tile *)a, RESULT).total; }
SCRATCH(convolution, SPINDL_RESULT_Y)
SCRATCH(convolution_input_gradient, SPINDL_RESULT_X)
SCRATCH(convolution_weight_gradient, SPINDL_RESULT_W)
COST(round_sums)
COST(add_rounded_sums)
uint32_t spindl_round_sums_scratch(const spindl_round_sums_arguments *a) { (void)a; return 0; }
uint32_t spindl_add_rounded_sums_scratch(const spindl_add_rounded_sums_arguments *a) { (void)a; return 0; }
