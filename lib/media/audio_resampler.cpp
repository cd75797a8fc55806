#include "lib/media/audio_resampler.h"

extern "C" {
#include <libavutil/channel_layout.h>
#include <libswresample/swresample.h>
}

#include <algorithm>

#include "lib/base/error.h"

namespace gemma4 {

AudioResampler::AudioResampler(int from_rate, int to_rate) {
  begin_ffmpeg();
  AVChannelLayout mono = AV_CHANNEL_LAYOUT_MONO;  // FFmpeg 5 takes a pointer to non-const
  SwrContext* context = nullptr;
  const int status = swr_alloc_set_opts2(&context, &mono, AV_SAMPLE_FMT_FLT, to_rate, &mono,
                                         AV_SAMPLE_FMT_FLT, from_rate, 0, nullptr);
  context_ = own_ffmpeg(context);
  if (status < 0 || swr_init(context_.get()) < 0) {
    throw Error(ErrorKind::kResource, "cannot set up the conversion of the sample rate");
  }
}

void AudioResampler::convert(std::span<const float> samples, std::vector<float>& out) {
  constexpr size_t kBlock = 1 << 16;  // counts are int in libswresample
  for (size_t at = 0; at < samples.size(); at += kBlock) {
    const size_t count = std::min(kBlock, samples.size() - at);
    run(samples.data() + at, static_cast<int>(count), out);
  }
}

void AudioResampler::finish(std::vector<float>& out) { run(nullptr, 0, out); }

void AudioResampler::run(const float* samples, int count, std::vector<float>& out) {
  const int room = swr_get_out_samples(context_.get(), count);
  if (room < 0) throw Error(ErrorKind::kInternal, "cannot convert the sample rate");
  const size_t before = out.size();
  out.resize(before + static_cast<size_t>(room));
  auto* to = reinterpret_cast<uint8_t*>(out.data() + before);
  const auto* from = reinterpret_cast<const uint8_t*>(samples);
  const int got =
      swr_convert(context_.get(), &to, room, samples != nullptr ? &from : nullptr, count);
  if (got < 0) throw Error(ErrorKind::kInternal, "cannot convert the sample rate");
  out.resize(before + static_cast<size_t>(got));
}

}  // namespace gemma4
