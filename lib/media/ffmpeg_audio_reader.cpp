extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswresample/swresample.h>
}

#include <cstring>
#include <utility>

#include "lib/base/error.h"
#include "lib/media/audio_reader.h"
#include "lib/media/ffmpeg_input.h"
#include "lib/media/image_decode.h"

namespace gemma4 {
namespace {

class FfmpegAudioReader : public AudioReader {
 public:
  explicit FfmpegAudioReader(MediaSourcePtr source)
      : input_(std::move(source), FfmpegInput::Kind::kAudio, kDefaultMaxPixels) {
    // The first frame tells rate and channels for certain; headers may be wrong (HE-AAC).
    frame_ = input_.next_frame();
    if (frame_ == nullptr) {
      throw_ffmpeg_error("no sound could be decoded", input_.name(), "the file is damaged");
    }
    channels_ = frame_->ch_layout.nb_channels;
    sample_rate_ = frame_->sample_rate;
    format_ = frame_->format;
  }

  int channels() const override { return channels_; }
  int sample_rate() const override { return sample_rate_; }
  double expected_seconds() const override { return input_.expected_seconds(); }

  bool read(std::vector<float>& interleaved) override {
    if (!is_first_) frame_ = input_.next_frame();
    is_first_ = false;
    interleaved.clear();
    if (frame_ == nullptr) return false;
    if (frame_->ch_layout.nb_channels != channels_ || frame_->sample_rate != sample_rate_ ||
        frame_->format != format_) {
      throw Error(ErrorKind::kInput, "the recording changes its rate or channels half-way",
                  input_.name(), "convert it to WAV first");
    }
    if (converter_ == nullptr) open_converter();

    interleaved.resize(static_cast<size_t>(frame_->nb_samples) * static_cast<size_t>(channels_));
    auto* out = reinterpret_cast<uint8_t*>(interleaved.data());
    const int converted =
        swr_convert(converter_.get(), &out, frame_->nb_samples,
                    const_cast<const uint8_t**>(frame_->extended_data), frame_->nb_samples);
    if (converted != frame_->nb_samples) {
      throw_ffmpeg_error("cannot convert the sound", input_.name());
    }
    return true;
  }

 private:
  /// Sample format only: rate and channels stay.
  void open_converter() {
    AVChannelLayout layout = {};
    av_channel_layout_default(&layout, channels_);
    SwrContext* context = nullptr;
    if (swr_alloc_set_opts2(&context, &layout, AV_SAMPLE_FMT_FLT, sample_rate_, &layout,
                            static_cast<AVSampleFormat>(format_), sample_rate_, 0, nullptr) < 0) {
      throw_ffmpeg_error("cannot convert the sound", input_.name());
    }
    converter_ = own_ffmpeg(context);
    if (swr_init(converter_.get()) < 0) {
      throw_ffmpeg_error("cannot convert the sound", input_.name());
    }
  }

  FfmpegInput input_;
  const AVFrame* frame_ = nullptr;
  bool is_first_ = true;
  int channels_ = 0;
  int sample_rate_ = 0;
  int format_ = 0;
  FfmpegPtr<SwrContext> converter_;
};

}  // namespace

std::unique_ptr<AudioReader> open_ffmpeg_audio_reader(MediaSourcePtr source) {
  return std::make_unique<FfmpegAudioReader>(std::move(source));
}

}  // namespace gemma4
