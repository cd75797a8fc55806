#include <algorithm>
#include <bit>

#include "kernels/cuda/attention_kernels.h"
#include "lib/base/error.h"

namespace gemma4::cuda {
namespace {

KvType type_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return KvType::kF32;
    case Dtype::kBf16:
      return KvType::kBf16;
    case Dtype::kI8:
      return KvType::kI8;
    case Dtype::kF8E4M3:
      return KvType::kF8E4M3;
    default:
      throw Error(ErrorKind::kUsage, "keys and values of this type are not known on the GPU",
                  dtype_name(dtype), "use --kv-cache-dtype bf16");
  }
}

}  // namespace

KvView kv_view(const KvLayer& layer, const StepArrays& step, const StepView& view,
               int64_t query_cols) {
  const auto kind = static_cast<size_t>(layer.kind);
  KvView kv;
  kv.type = type_of(layer.dtype);
  kv.keys = {layer.keys, layer.key_scales, std::bit_cast<uint32_t>(layer.key_scale), 0};
  kv.values = {layer.values, layer.value_scales, std::bit_cast<uint32_t>(layer.value_scale), 0};
  kv.positions = view.positions;
  kv.runs = view.runs;
  kv.visible = view.visible[kind];
  kv.page_table = view.page_table[kind];
  kv.pages = view.pages[kind];
  kv.num_runs = static_cast<int32_t>(step.runs().size());
  kv.num_kv_heads = layer.num_kv_heads;
  kv.head_dim = layer.head_dim;
  kv.block_size = layer.block_size;
  kv.group = static_cast<int32_t>(query_cols / layer.head_dim) / layer.num_kv_heads;
  return kv;
}

KeySplits split_keys(int64_t blocks, int32_t most_keys, int32_t key_tile, int32_t multiprocessors,
                     int64_t most_splits) {
  constexpr int64_t kBlocksEach = 4;  // blocks that a multiprocessor should have
  const auto keys =
      static_cast<int32_t>(std::bit_ceil(static_cast<uint32_t>(std::max(most_keys, 2 * key_tile))));
  const int64_t wanted =
      (kBlocksEach * multiprocessors + blocks - 1) / std::max<int64_t>(blocks, 1);
  const int64_t splits = std::min({wanted, int64_t{keys / (2 * key_tile)}, most_splits});
  if (splits <= 1) return {keys, 1};
  const auto part = static_cast<int32_t>((keys + splits - 1) / splits);
  const int32_t whole = (part + key_tile - 1) / key_tile * key_tile;
  return {whole, (keys + whole - 1) / whole};
}

}  // namespace gemma4::cuda
