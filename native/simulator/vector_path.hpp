// Which instruction set the kernels use, chosen at run time.
#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace spindl::simulator {

bool has_avx2();
// True if this processor has AVX-512 F, BW, DQ, VL and VNNI.
bool has_avx512vnni();

// Names of the paths this processor can run, the fastest first: "avx512vnni", "avx2", "portable".
std::vector<std::string> vector_paths();
// One of vector_paths(); std::invalid_argument for other names.
void set_vector_path(const std::string& name);
std::string vector_path();

const Kernels& kernels();

}  // namespace spindl::simulator
