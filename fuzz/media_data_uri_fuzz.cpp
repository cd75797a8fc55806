// Any bytes as a data: URI and as base64: decoded, or refused with an Error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/base/error.h"
#include "lib/media/data_uri.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    gemma4::decode_base64(text, "fuzz");
  } catch (const gemma4::Error&) {
  }
  try {
    gemma4::decode_data_uri(text, "fuzz");
  } catch (const gemma4::Error&) {
  }
  return 0;
}
