#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <utility>

#include "lib/base/error.h"
#include "lib/media/audio_reader.h"
#include "lib/media/live_pipe.h"

namespace gemma4 {
namespace {

float decode_int16(const uint8_t* bytes) {
  const auto sample = static_cast<int16_t>(bytes[0] | bytes[1] << 8);
  return static_cast<float>(sample) / 32768.0f;
}

float decode_float32(const uint8_t* bytes) {
  return std::bit_cast<float>(
      static_cast<uint32_t>(bytes[0]) | static_cast<uint32_t>(bytes[1]) << 8 |
      static_cast<uint32_t>(bytes[2]) << 16 | static_cast<uint32_t>(bytes[3]) << 24);
}

class PcmReader : public AudioReader {
 public:
  PcmReader(int file, const PcmFormat& format, std::string name, std::function<bool()> should_stop)
      : format_(format), pipe_(file, std::move(name), std::move(should_stop)) {}

  int channels() const override { return 1; }
  int sample_rate() const override { return format_.sample_rate; }
  double expected_seconds() const override { return 0.0; }

  bool read(std::vector<float>& interleaved) override {
    const bool is_float = format_.sample == PcmFormat::Sample::kFloat32;
    const size_t width = is_float ? 4 : 2;
    interleaved.clear();
    while (interleaved.empty()) {
      const size_t got = pipe_.read(std::span<uint8_t>(block_).subspan(held_));
      if (got == 0) return false;  // part of a sample at the very end is dropped
      const size_t bytes = held_ + got;
      for (size_t i = 0; i + width <= bytes; i += width) {
        interleaved.push_back(is_float ? decode_float32(&block_[i]) : decode_int16(&block_[i]));
      }
      held_ = bytes % width;
      std::copy_n(block_.begin() + static_cast<ptrdiff_t>(bytes - held_), held_, block_.begin());
    }
    return true;
  }

 private:
  PcmFormat format_;
  std::array<uint8_t, 1 << 14> block_;
  size_t held_ = 0;  // bytes of a sample that a block ended in the middle of
  LivePipe pipe_;
};

}  // namespace

PcmFormat parse_pcm_format(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view sample = text.substr(0, colon);
  PcmFormat format;
  format.sample = sample == "f32le" ? PcmFormat::Sample::kFloat32 : PcmFormat::Sample::kInt16;
  bool known = colon != text.npos && (sample == "s16le" || sample == "f32le");
  if (known) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, format.sample_rate);
    known = error == std::errc() && stop == end && format.sample_rate >= kMinSampleRate &&
            format.sample_rate <= kMaxSampleRate;
  }
  if (known) return format;
  throw Error(ErrorKind::kUsage, "unknown raw sound format: " + printable(text, 40), "--pcm",
              "write s16le:RATE or f32le:RATE, mono, as in s16le:16000");
}

std::unique_ptr<AudioReader> open_pcm_reader(int file, const PcmFormat& format, std::string name,
                                             std::function<bool()> should_stop) {
  return std::make_unique<PcmReader>(file, format, std::move(name), std::move(should_stop));
}

}  // namespace gemma4
