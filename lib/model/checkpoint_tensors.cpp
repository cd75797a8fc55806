#include "lib/model/checkpoint_tensors.h"

#include "lib/base/error.h"

namespace gemma4 {
CheckpointTensors::CheckpointTensors(const Checkpoint& checkpoint, Ops& ops)
    : checkpoint_(&checkpoint),
      ops_(&ops),
      reader_(
          [this](std::string_view name) {
            const Tensor* tensor = checkpoint_->find(name);
            if (tensor != nullptr) used_.insert(std::string(name));
            return tensor;
          },
          QuantizationConfig::parse(checkpoint.config())) {}

const Tensor& CheckpointTensors::take(const std::string& name, const std::vector<int64_t>& shape) {
  const Tensor* tensor = checkpoint_->find(name);
  if (tensor == nullptr) {
    throw Error(ErrorKind::kModel, "tensor is missing", name,
                "the checkpoint in " + checkpoint_->directory().string() +
                    " is incomplete or does not fit its config.json");
  }
  if (tensor->shape != shape) {
    throw Error(ErrorKind::kModel, "tensor has shape " + shape_text(tensor->shape), name,
                "config.json asks for " + shape_text(shape));
  }
  used_.insert(name);
  return *tensor;
}

Weight CheckpointTensors::matrix(const std::string& module, int64_t rows, int64_t cols) {
  StoredMatrix stored = reader_.read(module, rows, cols);
  Weight weight;
  weight.name = module;
  weight.rows = rows;
  weight.cols = cols;
  weight.dense = stored.dense;
  weight.quantized = std::move(stored.quantized);
  return weight;
}

Vector CheckpointTensors::vector(const std::string& name, int64_t size) {
  return ops_->upload(take_floats(*this, name, {size}));
}

float CheckpointTensors::scalar(const std::string& name) {
  const Tensor& tensor = take_floats(*this, name, {1});
  float value = 0.0f;
  ops_->copy_to_host(&value, ops_->upload(tensor).data, sizeof(value));
  return value;
}

void CheckpointTensors::release(const Weight& weight) const {
  for (const char* suffix : {"", ".weight", ".weight_packed", ".weight_scale"}) {
    checkpoint_->release(weight.name + suffix);
  }
}

void CheckpointTensors::finish() const {
  for (const std::string& name : checkpoint_->names()) {
    if (used_.contains(name)) continue;
    bool ignored = false;
    for (const std::string& prefix : ignored_prefixes_) ignored |= name.starts_with(prefix);
    if (ignored) continue;
    throw Error(ErrorKind::kModel, "unknown tensor", name,
                "the checkpoint does not fit its config.json");
  }
}

}  // namespace gemma4
