// Which instruction set the kernels use, chosen at run time.
#pragma once

#include <string>

#include "kernels.hpp"

namespace spindl::simulator {

// True if this processor has AVX-512 F, BW, DQ, VL and VNNI.
bool has_avx512vnni();

// "portable" or "avx512vnni"; std::invalid_argument for other names and for what this processor lacks.
void set_vector_path(const std::string& name);
std::string vector_path();

const Kernels& kernels();

}  // namespace spindl::simulator
