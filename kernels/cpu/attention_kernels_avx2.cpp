#include "kernels/cpu/attention_kernels_impl.h"
#include "kernels/cpu/simd_avx2.h"

namespace gemma4::cpu {

AttentionKernels attention_kernels_avx2() { return Attention<Avx2>::table(); }

}  // namespace gemma4::cpu
