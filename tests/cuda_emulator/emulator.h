// Runs CUDA kernels on the CPU, one block after the other, each thread of a block a fiber.
//
// What it checks beside results: that all threads of a block reach the same barriers and all lanes
// of a warp the same warp instructions, alignment of vector accesses, that copies to shared memory
// are waited for (until then the memory holds what is no number), that dynamic shared memory is as
// large as it was asked for (with AddressSanitizer), and that kernels wait for those before them.
// Threads take turns in an order that a seed decides, so that a missing barrier shows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>

namespace cuda_emulator {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};
Index& thread_index();
Index& block_index();
Index& block_size();
Index& grid_size();

[[noreturn]] void fail(const char* what);

/// Remembers a kernel's type; `call` runs one thread with arguments as cudaLaunchKernel takes them.
/// Returns the kernel's address.
using Bind = std::function<std::function<void()>(void** arguments)>;
const void* register_kernel_as(const void* kernel, const Bind& bind);

template <typename... P, size_t... I>
std::function<void()> bind_arguments(void (*kernel)(P...), void** arguments,
                                     std::index_sequence<I...>) {
  return [kernel, ... values = *static_cast<P*>(arguments[I])] { kernel(values...); };
}
template <typename... P>
const void* register_kernel(void (*kernel)(P...)) {
  return register_kernel_as(reinterpret_cast<const void*>(kernel), [kernel](void** arguments) {
    return bind_arguments(kernel, arguments, std::index_sequence_for<P...>{});
  });
}
std::function<void()> bind_kernel(const void* kernel, void** arguments);
void run_kernel(const std::function<void()>& thread, Index grid, unsigned threads,
                size_t shared_bytes);

/// Inside kernels.
void* dynamic_shared();
void note_wait();
void block_barrier();
void start_copy(void* to, const void* from, bool valid);
void commit_copies();
void wait_copies(int pending);

/// All lanes of the warp bring `size` bytes; the last one to come has `work` change all of them.
void warp_together(void* mine, size_t size, const std::function<void(void* lanes)>& work);
inline constexpr size_t kLaneBytes = 64;

template <typename T, typename Fn>
void together(T& mine, const Fn& work) {
  static_assert(sizeof(T) <= kLaneBytes);
  warp_together(&mine, sizeof(T), [&](void* lanes) {
    T all[32];
    for (int i = 0; i < 32; ++i) {
      std::memcpy(&all[i], static_cast<char*>(lanes) + i * kLaneBytes, sizeof(T));
    }
    work(all);
    for (int i = 0; i < 32; ++i) {
      std::memcpy(static_cast<char*>(lanes) + i * kLaneBytes, &all[i], sizeof(T));
    }
  });
}

template <typename T>
T shuffle_xor(T value, int mask) {
  together<T>(value, [&](T(&all)[32]) {
    T before[32];
    std::memcpy(before, all, sizeof(all));
    for (int i = 0; i < 32; ++i) all[i] = before[i ^ mask];
  });
  return value;
}

}  // namespace cuda_emulator
