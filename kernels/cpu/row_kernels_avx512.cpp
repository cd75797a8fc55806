#include "kernels/cpu/row_kernels_impl.h"
#include "kernels/cpu/simd_avx512.h"

namespace gemma4::cpu {

RowKernels row_kernels_avx512() { return Rows<Avx512>::table(); }

}  // namespace gemma4::cpu
