#include "kernels/cpu/amx_check.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

#include "kernels/cpu/onednn.h"
#include "lib/base/cpu_features.h"
#include "lib/base/log.h"
#include "lib/base/scalar_types.h"

namespace gemma4::cpu {

bool request_amx() {
  // Linux, arch/x86/include/uapi/asm/prctl.h, and the number of the tile data among the states
  // that XSAVE knows.
  constexpr long kRequestPermission = 0x1023;
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

bool right_under_contention(const std::function<void(float* out)>& product,
                            std::span<const float> expected, int threads,
                            std::chrono::milliseconds duration) {
  const auto end = std::chrono::steady_clock::now() + duration;
  std::atomic<bool> right{true};
  const auto repeat = [&] {
    try {
      std::vector<float> out(expected.size());
      do {
        std::fill(out.begin(), out.end(), std::nanf(""));
        product(out.data());
        if (std::memcmp(out.data(), expected.data(), expected.size_bytes()) != 0) right = false;
      } while (right && std::chrono::steady_clock::now() < end);
    } catch (...) {
      right = false;
    }
  };
  {
    std::vector<std::jthread> running;
    for (int i = 0; i < threads; ++i) running.emplace_back(repeat);
  }
  return right;
}

bool amx_works() {
  if (!cpu_features().amx_bf16 || !request_amx()) return false;
  constexpr int64_t kRows = 64, kColumns = 64, kTerms = 512;
  // From -4 to 4: sums stay below 2^24, where float32 is exact.
  std::vector<uint16_t> x(kRows * kTerms);
  std::vector<uint16_t> w(kColumns * kTerms);
  const auto number = [](size_t i) {
    return static_cast<float>(((i * 2654435761u) >> 7) & 7) - 4.0f;
  };
  for (size_t i = 0; i < x.size(); ++i) x[i] = to_bf16(number(i)).bits;
  for (size_t i = 0; i < w.size(); ++i) w[i] = to_bf16(number(i + 12345)).bits;
  std::vector<float> expected(kRows * kColumns, 0.0f);
  for (size_t m = 0; m < kRows; ++m) {
    for (size_t n = 0; n < kColumns; ++n) {
      for (size_t k = 0; k < kTerms; ++k) {
        expected[m * kColumns + n] += number(m * kTerms + k) * number(n * kTerms + k + 12345);
      }
    }
  }
  const auto product = [&](float* out) {
    onednn_bf16_product(
        {x.data(), kTerms, kRows, w.data(), kTerms, kColumns, kTerms, out, kColumns});
  };
  const int threads = 2 * static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  if (right_under_contention(product, expected, threads, std::chrono::milliseconds(20))) {
    return true;
  }
  log_warning(
      "AMX gives wrong products on this machine when threads are preempted: it is not used "
      "(AVX-512 instead)");
  return false;
}

}  // namespace gemma4::cpu
