#include "kernels/cuda/products.h"

#include <algorithm>

#include "kernels/cuda/expert_kernels.h"
#include "lib/base/error.h"

namespace gemma4::cuda {
namespace {

constexpr int64_t kBlasRows = 128;     // from here on cuBLASLt is faster than tile_product
constexpr int64_t kWidenRows = 512;    // and pays for widening coded weights first
constexpr int64_t kPartRows = 2048;    // bounds the memory of inner activations
constexpr int64_t kFewExpertRows = 8;  // rows whose experts are not grouped
constexpr int64_t kWidenedBytes = int64_t{64} << 20;

ActivationScheme scheme_of(const Weight& weight) {
  return weight.quantized ? weight.quantized->activation : ActivationScheme::kNone;
}

ProductRows rows_of(const ProductInput& x, bool narrow) {
  ProductRows rows;
  rows.m = static_cast<int32_t>(x.rows);
  rows.k = static_cast<int32_t>(x.cols);
  rows.narrow = narrow ? 1 : 0;
  rows.x = narrow ? static_cast<const void*>(x.narrow) : x.wide;
  rows.stride = narrow ? padded_cols(x.cols) : x.cols;
  return rows;
}

ProductTarget target_of(const StoredMatrix& w, float* out) {
  ProductTarget target;
  target.w = w;
  target.out = out;
  target.out_stride = w.rows;
  return target;
}

}  // namespace

Products::Products(LaunchQueue& queue, WeightStore& store, bool exact)
    : queue_(queue),
      store_(store),
      exact_(exact),
      blas_(Blas::open()),
      narrow_x_(queue),
      rounded_x_(queue),
      gate_(queue),
      up_(queue),
      gated_(queue),
      results_(queue),
      grouping_(queue),
      widened_(queue),
      partial_(queue) {}

bool Products::is_exact(const Weight& weight) {
  return exact_ || scheme_of(weight) != ActivationScheme::kNone ||
         store_.find(weight).form == WeightForm::kF32;
}

void Products::run(const ProductInput& x, std::span<const ProductJob> jobs) {
  std::vector<ProductJob> narrow;
  for (const ProductJob& job : jobs) {
    if (is_exact(*job.weight)) {
      run_exact(x, job);
    } else {
      narrow.push_back(job);
    }
  }
  if (!narrow.empty()) run_narrow(x, narrow);
}

const float* Products::rounded(const Weight& weight, const float* x, int64_t rows, int64_t cols) {
  const ActivationScheme scheme = scheme_of(weight);
  const float scale = scheme == ActivationScheme::kStaticInt8 ? weight.quantized->input_scale : 0;
  const bool applies = scheme == ActivationScheme::kDynamicInt8 || scale != 0.0f;
  if (!applies) return x;
  float* out = rounded_x_.floats(rows * cols);
  round_activations(queue_, x, rows, cols, scale, out);
  return out;
}

void Products::run_exact(const ProductInput& x, const ProductJob& job) {
  const StoredMatrix w = store_.find(*job.weight).row_range(job.first, job.count);
  ProductInput input = x;
  input.wide = rounded(*job.weight, x.wide, x.rows, x.cols);
  if (x.rows < kBlasRows || !run_blas(input, w, job.out, false)) {
    const ProductTarget target = target_of(w, job.out);
    exact_product(queue_, {&target, 1}, rows_of(input, false));
  }
  if (scheme_of(*job.weight) == ActivationScheme::kStaticInt8 &&
      job.weight->quantized->output_scale != 0.0f) {
    round_activations(queue_, job.out, x.rows, job.count, job.weight->quantized->output_scale,
                      job.out);
  }
}

void Products::run_narrow(const ProductInput& x, std::span<const ProductJob> jobs) {
  if (x.rows <= kFewRows) {  // weights of one form that share their input go together
    std::vector<ProductTarget> targets;
    const auto flush = [&] {
      if (!targets.empty()) {
        few_rows_product(queue_, targets, rows_of(x, x.narrow != nullptr));
      }
      targets.clear();
    };
    for (const ProductJob& job : jobs) {
      const StoredMatrix w = store_.find(*job.weight).row_range(job.first, job.count);
      if (targets.size() == kMaxTargets || (!targets.empty() && targets.front().w.form != w.form)) {
        flush();
      }
      targets.push_back(target_of(w, job.out));
    }
    flush();
    return;
  }
  ProductInput input = x;
  if (input.narrow == nullptr) {
    auto* narrow = narrow_x_.items<uint16_t>(x.rows * padded_cols(x.cols));
    narrow_rows(queue_, x.wide, x.cols, x.rows, x.cols, narrow);
    input.narrow = narrow;
  }
  for (const ProductJob& job : jobs) {
    const StoredMatrix w = store_.find(*job.weight).row_range(job.first, job.count);
    if (x.rows >= kBlasRows && (w.form == WeightForm::kBf16 || x.rows >= kWidenRows) &&
        run_blas(input, w, job.out, true)) {
      continue;
    }
    tile_product(queue_, target_of(w, job.out), rows_of(input, true), nullptr, partial(),
                 kPartialFloats);
  }
}

bool Products::run_blas(const ProductInput& x, const StoredMatrix& w, float* out, bool narrow) {
  if (blas_ == nullptr) return false;
  const int64_t padded = padded_cols(w.cols);
  const WeightForm plain = narrow ? WeightForm::kBf16 : WeightForm::kF32;
  BlasProduct p;
  p.x = narrow ? static_cast<const void*>(x.narrow) : x.wide;
  p.x_stride = narrow ? padded : x.cols;
  p.m = x.rows;
  p.k = narrow ? padded : w.cols;  // both operands end in zeros
  p.w_stride = padded;
  p.out_stride = w.rows;
  p.narrow = narrow;
  queue_.flush();
  if (w.form == plain) {
    p.w = w.codes;
    p.n = w.rows;
    p.out = out;
    return blas_->run(p, queue_.stream());
  }
  const int64_t row_bytes = packed_row_bytes(plain, w.cols);
  const int64_t together =
      std::min<int64_t>(w.rows, std::max<int64_t>(1, kWidenedBytes / row_bytes));
  for (int64_t first = 0; first < w.rows; first += together) {
    p.n = std::min<int64_t>(together, w.rows - first);
    void* part = widened_.bytes(static_cast<size_t>(together * row_bytes));
    widen_weight(queue_, w, first, p.n, !narrow, part);
    p.w = part;
    p.out = out + first;
    if (!blas_->run(p, queue_.stream())) return false;  // the first part decides for all
  }
  return true;
}

void Products::mlp(Gate gate_kind, const Weight& gate, const Weight* up, const Weight& down,
                   Matrix x, Matrix out) {
  const int64_t width = gate.rows;
  const bool wide = is_exact(down);
  for (int64_t first = 0; first < x.rows; first += kPartRows) {
    const int64_t rows = std::min(kPartRows, x.rows - first);
    float* gates = gate_.floats(rows * width);
    float* ups = up != nullptr ? up_.floats(rows * width) : nullptr;
    std::vector<ProductJob> jobs = {{&gate, 0, width, gates}};
    if (up != nullptr) jobs.push_back({up, 0, width, ups});
    run({x.row(first), nullptr, rows, x.cols}, jobs);
    ProductInput gated{nullptr, nullptr, rows, width};
    GateOutput into;
    if (wide) {
      gated.wide = into.wide = gated_.floats(rows * width);
    } else {
      gated.narrow = into.narrow = gated_.items<uint16_t>(rows * padded_cols(width));
    }
    apply_gate(queue_, gate_kind, gates, ups, width, rows, width, into);
    const ProductJob last{&down, 0, down.rows, out.row(first)};
    run(gated, {&last, 1});
  }
}

void Products::experts(Matrix x, std::span<const MlpWeights> experts, const Routing& routing,
                       Matrix out) {
  for (int64_t first = 0; first < x.rows; first += kPartRows) {
    const int64_t rows = std::min(kPartRows, x.rows - first);
    const Routing part{routing.experts + first * routing.top_k,
                       routing.weights + first * routing.top_k, rows, routing.top_k};
    experts_part({x.row(first), x.dtype, rows, x.cols}, experts, part,
                 {out.row(first), out.dtype, rows, out.cols});
  }
}

void Products::experts_part(Matrix x, std::span<const MlpWeights> experts, const Routing& routing,
                            Matrix out) {
  const MlpWeights& like = experts.front();
  for (const MlpWeights& expert : experts) {
    if (scheme_of(expert.gate) != ActivationScheme::kNone ||
        scheme_of(expert.down) != ActivationScheme::kNone) {
      throw Error(ErrorKind::kModel, "experts with integer activations are not known on the GPU",
                  expert.gate.name, "use --device cpu, or --weights bf16");
    }
  }
  const auto num_experts = static_cast<int32_t>(experts.size());
  const StoredMatrix* table = store_.expert_table(experts);
  const auto assignments = static_cast<int32_t>(x.rows * routing.top_k);
  const int64_t width = like.gate.rows;
  float* gates = gate_.floats(assignments * width);
  float* ups = up_.floats(assignments * width);
  float* results = results_.floats(assignments * x.cols);
  const bool exact = is_exact(like.gate);
  const auto target = [&](const Weight& weight, int part, float* to) {
    ProductTarget t = target_of(store_.find(weight), to);
    t.table = table + part * num_experts;
    return t;
  };
  const ProductTarget inner[] = {target(like.gate, 0, gates), target(like.up, 1, ups)};
  const ProductTarget down = target(like.down, 2, results);

  ProductRows in;
  in.m = assignments;
  in.k = static_cast<int32_t>(x.cols);
  in.x = x.data;
  in.stride = x.cols;
  in.x_divisor = routing.top_k;
  ProductRows gated;
  gated.m = assignments;
  gated.k = static_cast<int32_t>(width);
  gated.narrow = exact ? 0 : 1;
  gated.stride = exact ? width : padded_cols(width);
  GateOutput into;
  if (exact) {
    gated.x = into.wide = gated_.floats(assignments * width);
  } else {
    gated.x = into.narrow = gated_.items<uint16_t>(assignments * padded_cols(width));
  }
  if (exact || x.rows <= kFewExpertRows) {
    in.experts = gated.experts = routing.experts;
    const auto product = exact ? exact_product : few_rows_product;
    product(queue_, std::span(inner), in);
    apply_gate(queue_, Gate::kGeluTimes, gates, ups, width, assignments, width, into);
    product(queue_, {&down, 1}, gated);
    mix_experts(queue_, results, routing.weights, nullptr, routing.top_k, out);
    return;
  }
  ExpertTiles tiles;
  tiles.height = assignments / num_experts <= 64 ? 64 : 128;
  tiles.most_tiles = assignments / tiles.height + std::min(assignments, num_experts);
  auto* counts =
      grouping_.items<int32_t>(2 * num_experts + 2 * assignments + 1 + 3 * tiles.most_tiles);
  int32_t* order = counts + 2 * num_experts;
  int32_t* place = order + assignments;
  int32_t* tile_list = place + assignments;
  group_by_expert(queue_, routing.experts, assignments, num_experts, tiles.height, counts, order,
                  place, tile_list);
  tiles.tiles = tile_list;
  tiles.row_map = order;
  auto* narrow = narrow_x_.items<uint16_t>(x.rows * padded_cols(x.cols));
  narrow_rows(queue_, x.f32(), x.cols, x.rows, x.cols, narrow);
  in.x = narrow;
  in.narrow = 1;
  in.stride = padded_cols(x.cols);
  for (const ProductTarget& t : inner) tile_product(queue_, t, in, &tiles, nullptr, 0);
  apply_gate(queue_, Gate::kGeluTimes, gates, ups, width, assignments, width, into);
  tiles.row_map = nullptr;
  tile_product(queue_, down, gated, &tiles, nullptr, 0);
  mix_experts(queue_, results, routing.weights, place, routing.top_k, out);
}

}  // namespace gemma4::cuda
