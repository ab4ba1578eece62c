#include "chip/memory.hpp"

#include <new>

#include <sys/mman.h>

namespace spindl::emulator {

LazyMemory::LazyMemory(std::size_t bytes) : data_(nullptr), bytes_(bytes) {
    void* at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<u8*>(at);
}

LazyMemory::~LazyMemory() {
    if (data_ != nullptr) munmap(data_, bytes_);
}

void LazyMemory::clear() {
    mmap(data_, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

}  // namespace spindl::emulator
