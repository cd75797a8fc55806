// Any bytes taken as JSON: parsed, or refused with an Error. What was parsed is written and parsed
// again, and must be the same.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/io/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using gemma4::ErrorKind;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const bool allow_duplicate_keys : {true, false}) {
    try {
      const gemma4::JsonLimits limits{.max_depth = 16,
                                      .allow_duplicate_keys = allow_duplicate_keys};
      const gemma4::Json value = gemma4::parse_json(text, "fuzz", ErrorKind::kInput, limits);
      const std::string written = value.dump();
      if (gemma4::parse_json(written, "fuzz", ErrorKind::kInput, limits).dump() != written) {
        __builtin_trap();
      }
    } catch (const gemma4::Error&) {
    }
  }
  return 0;
}
