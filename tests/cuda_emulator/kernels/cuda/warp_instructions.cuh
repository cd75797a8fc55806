// In place of kernels/cuda/warp_instructions.cuh: the same instructions in plain C++, from their
// descriptions in the PTX ISA (mma.m16n8k16 fragments, ldmatrix, cp.async).
#pragma once

#include <cstdint>
#include <cstring>

#include "lib/base/scalar_types.h"
#include "tests/cuda_emulator/cuda_runtime.h"

namespace gemma4::cuda {

template <typename T>
T* dynamic_shared() {
  return reinterpret_cast<T*>(cuda_emulator::dynamic_shared());
}

inline void wait_for_previous() { cuda_emulator::note_wait(); }
inline void release_next() {}

namespace emulated {

inline float low(uint32_t pair) { return to_float(Bf16{static_cast<uint16_t>(pair)}); }
inline float high(uint32_t pair) { return to_float(Bf16{static_cast<uint16_t>(pair >> 16)}); }
inline float half_of(uint32_t pair, int half) { return half == 0 ? low(pair) : high(pair); }

struct MmaLane {
  float c[4];
  uint32_t a[4];
  uint32_t b[2];
};

// Elements a0 ... a7 of a thread: row groupID for i in {0,1,4,5}, else groupID + 8; column
// threadID_in_group * 2 + (i & 1), plus 8 for i >= 4.
inline void multiply_fragments(MmaLane (&lanes)[32]) {
  float a[16][16];
  float b[16][8];
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane >> 2;
    const int in_group = lane % 4;
    for (int i = 0; i < 8; ++i) {
      const int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
      const int col = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
      a[row][col] = half_of(lanes[lane].a[i / 2], i & 1);
    }
    for (int i = 0; i < 4; ++i) {
      const int row = in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0);
      b[row][group] = half_of(lanes[lane].b[i / 2], i & 1);
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const int row = i < 2 ? lane >> 2 : (lane >> 2) + 8;
      const int col = lane % 4 * 2 + (i & 1);
      double sum = lanes[lane].c[i];
      for (int k = 0; k < 16; ++k) sum += static_cast<double>(a[row][k]) * b[k][col];
      lanes[lane].c[i] = static_cast<float>(sum);
    }
  }
}

}  // namespace emulated

inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulated::MmaLane mine{{c[0], c[1], c[2], c[3]}, {a[0], a[1], a[2], a[3]}, {b0, b1}};
  cuda_emulator::together<emulated::MmaLane>(mine, emulated::multiply_fragments);
  std::memcpy(c, mine.c, sizeof(c));
}

inline void load_transposed(uint32_t (&r)[4], const void* row) {
  struct Lane {
    const void* row;
    uint32_t r[4];
  };
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) cuda_emulator::fail("ldmatrix: not aligned");
  Lane mine{row, {}};
  cuda_emulator::together<Lane>(mine, [](Lane(&lanes)[32]) {
    const auto element = [&](int block, int line, int column) {
      return static_cast<const uint16_t*>(lanes[block * 8 + line].row)[column];
    };
    for (int lane = 0; lane < 32; ++lane) {
      for (int block = 0; block < 4; ++block) {  // transposed: the lane's pair is down a column
        const uint32_t first = element(block, lane % 4 * 2, lane / 4);
        const uint32_t second = element(block, lane % 4 * 2 + 1, lane / 4);
        lanes[lane].r[block] = first | second << 16;
      }
    }
  });
  std::memcpy(r, mine.r, sizeof(r));
}

inline void copy_async(void* to, const void* from, bool valid) {
  if (reinterpret_cast<uintptr_t>(to) % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0) {
    cuda_emulator::fail("cp.async: not aligned");
  }
  cuda_emulator::start_copy(to, from, valid);
}
inline void commit_copies() { cuda_emulator::commit_copies(); }
template <int kPending>
void wait_copies() {
  cuda_emulator::wait_copies(kPending);
}

inline uint32_t pack_bf16(float low, float high) {
  return to_bf16(low).bits | static_cast<uint32_t>(to_bf16(high).bits) << 16;
}
inline uint32_t subtract_bf16(uint32_t a, uint32_t b) {
  return pack_bf16(emulated::low(a) - emulated::low(b), emulated::high(a) - emulated::high(b));
}
inline uint32_t multiply_bf16(uint32_t a, uint32_t b) {
  return pack_bf16(emulated::low(a) * emulated::low(b), emulated::high(a) * emulated::high(b));
}

}  // namespace gemma4::cuda
