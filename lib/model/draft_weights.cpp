#include "lib/model/draft_weights.h"

#include <cstring>

#include "lib/base/error.h"
#include "lib/base/parallel.h"

namespace gemma4 {
namespace {

constexpr const char* kOrdering = "masked_embedding.token_ordering";

std::vector<int32_t> read_ordering(TensorSource& source, int32_t vocab_size) {
  const Tensor& tensor = source.take(kOrdering, {vocab_size});
  if (tensor.dtype != Dtype::kI64) {
    throw Error(ErrorKind::kModel, "tensor has dtype " + std::string(dtype_name(tensor.dtype)),
                kOrdering, "I64 is expected");
  }
  const auto* bytes = static_cast<const std::byte*>(tensor.data);
  std::vector<int32_t> ordering(static_cast<size_t>(vocab_size));
  std::vector<bool> seen(ordering.size());
  for (size_t i = 0; i < ordering.size(); ++i) {
    int64_t id = 0;
    std::memcpy(&id, bytes + i * sizeof(id), sizeof(id));
    if (id < 0 || id >= vocab_size || seen[static_cast<size_t>(id)]) {
      throw Error(ErrorKind::kModel, "is no permutation of the vocabulary", kOrdering,
                  "entry " + std::to_string(i) + " is " + std::to_string(id));
    }
    seen[static_cast<size_t>(id)] = true;
    ordering[i] = static_cast<int32_t>(id);
  }
  return ordering;
}

// The rows of `table` in another order, as one dense matrix that owns its bytes.
Weight reordered(Weight table, const std::vector<int32_t>& order) {
  if (table.quantized) table = convert_weight(std::move(table), WeightFormat::kBf16);
  const size_t row =
      static_cast<size_t>(table.cols) * static_cast<size_t>(dtype_bits(table.dense.dtype) / 8);
  auto bytes = std::make_shared<std::vector<std::byte>>(order.size() * row);
  const auto* from = static_cast<const std::byte*>(table.dense.data);
  parallel_ranges(static_cast<int64_t>(order.size()), 1024, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto to = static_cast<size_t>(i);
      std::memcpy(bytes->data() + to * row, from + static_cast<size_t>(order[to]) * row, row);
    }
  });
  table.dense.data = bytes->data();
  table.owner = std::move(bytes);
  return table;
}

// Each cluster's rows one after the other, so that its logits are a product like any other.
void load_centroid_head(TensorSource& source, const DraftConfig& config, Ops& ops,
                        const Weight& table, DraftWeights& w) {
  w.centroids =
      source.matrix("masked_embedding.centroids", config.num_centroids, config.text.hidden_size);
  ops.prepare(w.centroids);
  w.token_ordering = read_ordering(source, config.text.vocab_size);
  const Weight sorted = reordered(table, w.token_ordering);
  source.release(table);
  const int64_t size = config.text.vocab_size / config.num_centroids;
  for (int64_t c = 0; c < config.num_centroids; ++c) {
    w.clusters.push_back(sorted.row_slice(c * size, size));
    w.clusters.back().owner = sorted.owner;
    ops.prepare(w.clusters.back());
  }
}

}  // namespace

DraftWeights load_draft_weights(TensorSource& source, const DraftConfig& config, Ops& ops) {
  const int64_t hidden = config.text.hidden_size;
  const int64_t backbone = config.backbone_hidden_size;
  const std::string prefix = text_prefix(source);
  DraftWeights w;
  w.pre_projection = source.matrix("pre_projection", hidden, 2 * backbone);
  w.post_projection = source.matrix("post_projection", backbone, hidden);
  ops.prepare(w.pre_projection);
  ops.prepare(w.post_projection);
  w.norm = source.vector(prefix + "norm.weight", hidden);
  for (int32_t l = 0; l < config.text.num_layers(); ++l) {
    w.layers.push_back(load_layer_weights(
        source, config.text, config.text.layers[static_cast<size_t>(l)],
        prefix + "layers." + std::to_string(l) + ".", ops, WeightFormat::kStored));
  }
  source.ignore_prefix("lm_head.");  // tied to the table
  const Weight table = source.matrix(prefix + "embed_tokens", config.text.vocab_size, hidden);
  if (config.num_centroids > 0) {
    load_centroid_head(source, config, ops, table, w);
  } else {
    source.ignore_prefix("masked_embedding.");
    w.embed_tokens = table;
    ops.prepare(w.embed_tokens);
  }
  return w;
}

}  // namespace gemma4
