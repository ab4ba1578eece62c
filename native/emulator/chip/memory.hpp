// Memory that costs nothing until it is touched.
#pragma once

#include "arm/core.hpp"

#include <utility>

namespace spindl::emulator {

// Zeroed, page-aligned, allocated by the operating system on first write.
class LazyMemory {
public:
    explicit LazyMemory(std::size_t bytes);
    ~LazyMemory();
    LazyMemory(LazyMemory&& other) noexcept : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_) {}
    LazyMemory(const LazyMemory&) = delete;
    LazyMemory& operator=(const LazyMemory&) = delete;
    LazyMemory& operator=(LazyMemory&&) = delete;

    u8* data() { return data_; }
    const u8* data() const { return data_; }
    std::size_t size() const { return bytes_; }
    void clear();  // back to zero, untouched

private:
    u8* data_;
    std::size_t bytes_;
};

}  // namespace spindl::emulator
