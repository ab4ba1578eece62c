// The few numbers per channel that batch normalisation needs: exact sums and soft-float pairs, in 128-bit integers.
//
// The definitions are the Python integers of spindl/graph/ops/batch_norm.py and spindl/number/pairs.py; results are
// equal for all arguments that these functions accept:
//   count in [1, 2^31); sums, gamma and beta any int64 (sums of int16 data stay below 2^61); scales and slopes below
//   2^31 in magnitude; pairs with mantissas below 2^31 and exponents up to 2^30 in magnitude; other exponents any
//   int32.
// Other arguments raise ValueError. A result beyond int64, or an eps so large that variance + eps needs more than 127
// bits (none up to 1), raises OverflowError.
#pragma once

#include <nanobind/nanobind.h>

namespace spindl::simulator {

// Adds the functions to the module: inverse_deviation, running_inverse_deviation, batch_norm_scale, batch_norm_offset,
// running_offset, gamma_gradient, batch_norm_slope, batch_norm_gradient_offset, running_mean, running_variance,
// pair_to_wide.
void bind_channel_scalars(nanobind::module_& module);

}  // namespace spindl::simulator
