#include <fmt/format.h>
#include <sndfile.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

#include "lib/base/error.h"
#include "lib/media/audio_reader.h"

namespace gemma4 {
namespace {

struct SndfileCloser {
  void operator()(SNDFILE* file) const { sf_close(file); }
};

/// A RIFF or AIFF file states its own length. Programs that write to a pipe leave a dummy there
/// (0, or about 2 or 4 GiB), which promises nothing; less than the header promises is a cut file.
void check_stated_length(const MediaSource& source) {
  const std::string head = source.head(8);
  if (head.size() < 8) return;
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(head[i])); };
  uint64_t stated = 0;
  if (head.starts_with("RIFF")) {
    stated = byte(4) | byte(5) << 8 | byte(6) << 16 | byte(7) << 24;
  } else if (head.starts_with("FORM")) {
    stated = byte(7) | byte(6) << 8 | byte(5) << 16 | byte(4) << 24;
  }
  constexpr uint64_t kDummy = 0x7FF00000;
  constexpr uint64_t kTolerance = 64;  // writers disagree on padding bytes
  if (stated < kDummy && stated + 8 > source.size() + kTolerance) {
    throw Error(ErrorKind::kInput, "the recording is truncated", source.name(),
                fmt::format("its header promises {} bytes, it has {}", stated + 8, source.size()));
  }
}

class SndfileReader : public AudioReader {
 public:
  explicit SndfileReader(MediaSourcePtr source) : source_(std::move(source)) {
    SF_VIRTUAL_IO io = {&length, &seek, &read_bytes, nullptr, &tell};
    file_.reset(sf_open_virtual(&io, SFM_READ, &info_, this));
  }

  bool is_open() const { return file_ != nullptr; }
  int channels() const override { return info_.channels; }
  int sample_rate() const override { return info_.samplerate; }
  double expected_seconds() const override {
    if (!knows_length() || info_.samplerate < 1) return 0.0;
    return static_cast<double>(info_.frames) / info_.samplerate;
  }

  bool read(std::vector<float>& interleaved) override {
    const sf_count_t wanted = std::clamp(info_.samplerate, 1, 1 << 16);
    interleaved.resize(static_cast<size_t>(wanted) * static_cast<size_t>(info_.channels));
    const sf_count_t got = sf_readf_float(file_.get(), interleaved.data(), wanted);
    frames_read_ += std::max<sf_count_t>(got, 0);
    if (got < wanted && (sf_error(file_.get()) != SF_ERR_NO_ERROR ||
                         (knows_length() && frames_read_ < info_.frames))) {
      throw Error(ErrorKind::kInput, "the recording is damaged or truncated", source_->name(),
                  fmt::format("it breaks off after {:.1f} s",
                              static_cast<double>(frames_read_) / std::max(1, info_.samplerate)));
    }
    interleaved.resize(static_cast<size_t>(std::max<sf_count_t>(got, 0)) *
                       static_cast<size_t>(info_.channels));
    return got > 0;
  }

 private:
  bool knows_length() const {
    return info_.frames > 0 && info_.frames < std::numeric_limits<int32_t>::max();
  }

  static sf_count_t length(void* self) {
    return static_cast<sf_count_t>(static_cast<SndfileReader*>(self)->source_->size());
  }
  static sf_count_t tell(void* self) { return static_cast<SndfileReader*>(self)->offset_; }
  static sf_count_t seek(sf_count_t offset, int whence, void* self) {
    auto& reader = *static_cast<SndfileReader*>(self);
    const sf_count_t base = whence == SEEK_CUR   ? reader.offset_
                            : whence == SEEK_END ? length(self)
                                                 : 0;
    sf_count_t target = 0;
    if (__builtin_add_overflow(base, offset, &target) || target < 0) return -1;
    reader.offset_ = target;
    return target;
  }
  static sf_count_t read_bytes(void* out, sf_count_t count, void* self) {
    auto& reader = *static_cast<SndfileReader*>(self);
    try {  // an exception must not pass through libsndfile's frames
      const size_t got =
          reader.source_->read_at(static_cast<uint64_t>(reader.offset_),
                                  {static_cast<uint8_t*>(out), static_cast<size_t>(count)});
      reader.offset_ += static_cast<sf_count_t>(got);
      return static_cast<sf_count_t>(got);
    } catch (const std::exception&) {
      return 0;
    }
  }

  MediaSourcePtr source_;
  sf_count_t offset_ = 0;
  sf_count_t frames_read_ = 0;
  SF_INFO info_ = {};
  std::unique_ptr<SNDFILE, SndfileCloser> file_;
};

}  // namespace

std::unique_ptr<AudioReader> open_sndfile_reader(MediaSourcePtr source) {
  const std::string head = source->head(12);
  const std::string_view form = std::string_view(head).substr(std::min<size_t>(8, head.size()));
  const bool is_wav =
      (head.starts_with("RIFF") || head.starts_with("RIFX") || head.starts_with("RF64")) &&
      form == "WAVE";
  const bool is_aiff = head.starts_with("FORM") && (form == "AIFF" || form == "AIFC");
  if (!is_wav && !is_aiff && !head.starts_with("fLaC") && !head.starts_with("OggS")) return nullptr;
  if (is_wav || is_aiff) check_stated_length(*source);
  auto reader = std::make_unique<SndfileReader>(std::move(source));
  if (!reader->is_open()) return nullptr;
  return reader;
}

}  // namespace gemma4
