#include "vector_path.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace spindl::simulator {
namespace {

const Kernels& find(const std::string& name) {
    if (name == "portable") {
        return portable_kernels();
    }
    if (name == "avx512vnni") {
        if (!has_avx512vnni()) {
            throw std::invalid_argument(
                "vector path 'avx512vnni': this processor lacks AVX-512 F/BW/DQ/VL/VNNI; use 'portable'");
        }
        return avx512vnni_kernels();
    }
    throw std::invalid_argument("vector path '" + name + "': expected 'portable' or 'avx512vnni'");
}

std::atomic<const Kernels*>& current() {
    static std::atomic<const Kernels*> chosen{has_avx512vnni() ? &avx512vnni_kernels() : &portable_kernels()};
    return chosen;
}

}  // namespace

void set_vector_path(const std::string& name) {
    current().store(&find(name));
}

std::string vector_path() {
    return current().load()->name;
}

const Kernels& kernels() {
    return *current().load();
}

}  // namespace spindl::simulator
