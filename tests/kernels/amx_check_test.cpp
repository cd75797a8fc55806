#include "kernels/cpu/amx_check.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "lib/base/cpu_features.h"

#ifndef GEMMA4_CUDA_EMULATED
namespace gemma4::cpu {
namespace {

const std::vector<float> kExpected = {1.0f, -2.0f, 0.0f, 40.0f};
constexpr int kThreads = 5;
constexpr std::chrono::milliseconds kDuration(5);

void fill(float* out) { std::memcpy(out, kExpected.data(), kExpected.size() * sizeof(float)); }

TEST_CASE("a product that is always right under contention passes, on every thread") {
  std::atomic<int> runs{0};
  const auto product = [&](float* out) {
    fill(out);
    ++runs;
  };
  CHECK(right_under_contention(product, kExpected, kThreads, kDuration));
  CHECK(runs >= kThreads);
}

TEST_CASE("a product that comes out as zeros once in a while is caught") {
  std::atomic<int> runs{0};
  const auto product = [&](float* out) {
    fill(out);
    if (++runs == 3) std::memset(out, 0, kExpected.size() * sizeof(float));
  };
  CHECK_FALSE(right_under_contention(product, kExpected, kThreads, kDuration));
}

TEST_CASE("one wrong bit, a missing value and a negative zero are wrong results") {
  const auto with = [](size_t index, float value) {
    return right_under_contention(
        [=](float* out) {
          fill(out);
          out[index] = value;
        },
        kExpected, 1, kDuration);
  };
  CHECK(with(3, 40.0f));
  CHECK_FALSE(with(3, 40.000004f));
  CHECK_FALSE(with(2, -0.0f));
  CHECK_FALSE(right_under_contention([](float*) {}, kExpected, 1, kDuration));
}

TEST_CASE("a product that throws is a wrong result") {
  const auto product = [](float*) { throw std::runtime_error("no such product"); };
  CHECK_FALSE(right_under_contention(product, kExpected, kThreads, kDuration));
}

TEST_CASE("AMX is not used where the CPU has none") {
  if (cpu_features().amx_bf16) return;
  CHECK_FALSE(amx_works());
}

}  // namespace
}  // namespace gemma4::cpu
#endif
