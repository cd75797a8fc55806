#include "kernels/cpu/products.h"

#include <algorithm>
#include <string>

#include "kernels/cpu/sgemm.h"
#include "lib/base/error.h"
#include "lib/base/parallel.h"
#include "lib/quant/quantized_matrix.h"

namespace gemma4::cpu {
namespace {

/// A quantised weight as float32, for formats without a layout of their own.
struct WidenedLayout : WeightLayout {
  Scratch memory;
  const float* values = nullptr;
};

/// Bytes of weight that a thread takes at a time where few rows meet it.
constexpr int64_t kPieceBytes = 256 * 1024;

int64_t element_bytes(Element type) { return type == Element::kF32 ? 4 : 2; }

DenseProduct dense_product(const ProductJob& job) {
  DenseProduct p{};
  p.x = job.x;
  p.ldx = job.x_stride;
  p.m = job.rows;
  p.type = element_type(*job.weight);
  p.ldw = job.weight->cols;
  p.n = job.count;
  p.k = job.weight->cols;
  p.out = job.out;
  p.ldo = job.out_stride;
  const auto* layout = static_cast<const WidenedLayout*>(job.weight->layout.get());
  const void* data = layout != nullptr ? layout->values : job.weight->dense.data;
  p.w = static_cast<const std::byte*>(data) + job.first * p.ldw * element_bytes(p.type);
  return p;
}

/// The columns [begin, end) of a product.
DenseProduct columns(const DenseProduct& whole, int64_t begin, int64_t end) {
  DenseProduct p = whole;
  p.w = static_cast<const std::byte*>(whole.w) + begin * whole.ldw * element_bytes(whole.type);
  p.n = end - begin;
  p.out = whole.out + begin;
  return p;
}

}  // namespace

Element element_type(const Weight& weight) {
  if (weight.layout != nullptr) return Element::kF32;
  switch (weight.dense.dtype) {
    case Dtype::kF32:
      return Element::kF32;
    case Dtype::kBf16:
      return Element::kBf16;
    case Dtype::kF16:
      return Element::kF16;
    default:
      throw Error(ErrorKind::kModel, "weight is not of a float type", weight.name,
                  std::string(dtype_name(weight.dense.dtype)));
  }
}

void Products::prepare(Weight& weight) const {
  if (!weight.quantized) {
    element_type(weight);
    return;
  }
  auto layout = std::make_shared<WidenedLayout>();
  float* values = layout->memory.floats(weight.rows * weight.cols);
  parallel_ranges(weight.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      dequantize_row(*weight.quantized, r, values + r * weight.cols);
    }
  });
  layout->values = values;
  weight.layout = std::move(layout);
}

void Products::row(const Weight& weight, int64_t index, int64_t first_column, int64_t count,
                   float scale, float* out) const {
  const ProductJob job{&weight, index, 1, nullptr, 0, 0, nullptr, 0};
  const DenseProduct p = dense_product(job);
  const auto* from = static_cast<const std::byte*>(p.w) + first_column * element_bytes(p.type);
  kernels_.rows.widen(from, p.type, count, scale, out);
}

void Products::run(std::span<const ProductJob> jobs) {
  few_jobs_.clear();
  for (const ProductJob& job : jobs) {
    if (job.rows == 0) continue;
    if (job.rows <= kMatvecRows) {
      few_jobs_.push_back(job);
    } else {
      run_many(job);
    }
  }
  if (!few_jobs_.empty()) run_few(few_jobs_);
}

void Products::run_few(std::span<const ProductJob> jobs) {
  few_.clear();
  for (const ProductJob& job : jobs) {
    const DenseProduct whole = dense_product(job);
    const int64_t row_bytes = std::max<int64_t>(1, whole.ldw * element_bytes(whole.type));
    const int64_t step = std::max<int64_t>(16, kPieceBytes / row_bytes / 16 * 16);
    for (int64_t n = 0; n < whole.n; n += step) {
      few_.push_back(columns(whole, n, std::min(n + step, whole.n)));
    }
  }
  parallel_items(static_cast<int64_t>(few_.size()), [&](int64_t i) {
    kernels_.products.matvec(few_[static_cast<size_t>(i)]);
  });
}

void Products::run_many(const ProductJob& job) {
  const DenseProduct whole = dense_product(job);
  if (whole.type == Element::kF32) {
    sgemm(whole.m, whole.n, whole.k, whole.x, whole.ldx, static_cast<const float*>(whole.w),
          whole.ldw, whole.out, whole.ldo);
    return;
  }
  scratch_.reserve_threads();
  parallel_ranges(whole.n, 32, [&](int64_t begin, int64_t end) {
    float* scratch = scratch_.mine().floats(kernels_.products.gemm_scratch());
    kernels_.products.gemm(columns(whole, begin, end), scratch);
  });
}

}  // namespace gemma4::cpu
