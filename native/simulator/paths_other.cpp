// Builds for other processors: there is only the portable path.
#include "elementwise_loops.hpp"
#include "vector_path.hpp"

namespace spindl::simulator {

bool has_avx2() {
    return false;
}

bool has_avx512vnni() {
    return false;
}

const Kernels& avx2_kernels() {
    return portable_kernels();
}

const Kernels& avx512vnni_kernels() {
    return portable_kernels();
}

const ElementwiseLoops& elementwise_loops_avx2() {
    return elementwise_loops_portable();
}

const ElementwiseLoops& elementwise_loops_avx512() {
    return elementwise_loops_portable();
}

}  // namespace spindl::simulator
