#include "kernels/cpu/simd_avx2.h"
#include "kernels/cpu/tower_kernels_impl.h"

namespace gemma4::cpu {

TowerKernels tower_kernels_avx2() { return TowerRows<Avx2>::table(); }

}  // namespace gemma4::cpu
