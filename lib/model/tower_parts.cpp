#include "lib/model/tower_parts.h"

#include "lib/base/checked.h"
#include "lib/base/error.h"

namespace gemma4 {
namespace {

float load_bound(TensorSource& source, Ops& ops, const std::string& name) {
  if (!source.has(name)) {
    throw Error(ErrorKind::kModel, "tensor is missing", name,
                "a clipped linear map needs all four bounds or none");
  }
  return load_floats(source, ops, name, {})[0];
}

}  // namespace

std::vector<float> load_floats(TensorSource& source, Ops& ops, const std::string& name,
                               const std::vector<int64_t>& shape) {
  const Tensor& tensor = take_floats(source, name, shape);
  std::vector<float> values(static_cast<size_t>(tensor.elements()));
  ops.copy_to_host(values.data(), ops.upload(tensor).data, values.size() * sizeof(float));
  return values;
}

Vector upload_floats(Ops& ops, const std::vector<float>& values) {
  return ops.upload({values.data(), Dtype::kF32, {static_cast<int64_t>(values.size())}});
}

ClippedLinear load_clipped_linear(TensorSource& source, Ops& ops, const std::string& module,
                                  int64_t rows, int64_t cols, bool clipped) {
  ClippedLinear out;
  out.weight = source.matrix(module + ".linear", rows, cols);
  ops.prepare(out.weight);
  bool present = false;
  for (const char* bound : {".input_min", ".input_max", ".output_min", ".output_max"}) {
    present |= source.has(module + bound);
  }
  if (!clipped || !present) return out;
  out.input_min = load_bound(source, ops, module + ".input_min");
  out.input_max = load_bound(source, ops, module + ".input_max");
  out.output_min = load_bound(source, ops, module + ".output_min");
  out.output_max = load_bound(source, ops, module + ".output_max");
  if (!(out.input_min <= out.input_max && out.output_min <= out.output_max)) {
    throw Error(ErrorKind::kModel, "bounds of a clipped linear map are no interval", module);
  }
  return out;
}

Weight load_table(TensorSource& source, Ops& ops, const std::string& name,
                  const std::vector<int64_t>& shape, int64_t rows, int64_t cols) {
  Weight table;
  table.name = name;
  table.dense = take_floats(source, name, shape);
  table.rows = rows;
  table.cols = cols;
  ops.prepare(table);
  return table;
}

Matrix Workspace::matrix(int64_t rows, int64_t cols) {
  const auto count = checked_multiply(static_cast<uint64_t>(rows), static_cast<uint64_t>(cols));
  const auto bytes = count ? checked_multiply(*count, sizeof(float)) : std::nullopt;
  if (!bytes) throw Error(ErrorKind::kResource, "not enough memory", "media encoder");
  buffers_.push_back(ops_.allocate(static_cast<size_t>(*bytes)));
  return {buffers_.back()->data(), Dtype::kF32, rows, cols};
}

Matrix Workspace::matrix(int64_t rows, int64_t cols, const float* values) {
  const Matrix out = matrix(rows, cols);
  ops_.copy_from_host(out.data, values, static_cast<size_t>(rows * cols) * sizeof(float));
  return out;
}

MediaProjector::MediaProjector(TensorSource& source, Ops& ops, const std::string& module,
                               int64_t hidden_size, int64_t cols, float eps)
    : ops_(ops), eps_(eps) {
  // The second spelling is that of the official implementation's own module tree (spec 3.3).
  const std::string other = module + ".multimodal_embedder.embedding_projection";
  projection_ = source.matrix(source.has_matrix(other) ? other : module + ".embedding_projection",
                              hidden_size, cols);
  ops.prepare(projection_);
}

SoftTokens MediaProjector::project(Matrix x) const {
  Workspace memory(ops_);
  const Matrix projected = memory.matrix(x.rows, projection_.rows);
  ops_.rms_norm(x, {}, eps_, x);
  const LinearTarget target{&projection_, projected};
  ops_.linear(x, {&target, 1});
  SoftTokens out;
  out.rows = x.rows;
  out.values.resize(static_cast<size_t>(x.rows * projection_.rows));
  ops_.copy_to_host(out.values.data(), projected.data, out.values.size() * sizeof(float));
  return out;
}

}  // namespace gemma4
