#include "kernels/cpu/product_kernels_impl.h"
#include "kernels/cpu/simd_avx512.h"

namespace gemma4::cpu {

ProductKernels product_kernels_avx512() { return Products<Avx512>::table(); }

}  // namespace gemma4::cpu
