// What this CPU can do, as found by CPUID at run time (and enabled by the operating system).
#pragma once

#include <string>

namespace gemma4 {

struct CpuFeatures {
  bool avx2 = false;    // AVX2, FMA and F16C: the least that the CPU backend needs
  bool avx512 = false;  // AVX-512 F, BW, DQ, VL
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool avx_vnni = false;
  bool amx_bf16 = false;
  bool amx_int8 = false;
  std::string brand;  // "AMD EPYC ..."

  /// "avx2 avx512 avx512_vnni"
  std::string text() const;
};

const CpuFeatures& cpu_features();

}  // namespace gemma4
