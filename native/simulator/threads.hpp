// A small pool of threads that sleep when idle. Work is split statically by the caller, so results cannot depend on
// timing.
#pragma once

#include <cstdint>
#include <functional>

namespace spindl::simulator {

// Number of threads used by every kernel of this library (>= 1). Setting it joins or starts threads at the next call.
void set_threads(int count);
int threads();

// Calls body(index, count) once for each index in [0, count), concurrently; returns when all are done. Calls from
// several callers are served one after another. The body must not throw and must not call parallel() itself. A caller
// that keeps something for each thread passes the count it has made room for: another caller may set_threads at any
// time.
void parallel(int count, const std::function<void(int index, int count)>& body);

// With count = threads().
void parallel(const std::function<void(int index, int count)>& body);

struct Range {
    int64_t begin;
    int64_t end;
};

// The index-th of `count` nearly equal pieces of [0, total).
inline Range share(int64_t total, int index, int count) {
    return {total * index / count, total * (index + 1) / count};
}

}  // namespace spindl::simulator
