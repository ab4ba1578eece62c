// Builds for x86-64: the processor is asked at run time.
#include "vector_path.hpp"

namespace spindl::simulator {

bool has_avx2() {
    return __builtin_cpu_supports("avx2") != 0;
}

bool has_avx512vnni() {
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
           __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
           __builtin_cpu_supports("avx512vnni") != 0;
}

}  // namespace spindl::simulator
