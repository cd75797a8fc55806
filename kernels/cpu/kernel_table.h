// The tables of functions that exist once per instruction set, and the plain data they take.
//
// The binary is built for any x86-64; files named *_avx2.cpp, *_avx512.cpp, *_avx512vnni.cpp
// and *_avx512bf16.cpp are compiled for more, and everything in them is reached through these
// tables alone. Such a file instantiates only templates over its own SIMD type: an inline function
// shared with other files would be emitted there for a CPU that may not be present, and the linker
// could pick that copy. All functions here run on one thread and take memory of any alignment
// unless said otherwise.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16_kernels.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/quant_kernels.h"
#include "kernels/cpu/tower_kernels.h"

namespace gemma4::cpu {

/// Largest number of queries (rows x heads) of an attention tile.
inline constexpr int kTileQueries = 64;
/// Keys that an attention tile works on at a time; blocks begin at multiples of it.
inline constexpr int kKeyBlock = 64;

/// One row at a time, or flat arrays.
struct RowKernels {
  /// out = x / rms(x) * weight (null: 1); out may be x.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t cols, float* out);
  /// x = (x + rms_norm(branch) * post) * scale; then normed = rms_norm(x) * next (normed null:
  /// not wanted). Null weights are 1.
  void (*close_block)(float* x, const float* branch, const float* post, float eps, float scale,
                      const float* next, float* normed, int64_t cols);
  /// Pairs (x[j], x[j + half]) turned by the angle whose cosine and sine are given.
  void (*rotate)(float* x, const float* cosine, const float* sine, int64_t half);
  /// out = gelu_tanh(gate) * up; out may be gate or up.
  void (*gelu_multiply)(const float* gate, const float* up, int64_t count, float* out);
  /// x = cap * tanh(x / cap)
  void (*softcap)(float* x, int64_t count, float cap);
  /// out = in * scale
  void (*widen)(const void* in, Element type, int64_t count, float scale, float* out);
  void (*narrow_to_bf16)(const float* in, int64_t count, uint16_t* out);
  /// A head vector as keys and values of int8 (returns the scale) and fp8 are stored, bit for bit
  /// as lib/quant/kv_format.h says.
  float (*narrow_to_kv_int8)(const float* in, int64_t count, int8_t* out);
  void (*narrow_to_kv_fp8)(const float* in, float scale, int64_t count, uint8_t* out);
  /// y += a * x
  void (*axpy)(float a, const float* x, int64_t count, float* y);
  /// y = (y + x) * scale
  void (*add_scale)(const float* x, float scale, int64_t count, float* y);
  float (*largest)(const float* x, int64_t count);
  /// out = exp((x - shift) * scale); returns the sum.
  double (*exp_sum)(const float* x, float shift, float scale, int64_t count, float* out);
};

/// out[m * ldo + n] = sum_k x[m * ldx + k] * w[n * ldw + k]; strides in elements.
struct DenseProduct {
  const float* x;
  int64_t ldx;
  int64_t m;
  const void* w;
  Element type;
  int64_t ldw;
  int64_t n;
  int64_t k;
  float* out;
  int64_t ldo;
};

struct ProductKernels {
  /// m <= kMatvecRows. Reads the weight once; a row's result does not depend on m.
  void (*matvec)(const DenseProduct& product);
  /// Any m. `scratch`: gemm_scratch() floats, 64-byte aligned.
  void (*gemm)(const DenseProduct& product, float* scratch);
  int64_t (*gemm_scratch)();
};

/// A half-open range of key positions.
struct KeySpan {
  int32_t begin;
  int32_t end;
};

/// What load_fp8 of the SIMD types gives of a value.
inline constexpr float kFp8Unit = 0x1p-8f;

/// Where the keys and values of one sequence and one KV head are; see KvPages and KvLayer.
struct KvView {
  const char* keys;
  const char* values;
  const float* key_scales;  // kInt8, one a head vector
  const float* value_scales;
  float key_scale;  // kFp8
  float value_scale;
  Element type;
  const int32_t* blocks;
  int32_t num_blocks;
  int32_t block_size;
  int64_t block_stride;  // elements between blocks
  int64_t head_offset;   // elements from a block's start to this head's
};

/// Queries rows x heads (heads are adjacent in a row and share the KV head), and the keys they see.
struct AttentionTile {
  const float* q;    // first row, first head
  int64_t q_stride;  // elements between rows
  int32_t rows;
  int32_t heads;
  int32_t head_dim;
  const KeySpan* visible;  // [rows]
  KvView kv;
  KeySpan part;     // only keys of this range are taken; begins at a multiple of kKeyBlock
  float* weighted;  // [rows * heads, head_dim] out: sum_t exp(score_t - largest) V[t]
  float* largest;   // [rows * heads] out
  float* sum;       // [rows * heads] out: sum_t exp(score_t - largest)
};

struct AttentionKernels {
  /// rows * heads <= kMatvecRows: keys are read in place.
  void (*attend_few)(const AttentionTile& tile, float* scratch);
  /// rows * heads <= kTileQueries: blocks of keys are widened and transposed once for all queries.
  void (*attend_many)(const AttentionTile& tile, float* scratch);
  /// Floats of scratch that either needs, 64-byte aligned.
  int64_t (*scratch)(int64_t head_dim);
};

struct KernelTable {
  RowKernels rows;
  ProductKernels products;
  AttentionKernels attention;
  TowerKernels towers;
  QuantKernels quant;
  void (*bf16_product)(const Bf16Product& product) = nullptr;  // null: AVX512-BF16 is not there
};

RowKernels row_kernels_avx2();
RowKernels row_kernels_avx512();
ProductKernels product_kernels_avx2();
ProductKernels product_kernels_avx512();
AttentionKernels attention_kernels_avx2();
AttentionKernels attention_kernels_avx512();

}  // namespace gemma4::cpu
