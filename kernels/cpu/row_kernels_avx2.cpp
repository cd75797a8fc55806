#include "kernels/cpu/row_kernels_impl.h"
#include "kernels/cpu/simd_avx2.h"

namespace gemma4::cpu {

RowKernels row_kernels_avx2() { return Rows<Avx2>::table(); }

}  // namespace gemma4::cpu
