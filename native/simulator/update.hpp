// The optimiser step on int32 master weights: element-wise, threaded, in one pass over memory.
//
// The definitions are the ops of spindl/graph/ops/update.py (and saturate32, narrow of pointwise.py); results are equal
// for values that obey their formats: wide values below 2^62 in magnitude, scalars up to 2^15, any int32 as shift. A
// shift is the exponent of the result less the exponents of the factors; positive shifts round half up, and every
// shifted term saturates at +-2^59.
//
// Arrays are contiguous and of one size, any number of axes. `out` may be the direction in `momentum` and the step in
// `scale_direction`, and `out_velocity` the velocity in `sgd_step`; otherwise results overlap nothing else. Wrong
// sizes, scalars and overlaps raise ValueError, wrong element types and gaps in memory TypeError. The interpreter lock
// is released.
#pragma once

#include <nanobind/nanobind.h>

namespace spindl::simulator {

// Adds the functions to the module: direction, momentum, saturate32, descend, squared_norm, scale_direction, sgd_step.
void bind_update(nanobind::module_& module);

}  // namespace spindl::simulator
