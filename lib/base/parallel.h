// Data-parallel loops over one set of threads for the whole process.
//
// The threads spin briefly between loops, since operations of a decode step follow each other
// within microseconds, and sleep when nothing comes: on a shared machine a spinning thread would
// take the core from the one it waits for.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>

namespace gemma4 {

/// Threads used by parallel loops from now on (>= 1), the caller's included. Not while one runs.
void set_num_threads(int threads);
int num_threads();
/// Index of the calling thread in a parallel loop, below num_threads(); 0 outside of loops.
int thread_index();
/// True on a thread that is in a parallel loop: loops inside it run on that thread alone.
bool in_parallel_loop();
/// Physical cores that this process may run on (never 0).
int physical_cores();

namespace parallel_detail {
/// Calls job(context, thread index) on `threads` threads and waits for all; must not throw.
void run(int threads, void (*job)(void* context, int thread), void* context);

/// Runs fn(thread index) on `threads` threads; the first exception is rethrown by the caller.
template <typename Fn>
void run_all(int threads, const Fn& fn) {
  struct Shared {
    const Fn* fn;
    std::mutex mutex;
    std::exception_ptr failure;
  } shared{&fn, {}, nullptr};
  run(
      threads,
      [](void* context, int thread) {
        auto* s = static_cast<Shared*>(context);
        try {
          (*s->fn)(thread);
        } catch (...) {
          const std::lock_guard<std::mutex> lock(s->mutex);
          if (!s->failure) s->failure = std::current_exception();
        }
      },
      &shared);
  if (shared.failure) std::rethrow_exception(shared.failure);
}
}  // namespace parallel_detail

/// Calls fn(begin, end) on disjoint ranges that cover [0, count), one range a thread, each range
/// a multiple of `grain` but for the last. Deterministic for a given thread count. An exception
/// thrown by fn is rethrown on the calling thread.
template <typename Fn>
void parallel_ranges(int64_t count, int64_t grain, const Fn& fn) {
  if (count <= 0) return;
  const int64_t blocks = (count + grain - 1) / grain;
  const auto threads = static_cast<int>(std::min<int64_t>(num_threads(), blocks));
  if (threads <= 1 || in_parallel_loop()) {
    fn(int64_t{0}, count);
    return;
  }
  parallel_detail::run_all(threads, [&](int thread) {
    const int64_t begin = std::min(count, blocks * thread / threads * grain);
    const int64_t end = std::min(count, blocks * (thread + 1) / threads * grain);
    if (begin < end) fn(begin, end);
  });
}

/// Calls fn(i) for i in [0, count), handed out one at a time: for items of unequal cost.
template <typename Fn>
void parallel_items(int64_t count, const Fn& fn) {
  if (count <= 0) return;
  const auto threads = static_cast<int>(std::min<int64_t>(num_threads(), count));
  if (threads <= 1 || in_parallel_loop()) {
    for (int64_t i = 0; i < count; ++i) fn(i);
    return;
  }
  std::atomic<int64_t> next{0};
  parallel_detail::run_all(threads, [&](int) {
    for (int64_t i = next++; i < count; i = next++) fn(i);
  });
}

}  // namespace gemma4
