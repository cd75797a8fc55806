#include "kernels/cpu/products.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "kernels/cpu/onednn.h"
#include "lib/base/error.h"
#include "lib/base/parallel.h"
#include "lib/quant/activation_quant.h"

namespace gemma4::cpu {
namespace {

/// Scales of groups of another size than the kernels know, or of another type: float32, one for
/// each kGroup columns.
struct ScalesLayout : WeightLayout {
  std::vector<float> scales;
};

/// Bytes of weight that a thread takes at a time where few rows meet it.
constexpr int64_t kPieceBytes = 1024 * 1024;
/// Rows of weight that a thread takes at a time where many rows meet it.
constexpr int64_t kManyColumns = 256;
/// Activations of many rows are this much longer than a row, so that rows of a power of two do not
/// fall on the same lines of the first cache.
constexpr int64_t kRowPadding = 64;

int64_t element_bytes(Element type) { return type == Element::kF32 ? 4 : 2; }

/// Rows [first, first + count) of a dense weight and the job's activations.
DenseProduct dense_product(const ProductJob& job, int64_t first, int64_t count) {
  const Weight& weight = *job.weight;
  const Element type = element_type(weight);
  const auto* data = static_cast<const std::byte*>(weight.dense.data);
  return {job.x,
          job.x_stride,
          job.rows,
          data + (job.first + first) * weight.cols * element_bytes(type),
          type,
          weight.cols,
          count,
          weight.cols,
          job.out + first,
          job.out_stride};
}

/// Elements from one row of bf16 activations to the next, the zeros behind it included: a line more
/// than it needs, so that rows of a power of two do not fall on the same lines of the first cache.
int64_t bf16_stride(int64_t cols) {
  return (cols + kBf16Lanes - 1) / kBf16Lanes * kBf16Lanes + kBf16Lanes;
}

/// Rows [first, first + count) of a bf16 weight and the job's activations as `x` holds them.
Bf16Product bf16_product(const ProductJob& job, const void* x, int64_t first, int64_t count) {
  const int64_t cols = job.weight->cols;
  const auto* data = static_cast<const uint16_t*>(job.weight->dense.data);
  return {static_cast<const uint16_t*>(x),
          bf16_stride(cols),
          job.rows,
          data + (job.first + first) * cols,
          cols,
          count,
          cols,
          job.out + first,
          job.out_stride};
}

/// The columns [begin, end) of a product.
DenseProduct columns(const DenseProduct& whole, int64_t begin, int64_t end) {
  DenseProduct p = whole;
  p.w = static_cast<const std::byte*>(whole.w) + begin * whole.ldw * element_bytes(whole.type);
  p.n = end - begin;
  p.out = whole.out + begin;
  return p;
}

Element scale_type(Dtype dtype) {
  if (dtype == Dtype::kF32) return Element::kF32;
  return dtype == Dtype::kBf16 ? Element::kBf16 : Element::kF16;
}

/// Whether QuantRows can express it, with ScalesLayout where that is needed.
bool fits_kernels(const QuantizedMatrix& q) {
  return q.symmetric() && q.cols % kGroup == 0 && q.group_size % kGroup == 0 &&
         (q.bits == 2 || q.bits == 4 || q.bits == 8);
}

bool needs_scales_layout(const QuantizedMatrix& q) {
  if (!fits_kernels(q) || q.per_channel()) return false;
  return q.group_size != kGroup || q.scale_dtype == Dtype::kF16;
}

/// Rows [first, first + count) of a weight that fits_kernels.
QuantRows quant_rows(const Weight& weight, int64_t first, int64_t count) {
  const QuantizedMatrix& q = *weight.quantized;
  QuantRows rows{};
  rows.codes = q.codes + first * static_cast<int64_t>(q.row_bytes);
  rows.row_bytes = static_cast<int64_t>(q.row_bytes);
  rows.bits = q.bits;
  rows.signed_codes = q.packing == CodePacking::kInt8;
  rows.grouped = !q.per_channel();
  rows.rows = count;
  rows.cols = q.cols;
  const int64_t first_scale = first * (rows.grouped ? q.cols / kGroup : 1);
  if (const auto* layout = static_cast<const ScalesLayout*>(weight.layout.get())) {
    rows.scale_type = Element::kF32;
    rows.scales = layout->scales.data() + first_scale;
  } else {
    rows.scale_type = scale_type(q.scale_dtype);
    rows.scales =
        static_cast<const std::byte*>(q.scales) + first_scale * element_bytes(rows.scale_type);
  }
  return rows;
}

bool static_output(const Weight& weight) {
  return weight.quantized && weight.quantized->activation == ActivationScheme::kStaticInt8 &&
         weight.quantized->output_scale != 0.0f;
}

/// The checkpoint's static quantisation of the output, as far as a piece of it was computed.
void quantize_output(const ProductJob& job, int64_t first, int64_t count) {
  if (!static_output(*job.weight)) return;
  for (int64_t r = 0; r < job.rows; ++r) {
    float* out = job.out + r * job.out_stride + first;
    for (int64_t i = 0; i < count; ++i) {
      out[i] = static_range_quantize(out[i], job.weight->quantized->output_scale);
    }
  }
}

/// The scale of one row of activations under a scheme that gives it one.
float row_scale(ActivationScheme scheme, float static_scale, const float* x, int64_t cols) {
  if (scheme == ActivationScheme::kStaticInt8) return static_scale;
  return dynamic_int8_scale({x, static_cast<size_t>(cols)});
}

}  // namespace

Element element_type(const Weight& weight) {
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
  const QuantizedMatrix& q = *weight.quantized;
  if (!needs_scales_layout(q)) return;
  auto layout = std::make_shared<ScalesLayout>();
  const int64_t repeat = q.group_size / kGroup;
  const int64_t groups = q.cols / kGroup;
  layout->scales.resize(static_cast<size_t>(q.rows * groups));
  parallel_ranges(q.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * groups; i < end * groups; ++i) {
      layout->scales[static_cast<size_t>(i)] = scale_at(q, i / groups, i % groups / repeat);
    }
  });
  weight.layout = std::move(layout);
}

void Products::row(const Weight& weight, int64_t index, int64_t first_column, int64_t count,
                   float scale, float* out) const {
  if (weight.quantized) {
    std::vector<float> whole(static_cast<size_t>(weight.cols));
    widen_rows(weight, index, 1, whole.data());
    kernels_.rows.widen(whole.data() + first_column, Element::kF32, count, scale, out);
    return;
  }
  const Element type = element_type(weight);
  const auto* data = static_cast<const std::byte*>(weight.dense.data);
  kernels_.rows.widen(data + (index * weight.cols + first_column) * element_bytes(type), type,
                      count, scale, out);
}

void Products::widen_rows(const Weight& weight, int64_t first, int64_t count, float* out) const {
  if (!fits_kernels(*weight.quantized)) {
    for (int64_t r = 0; r < count; ++r) {
      dequantize_row(*weight.quantized, first + r, out + r * weight.cols);
    }
    return;
  }
  const QuantRows rows = quant_rows(weight, first, count);
  for (int64_t r = 0; r < count; ++r) kernels_.quant.dequantize(rows, r, out + r * weight.cols);
}

bool Products::integer(const Weight& weight) const {
  return weight.quantized && !exact_activations_ && fits_kernels(*weight.quantized);
}

/// How products of many rows with a weight that is not quantised are computed.
ProductPath Products::path(const Weight& weight) const {
  if (element_type(weight) != Element::kBf16) return ProductPath::kFma;
  return bf16_path_ ? *bf16_path_ : product_choice().path;
}

ProductPath Products::path(const ProductJob& job) const {
  if (job.keep_float) return ProductPath::kFma;
  const ProductPath chosen = path(*job.weight);
  // oneDNN lays the weight out anew for each product, which few rows do not pay for.
  const bool few = job.rows <= kMatvecRows;
  return chosen == ProductPath::kOneDnn && few ? ProductPath::kFma : chosen;
}

ProductReport Products::report(const Weight& weight) const {
  if (weight.quantized) return {integer(weight) ? "int8" : "widened"};
  ProductReport report{product_path_name(path(weight))};
  if (element_type(weight) == Element::kBf16 && !bf16_path_) {
    for (const auto& [path, rate] : product_choice().rates) {
      report.rates.emplace_back(product_path_name(path), rate);
    }
  }
  return report;
}

Products::Activations Products::activations_of(const ProductJob& job) const {
  Activations a{job.x, job.x_stride, job.rows, job.weight->cols, 0, false, ActivationScheme::kNone,
                0.0f};
  if (!job.weight->quantized) a.bf16 = path(job) != ProductPath::kFma;
  if (integer(*job.weight)) a.bits = job.weight->quantized->bits;
  if (job.weight->quantized) {
    a.scheme = job.weight->quantized->activation;
    a.scale = job.weight->quantized->input_scale;
    if (a.scheme == ActivationScheme::kStaticInt8 && a.scale == 0.0f) {
      a.scheme = ActivationScheme::kNone;
    }
    if (a.scheme != ActivationScheme::kStaticInt8) a.scale = 0.0f;
  }
  return a;
}

void Products::run(std::span<const ProductJob> jobs) {
  scratch_.reserve_threads();
  widened_.reserve_threads();
  quantized_.reserve_threads();
  few_.clear();
  many_key_ = {};
  for (const ProductJob& job : jobs) {
    if (job.rows > 0 && job.rows <= kMatvecRows) few_.push_back(job);
    if (job.rows > kMatvecRows) run_many(job);
  }
  if (!few_.empty()) run_few();
}

// --- few rows
// -------------------------------------------------------------------------------------

int64_t Products::few_bytes(const Activations& a) const {
  if (a.bits > 0) return kernels_.quant.few_bytes(a.cols, a.bits);
  if (a.bf16) return bf16_stride(a.cols) * 2;
  return a.scheme == ActivationScheme::kNone ? 0 : (a.cols * 4 + 63) / 64 * 64;
}

void Products::pack_few(const Activations& a, int64_t row, char* packed) {
  const float* x = a.x + row * a.x_stride;
  if (a.bf16) {
    auto* to = reinterpret_cast<uint16_t*>(packed);
    kernels_.rows.narrow_to_bf16(x, a.cols, to);
    std::fill(to + a.cols, to + bf16_stride(a.cols), uint16_t{0});
    return;
  }
  if (a.bits == 0) {
    const float scale = row_scale(a.scheme, a.scale, x, a.cols);
    auto* to = reinterpret_cast<float*>(packed);
    for (int64_t i = 0; i < a.cols; ++i) to[i] = static_range_quantize(x[i], scale);
    return;
  }
  const int64_t groups = a.cols / kGroup;
  auto* scales = static_cast<float*>(quantized_.mine().bytes(2 * a.cols + 8 * groups));
  auto* offsets = reinterpret_cast<int32_t*>(scales + groups);
  auto* natural = reinterpret_cast<int8_t*>(offsets + groups);
  if (a.scheme == ActivationScheme::kNone) {
    kernels_.quant.quantize(x, a.cols, natural, scales);
  } else {
    kernels_.quant.quantize_with(x, a.cols, row_scale(a.scheme, a.scale, x, a.cols), natural,
                                 scales);
  }
  kernels_.quant.arrange(natural, a.cols, a.bits, natural + a.cols, offsets);
  kernels_.quant.pack_few(natural + a.cols, scales, a.cols, a.bits, packed);
}

void Products::run_few() {
  few_keys_.clear();
  few_key_of_.clear();
  few_at_.assign(1, 0);
  pieces_.clear();
  for (size_t i = 0; i < few_.size(); ++i) {
    const Activations a = activations_of(few_[i]);
    const auto known = std::find(few_keys_.begin(), few_keys_.end(), a);
    few_key_of_.push_back(static_cast<size_t>(known - few_keys_.begin()));
    if (known == few_keys_.end()) {
      few_keys_.push_back(a);
      few_at_.push_back(few_at_.back() + few_bytes(a) * a.rows);
    }
    const Weight& weight = *few_[i].weight;
    const int64_t row_bytes = weight.quantized ? static_cast<int64_t>(weight.quantized->row_bytes)
                                               : weight.cols * element_bytes(element_type(weight));
    const int64_t step =
        std::max<int64_t>(16, kPieceBytes / std::max<int64_t>(1, row_bytes) / 16 * 16);
    for (int64_t n = 0; n < few_[i].count; n += step) {
      pieces_.push_back({i, n, std::min(step, few_[i].count - n)});
    }
  }
  auto* packed = static_cast<char*>(packed_.bytes(few_at_.back()));
  for (size_t i = 0; i < few_keys_.size(); ++i) {
    const Activations& a = few_keys_[i];
    const int64_t bytes = few_bytes(a);
    if (bytes == 0) continue;
    constexpr int64_t kWorthAThread = 16 * 1024;
    parallel_ranges(a.rows, 1 + kWorthAThread / a.cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) pack_few(a, r, packed + few_at_[i] + r * bytes);
    });
  }
  parallel_items(static_cast<int64_t>(pieces_.size()),
                 [&](int64_t i) { run_piece(pieces_[static_cast<size_t>(i)]); });
}

void Products::run_piece(const Piece& piece) {
  const ProductJob& job = few_[piece.job];
  const size_t key = few_key_of_[piece.job];
  const Activations& a = few_keys_[key];
  const char* packed = static_cast<const char*>(packed_.bytes(0)) + few_at_[key];
  if (a.bf16) {
    kernels_.bf16_product(bf16_product(job, packed, piece.first, piece.count));
    return;
  }
  if (!job.weight->quantized) {
    kernels_.products.matvec(dense_product(job, piece.first, piece.count));
    return;
  }
  if (a.bits > 0) {
    kernels_.quant.matvec(quant_rows(*job.weight, job.first + piece.first, piece.count), packed,
                          job.rows, job.out + piece.first, job.out_stride);
  } else if (few_bytes(a) > 0) {
    run_widened(job, reinterpret_cast<const float*>(packed), few_bytes(a) / 4, piece.first,
                piece.count, 16);
  } else {
    run_widened(job, job.x, job.x_stride, piece.first, piece.count, 16);
  }
  quantize_output(job, piece.first, piece.count);
}

/// Rows [first, first + count) of the job's weight, `block` at a time as float32. On this thread.
void Products::run_widened(const ProductJob& job, const float* x, int64_t x_stride, int64_t first,
                           int64_t count, int64_t block) {
  const int64_t cols = job.weight->cols;
  float* rows = widened_.mine().floats(block * cols);
  for (int64_t n = first; n < first + count; n += block) {
    const int64_t size = std::min(block, first + count - n);
    widen_rows(*job.weight, job.first + n, size, rows);
    const DenseProduct p{x,    x_stride, job.rows, rows,        Element::kF32,
                         cols, size,     cols,     job.out + n, job.out_stride};
    if (job.rows <= kMatvecRows) {
      kernels_.products.matvec(p);
    } else {
      kernels_.products.gemm(p, scratch_.mine().floats(kernels_.products.gemm_scratch()));
    }
  }
}

// --- many rows
// ------------------------------------------------------------------------------------

void Products::run_many(const ProductJob& job) {
  const Activations a = activations_of(job);
  if (a.bf16) {
    run_many_bf16(job, a);
    return;
  }
  if (!job.weight->quantized) {
    run_many_dense(dense_product(job, 0, job.count));
    return;
  }
  if (a.bits > 0) {
    run_many_integer(job, a);
    return;
  }
  const float* x = job.x;
  int64_t x_stride = job.x_stride;
  if (a.scheme != ActivationScheme::kNone) {
    many_key_ = {};
    x_stride = a.cols;
    auto* to = packed_.floats(a.rows * a.cols);
    x = to;
    parallel_ranges(a.rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        pack_few(a, r, reinterpret_cast<char*>(to + r * a.cols));
      }
    });
  }
  const int64_t chunks = (job.count + kManyColumns - 1) / kManyColumns;
  parallel_items(chunks, [&](int64_t i) {
    const int64_t first = i * kManyColumns;
    const int64_t count = std::min(kManyColumns, job.count - first);
    run_widened(job, x, x_stride, first, count, kManyColumns);
    quantize_output(job, first, count);
  });
}

void Products::run_many_dense(const DenseProduct& whole) {
  if (whole.type == Element::kF32) {
    sgemm(whole.m, whole.n, whole.k, whole.x, whole.ldx, static_cast<const float*>(whole.w),
          whole.ldw, whole.out, whole.ldo);
    return;
  }
  parallel_ranges(whole.n, 32, [&](int64_t begin, int64_t end) {
    float* scratch = scratch_.mine().floats(kernels_.products.gemm_scratch());
    kernels_.products.gemm(columns(whole, begin, end), scratch);
  });
}

void Products::run_many_bf16(const ProductJob& job, const Activations& a) {
  const int64_t bytes = few_bytes(a);
  auto* packed = static_cast<char*>(packed_.bytes(bytes * a.rows));
  if (!(a == many_key_)) {
    parallel_ranges(a.rows, 4, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) pack_few(a, r, packed + r * bytes);
    });
    many_key_ = a;
  }
  const auto multiply =
      path(job) == ProductPath::kOneDnn ? onednn_bf16_product : kernels_.bf16_product;
  parallel_ranges(job.count, 32, [&](int64_t begin, int64_t end) {
    multiply(bf16_product(job, packed, begin, end - begin));
  });
}

void Products::run_many_integer(const ProductJob& job, const Activations& a) {
  const int64_t groups = a.cols / kGroup;
  QuantActivations x{};
  x.stride = a.cols + kRowPadding;
  x.codes = static_cast<int8_t*>(packed_.bytes(a.rows * (x.stride + groups * 8)));
  x.scales = reinterpret_cast<float*>(x.codes + a.rows * x.stride);
  x.offsets = reinterpret_cast<int32_t*>(x.scales + a.rows * groups);
  if (!(a == many_key_)) {
    parallel_ranges(a.rows, 1, [&](int64_t begin, int64_t end) {
      auto* natural = static_cast<int8_t*>(quantized_.mine().bytes(a.cols));
      for (int64_t r = begin; r < end; ++r) {
        const float* from = a.x + r * a.x_stride;
        float* scales = x.scales + r * groups;
        if (a.scheme == ActivationScheme::kNone) {
          kernels_.quant.quantize(from, a.cols, natural, scales);
        } else {
          kernels_.quant.quantize_with(from, a.cols, row_scale(a.scheme, a.scale, from, a.cols),
                                       natural, scales);
        }
        kernels_.quant.arrange(natural, a.cols, a.bits, x.codes + r * x.stride,
                               x.offsets + r * groups);
      }
    });
    many_key_ = a;
  }
  const int64_t chunks = (job.count + kManyColumns - 1) / kManyColumns;
  parallel_items(chunks, [&](int64_t i) {
    const int64_t first = i * kManyColumns;
    const int64_t count = std::min(kManyColumns, job.count - first);
    kernels_.quant.gemm(quant_rows(*job.weight, job.first + first, count), x, job.rows,
                        job.out + first, job.out_stride,
                        scratch_.mine().bytes(kernels_.quant.gemm_scratch()));
    quantize_output(job, first, count);
  });
}

}  // namespace gemma4::cpu
