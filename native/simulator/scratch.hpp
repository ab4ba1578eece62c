// Memory that one thread keeps from call to call: fresh pages would cost more than the work done in them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace spindl::simulator {

class Scratch {
public:
    Scratch() = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { std::free(memory_); }

    // At least `count` elements, 64-byte aligned, contents undefined; what was returned before is gone.
    template <typename T>
    T* get(int64_t count) {
        const std::size_t bytes = (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64 + 64;
        if (bytes > size_) {
            std::free(memory_);
            size_ = 0;
            memory_ = std::aligned_alloc(64, bytes);
            if (memory_ == nullptr) {
                throw std::bad_alloc();
            }
            size_ = bytes;
        }
        return static_cast<T*>(memory_);
    }

private:
    void* memory_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace spindl::simulator
