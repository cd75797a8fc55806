#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

#include "lib/base/error.h"
#include "lib/media/audio_reader.h"

namespace gemma4 {
namespace {

class PcmReader : public AudioReader {
 public:
  PcmReader(int file, int sample_rate, std::string name)
      : file_(file), sample_rate_(sample_rate), name_(std::move(name)) {}

  int channels() const override { return 1; }
  int sample_rate() const override { return sample_rate_; }
  double expected_seconds() const override { return 0.0; }

  bool read(std::vector<float>& interleaved) override {
    interleaved.clear();
    while (interleaved.empty()) {
      const ssize_t got = ::read(file_, block_.data() + held_, block_.size() - held_);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) {
        throw Error(ErrorKind::kInput, "cannot read the sound", name_, std::strerror(errno));
      }
      if (got == 0) return false;  // half a sample at the very end is dropped
      const size_t bytes = held_ + static_cast<size_t>(got);
      for (size_t i = 0; i + 1 < bytes; i += 2) {
        const auto sample = static_cast<int16_t>(block_[i] | block_[i + 1] << 8);
        interleaved.push_back(static_cast<float>(sample) / 32768.0f);
      }
      held_ = bytes % 2;
      if (held_ == 1) block_[0] = block_[bytes - 1];
    }
    return true;
  }

 private:
  int file_;
  int sample_rate_;
  std::string name_;
  std::array<uint8_t, 1 << 14> block_;
  size_t held_ = 0;  // 1 when a block ended in the middle of a sample
};

}  // namespace

std::unique_ptr<AudioReader> open_pcm_reader(int file, int sample_rate, std::string name) {
  return std::make_unique<PcmReader>(file, sample_rate, std::move(name));
}

}  // namespace gemma4
