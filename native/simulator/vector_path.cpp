#include "vector_path.hpp"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace spindl::simulator {
namespace {

// The paths of this processor, the fastest first.
const std::vector<const Kernels*>& available() {
    static const std::vector<const Kernels*> paths = [] {
        std::vector<const Kernels*> found;
        if (has_avx512vnni()) {
            found.push_back(&avx512vnni_kernels());
        }
        if (has_avx2()) {
            found.push_back(&avx2_kernels());
        }
        found.push_back(&portable_kernels());
        return found;
    }();
    return paths;
}

std::atomic<const Kernels*>& current() {
    static std::atomic<const Kernels*> chosen{available().front()};
    return chosen;
}

}  // namespace

std::vector<std::string> vector_paths() {
    std::vector<std::string> names;
    for (const Kernels* path : available()) {
        names.emplace_back(path->name);
    }
    return names;
}

void set_vector_path(const std::string& name) {
    std::string known;
    for (const Kernels* path : available()) {
        if (name == path->name) {
            current().store(path);
            return;
        }
        known += known.empty() ? "" : ", ";
        known += path->name;
    }
    throw std::invalid_argument("vector path '" + name + "': this processor has " + known);
}

std::string vector_path() {
    return current().load()->name;
}

const Kernels& kernels() {
    return *current().load();
}

}  // namespace spindl::simulator
