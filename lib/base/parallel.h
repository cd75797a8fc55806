// Data-parallel loops. OpenMP underneath, so that our kernels and oneDNN share one set of threads.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <mutex>

namespace gemma4 {

/// Threads used by parallel loops from now on (>= 1). Set once, before the first loop.
inline void set_num_threads(int threads) { omp_set_num_threads(std::max(1, threads)); }
inline int num_threads() { return omp_get_max_threads(); }
/// Physical cores that this process may run on (never 0).
int physical_cores();

/// Calls fn(begin, end) on disjoint ranges that cover [0, count), one range a thread, each range
/// a multiple of `grain` but for the last. Deterministic for a given thread count. An exception
/// thrown by fn is rethrown on the calling thread.
template <typename Fn>
void parallel_ranges(int64_t count, int64_t grain, const Fn& fn) {
  if (count <= 0) return;
  const int64_t blocks = (count + grain - 1) / grain;
  const int threads = static_cast<int>(std::min<int64_t>(num_threads(), blocks));
  if (threads <= 1 || omp_in_parallel()) {
    fn(int64_t{0}, count);
    return;
  }
  std::exception_ptr failure;
  std::mutex failure_mutex;
#pragma omp parallel num_threads(threads)
  {
    const int64_t team = omp_get_num_threads();
    const int64_t member = omp_get_thread_num();
    const int64_t begin = std::min(count, blocks * member / team * grain);
    const int64_t end = std::min(count, blocks * (member + 1) / team * grain);
    try {
      if (begin < end) fn(begin, end);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(failure_mutex);
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

/// Calls fn(i) for i in [0, count), handed out one at a time: for items of unequal cost.
template <typename Fn>
void parallel_items(int64_t count, const Fn& fn) {
  if (count <= 0) return;
  const int threads = static_cast<int>(std::min<int64_t>(num_threads(), count));
  if (threads <= 1 || omp_in_parallel()) {
    for (int64_t i = 0; i < count; ++i) fn(i);
    return;
  }
  std::exception_ptr failure;
  std::mutex failure_mutex;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int64_t i = 0; i < count; ++i) {
    try {
      fn(i);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(failure_mutex);
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace gemma4
