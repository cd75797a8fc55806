#include "kernels/cpu/product_kernels_impl.h"
#include "kernels/cpu/simd_avx2.h"

namespace gemma4::cpu {

ProductKernels product_kernels_avx2() { return Products<Avx2>::table(); }

}  // namespace gemma4::cpu
