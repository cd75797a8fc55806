#include "kernels/cpu/product_choice.h"

#include <time.h>

#include <algorithm>
#include <functional>

#include "kernels/cpu/amx_check.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/scratch.h"
#include "lib/base/cpu_features.h"

namespace gemma4::cpu {
namespace {

/// Two or three blocks of the kernels, half a megabyte in all.
constexpr int64_t kRows = 84;
constexpr int64_t kColumns = 128;
constexpr int64_t kTerms = 512;
constexpr int kTurns = 6;
constexpr double kWorthRounding = 1.25;

double thread_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

ProductChoice measure() {
  ProductChoice choice;
  const CpuFeatures& features = cpu_features();
  if (!features.avx512_bf16) return choice;

  const std::vector<float> x(kRows * kTerms, 1.0f);
  const std::vector<uint16_t> ones(std::max(kRows, kColumns) * kTerms, 0x3F80);
  std::vector<float> out(kRows * kColumns);
  const ProductKernels fma = product_kernels_avx512();
  Scratch scratch;
  const DenseProduct dense{x.data(), kTerms,   kRows,  ones.data(), Element::kBf16,
                           kTerms,   kColumns, kTerms, out.data(),  kColumns};
  const Bf16Product bf16{ones.data(), kTerms, kRows,      ones.data(), kTerms,
                         kColumns,    kTerms, out.data(), kColumns};
  std::vector<std::pair<ProductPath, std::function<void()>>> paths = {
      {ProductPath::kFma, [&] { fma.gemm(dense, scratch.floats(fma.gemm_scratch())); }},
      {ProductPath::kBf16Dot, [&] { bf16_product_avx512bf16(bf16); }}};
  if (amx_works()) paths.emplace_back(ProductPath::kOneDnn, [&] { onednn_bf16_product(bf16); });

  // In turns, the best of each, in this thread's own time: what else the machine does matters
  // little then.
  std::vector<double> best(paths.size(), 1e9);
  for (int turn = 0; turn < kTurns; ++turn) {
    for (size_t i = 0; i < paths.size(); ++i) {
      const double started = thread_seconds();
      paths[i].second();
      best[i] = std::min(best[i], thread_seconds() - started);
    }
  }
  for (size_t i = 0; i < paths.size(); ++i) {
    constexpr double kOperations = 2.0 * kRows * kColumns * kTerms;
    choice.rates.emplace_back(paths[i].first, kOperations * 1e-9 / std::max(best[i], 1e-9));
  }
  choice.path = fastest_path(choice.rates);
  return choice;
}

}  // namespace

std::string_view product_path_name(ProductPath path) {
  constexpr std::string_view kNames[] = {"fma", "bf16 dot", "oneDNN"};
  return kNames[static_cast<size_t>(path)];
}

ProductPath fastest_path(const std::vector<std::pair<ProductPath, double>>& rates) {
  ProductPath path = ProductPath::kFma;
  double limit = 0.0;
  for (const auto& [known, rate] : rates) {
    if (known == ProductPath::kFma) limit = kWorthRounding * rate;
  }
  for (const auto& [known, rate] : rates) {
    if (known == ProductPath::kFma || rate < limit) continue;
    path = known;
    limit = rate;
  }
  return path;
}

const ProductChoice& product_choice() {
  static const ProductChoice choice = measure();
  return choice;
}

}  // namespace gemma4::cpu
