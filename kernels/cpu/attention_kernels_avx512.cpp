#include "kernels/cpu/attention_kernels_impl.h"
#include "kernels/cpu/simd_avx512.h"

namespace gemma4::cpu {

AttentionKernels attention_kernels_avx512() { return Attention<Avx512>::table(); }

}  // namespace gemma4::cpu
