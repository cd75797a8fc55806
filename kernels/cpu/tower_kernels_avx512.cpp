#include "kernels/cpu/simd_avx512.h"
#include "kernels/cpu/tower_kernels_impl.h"

namespace gemma4::cpu {

TowerKernels tower_kernels_avx512() { return TowerRows<Avx512>::table(); }

}  // namespace gemma4::cpu
