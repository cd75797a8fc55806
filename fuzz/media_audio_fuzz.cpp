// Any bytes as a recording: read to the end as 16 kHz mono, or refused with an Error.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/media/audio_decode.h"

/// libsndfile 1.2 forgets what it allocated when an Ogg file turns out to be damaged.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libsndfile\nleak:libvorbis\nleak:libogg\n";
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gemma4::set_log_level(gemma4::LogLevel::kQuiet);
  try {
    const auto source = gemma4::MediaSource::from_bytes(
        std::string(reinterpret_cast<const char*>(data), size), "fuzz");
    gemma4::decode_audio(source, 60.0);
  } catch (const gemma4::Error&) {
  }
  return 0;
}
