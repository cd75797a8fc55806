#include "kernels/cpu/quant_kernels_impl.h"
#include "kernels/cpu/simd_avx512.h"

namespace gemma4::cpu {

QuantKernels quant_kernels_avx512() { return QuantProducts<Avx512>::table(); }

}  // namespace gemma4::cpu
