#include "kernels/cpu/quant_kernels_impl.h"
#include "kernels/cpu/simd_avx2.h"

namespace gemma4::cpu {

QuantKernels quant_kernels_avx2() { return QuantProducts<Avx2>::table(); }

}  // namespace gemma4::cpu
