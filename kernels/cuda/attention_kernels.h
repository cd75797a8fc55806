// Storing and attending to keys and values (Ops::append_kv, Ops::attention).
//
// flash_attention: head sizes 256 and 512 on tensor cores; queries, probabilities, and what coded
//   keys and values stand for are rounded to bfloat16; few queries are split over keys and merged.
// plain_attention: any head size up to 512, in float32.
#pragma once

#include "kernels/cuda/launch_queue.h"
#include "kernels/cuda/step_tables.h"
#include "kernels/ops.h"

namespace gemma4::cuda {

inline constexpr int32_t kMostHeadDim = 512;

enum class KvType : int32_t { kF32, kBf16, kI8, kF8E4M3 };

/// Keys or values: head vectors [num_blocks, num_kv_heads, block_size], and the scales of coded
/// ones.
struct KvArray {
  void* data = nullptr;
  float* scales = nullptr;  // kI8: of each vector
  uint32_t scale_bits = 0;  // kF8E4M3: a float32, of all
  uint32_t reserved = 0;
};

/// The keys and values of one layer, and the step's tables for its kind.
struct KvView {
  KvArray keys;
  KvArray values;
  const int32_t* positions = nullptr;
  const int32_t* runs = nullptr;
  const int32_t* visible = nullptr;
  const int32_t* page_table = nullptr;
  const int32_t* pages = nullptr;
  int32_t num_runs = 0;
  KvType type = KvType::kBf16;
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;
  int32_t block_size = 0;
  int32_t group = 0;  // query heads of a key head
};

/// Throws Error(kUsage) for keys and values of a type that kernels do not know.
KvView kv_view(const KvLayer& layer, const StepArrays& step, const StepView& view,
               int64_t query_cols);

void append_kv(LaunchQueue& queue, const KvView& kv, Matrix k, Matrix v);

void plain_attention(LaunchQueue& queue, const KvView& kv, const StepArrays& step, Matrix q,
                     Matrix out);

bool flash_attention_fits(const KvView& kv);
/// `partial`: floats for partial results, `partial_count` of them.
void flash_attention(LaunchQueue& queue, const KvView& kv, const StepArrays& step, LayerKind kind,
                     Matrix q, Matrix out, float* partial, size_t partial_count);

/// How the keys of a step's queries are cut. A function of sizes rounded up to powers of two, so
/// that it stays the same while a sequence grows.
struct KeySplits {
  int32_t keys = 0;    // of a part, a multiple of the kernel's key tile
  int32_t splits = 1;  // the last part takes what is left
};
KeySplits split_keys(int64_t blocks, int32_t most_keys, int32_t key_tile, int32_t multiprocessors,
                     int64_t most_splits);

}  // namespace gemma4::cuda
