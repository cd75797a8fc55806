#include "lib/base/cpu_features.h"

#include <cpuid.h>

#include <array>
#include <cstdint>
#include <cstring>

namespace gemma4 {
namespace {

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Registers cpuid(unsigned leaf, unsigned subleaf) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d) == 0) return {};
  return r;
}

uint64_t enabled_state() {
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

bool bit(unsigned value, int index) { return ((value >> index) & 1u) != 0; }

CpuFeatures detect() {
  CpuFeatures f;
  std::array<unsigned, 12> words{};
  for (unsigned i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002u + i, 0);
    words[i * 4] = r.a, words[i * 4 + 1] = r.b, words[i * 4 + 2] = r.c, words[i * 4 + 3] = r.d;
  }
  std::array<char, 49> brand{};
  std::memcpy(brand.data(), words.data(), 48);
  f.brand = brand.data();
  while (!f.brand.empty() && f.brand.back() == ' ') f.brand.pop_back();
  f.brand.erase(0, f.brand.find_first_not_of(' '));

  const Registers one = cpuid(1, 0);
  if (!bit(one.c, 27)) return f;  // OSXSAVE
  const uint64_t state = enabled_state();
  const bool avx_state = (state & 0x6) == 0x6;
  const bool avx512_state = avx_state && (state & 0xE0) == 0xE0;
  const bool amx_state = (state & 0x60000) == 0x60000;
  const Registers seven = cpuid(7, 0);
  const Registers seven1 = cpuid(7, 1);
  f.avx2 = avx_state && bit(seven.b, 5) && bit(one.c, 12) && bit(one.c, 29);
  f.avx512 = f.avx2 && avx512_state && bit(seven.b, 16) && bit(seven.b, 17) && bit(seven.b, 30) &&
             bit(seven.b, 31);
  f.avx512_vnni = f.avx512 && bit(seven.c, 11);
  f.avx512_bf16 = f.avx512 && bit(seven1.a, 5);
  f.avx_vnni = f.avx2 && bit(seven1.a, 4);
  f.amx_bf16 = amx_state && bit(seven.d, 24) && bit(seven.d, 22);
  f.amx_int8 = amx_state && bit(seven.d, 24) && bit(seven.d, 25);
  return f;
}

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect();
  return features;
}

std::string CpuFeatures::text() const {
  std::string out;
  const auto add = [&](bool present, const char* name) {
    if (!present) return;
    if (!out.empty()) out += ' ';
    out += name;
  };
  add(avx2, "avx2");
  add(avx512, "avx512");
  add(avx512_vnni, "avx512_vnni");
  add(avx512_bf16, "avx512_bf16");
  add(avx_vnni, "avx_vnni");
  add(amx_bf16, "amx_bf16");
  add(amx_int8, "amx_int8");
  return out;
}

}  // namespace gemma4
