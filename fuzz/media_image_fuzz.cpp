// Any bytes as a picture: decoded and prepared for the model, or refused with an Error.
#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/base/error.h"
#include "lib/media/image_decode.h"
#include "lib/media/image_patches.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kMaxPixels = 1 << 18;
  try {
    const auto source = gemma4::MediaSource::from_bytes(
        std::string(reinterpret_cast<const char*>(data), size), "fuzz");
    const gemma4::Image image = gemma4::decode_image(*source, kMaxPixels);
    gemma4::prepare_image(image, 70, gemma4::kTowerPatchSize);
  } catch (const gemma4::Error&) {
  }
  return 0;
}
