// The reference backend: every operation in plain C++, slow and obviously right. It is the oracle
// of the tests of all other backends, and can run a model itself (--device reference).
#pragma once

#include <memory>
#include <vector>

#include "kernels/ops.h"

namespace gemma4 {

std::unique_ptr<Ops> make_reference_ops();

namespace reference {

/// Row `row` of a weight, widened or dequantised to float32: out[cols].
void weight_row(const Weight& weight, int64_t row, float* out);
/// Element `index` of a dense host tensor (F32, BF16, F16; any alignment) as float32.
float element(const Tensor& tensor, int64_t index);
/// gelu in its tanh form (spec 2.10).
float gelu(float z);
/// out[n] = W x for one row, with dot products summed in double.
void multiply(const Weight& weight, const float* x, float* out);
/// out[i] = x[i] / rms(x) * weight[i]; a null weight is 1. `out` may be `x`.
void rms_norm(const float* x, const float* weight, float eps, int64_t size, float* out);
/// down(gelu(gate x) * (up x)) for one row.
void mlp(const MlpWeights& weights, const float* x, float* out);
/// One id from one row of logits.
int32_t sample(const float* logits, int64_t vocab_size, const SampleRow& row);
/// One row of logits, which become probabilities; see Ops::judge_canvas.
CanvasChoice judge_canvas(float* logits, int64_t vocab_size, const CanvasRow& row);
/// One row; see Ops::embed_mixture.
void embed_mixture(const float* p, const Weight& table, float scale, float* out);
/// softmax attention of one step; see Ops::attention.
void attention(const Step& step, Matrix q, const KvLayer& layer, Matrix out);

}  // namespace reference
}  // namespace gemma4
