#include "lib/media/audio_windows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

/// A last window is never shorter than this, so that it gives the model something to hear.
constexpr int64_t kMinTailSamples = 8000;
/// Energies are averaged over this many blocks around a place before it is judged.
constexpr int64_t kQuietBlocks = 30;
/// A place is as good as a later one only if it is quieter by this much over the search range.
constexpr double kEarlyPenaltyDecibels = 6.0;
/// Mean square below which sound counts as silence whatever is around it (-70 dB).
constexpr double kSilence = 1e-7;
/// A pause of live sound: so many blocks, each this much below the mean so far (-20 dB).
constexpr int64_t kPauseBlocks = 60;
constexpr double kPauseShare = 0.01;
/// Live windows are not cut before so many blocks (two seconds).
constexpr int64_t kMinLiveBlocks = 200;
/// Part of a window's mean energy below which a block of it counts as silence (-30 dB).
constexpr double kSilentShare = 1e-3;

/// The quietest block border in [first, last], later ones preferred. Blocks count from the start
/// of the envelope.
int64_t quietest_border(std::span<const float> envelope, int64_t first, int64_t last) {
  const auto size = static_cast<int64_t>(envelope.size());
  int64_t best = last;
  double best_score = std::numeric_limits<double>::infinity();
  for (int64_t border = last; border >= first; --border) {
    const int64_t begin = std::max<int64_t>(0, border - kQuietBlocks / 2);
    const int64_t end = std::min(size, border + kQuietBlocks / 2);
    double sum = 0.0;
    for (int64_t i = begin; i < end; ++i) sum += envelope[static_cast<size_t>(i)];
    const double mean = sum / static_cast<double>(std::max<int64_t>(1, end - begin));
    const double earliness = static_cast<double>(last - border) /
                             static_cast<double>(std::max<int64_t>(1, last - first));
    // The floor (-100 dB) makes all digital silence equally good.
    const double score = 10.0 * std::log10(mean + 1e-10) + kEarlyPenaltyDecibels * earliness;
    if (score < best_score) {
      best_score = score;
      best = border;
    }
  }
  return best;
}

/// Blocks before the middle of the first pause; nothing when there is none in the first
/// `max_blocks`.
std::optional<int64_t> first_pause(std::span<const float> envelope, int64_t max_blocks) {
  double sum = 0.0;
  int64_t quiet = 0;
  const int64_t count = std::min<int64_t>(static_cast<int64_t>(envelope.size()), max_blocks);
  for (int64_t i = 0; i < count; ++i) {
    const double energy = envelope[static_cast<size_t>(i)];
    sum += energy;
    const double limit = std::max(kSilence, kPauseShare * sum / static_cast<double>(i + 1));
    quiet = energy < limit ? quiet + 1 : 0;
    if (quiet >= kPauseBlocks && i + 1 >= kMinLiveBlocks) return i + 1 - kPauseBlocks / 2;
  }
  return std::nullopt;
}

}  // namespace

double sounding_seconds(std::span<const float> part, std::span<const float> whole) {
  const std::vector<float> all = energy_envelope(whole);
  double sum = 0.0;
  for (const float energy : all) sum += energy;
  const double limit =
      std::max(kSilence, kSilentShare * sum / static_cast<double>(std::max<size_t>(1, all.size())));
  const std::vector<float> blocks = energy_envelope(part);
  const auto sounding = std::count_if(blocks.begin(), blocks.end(),
                                      [limit](float energy) { return energy >= limit; });
  return static_cast<double>(sounding) * static_cast<double>(kEnvelopeHop) / 16000.0;
}

std::vector<float> energy_envelope(std::span<const float> samples) {
  std::vector<float> envelope;
  envelope.reserve(samples.size() / kEnvelopeHop + 1);
  for (size_t at = 0; at < samples.size(); at += kEnvelopeHop) {
    const size_t count = std::min<size_t>(kEnvelopeHop, samples.size() - at);
    double sum = 0.0;
    for (const float sample : samples.subspan(at, count)) sum += double{sample} * sample;
    envelope.push_back(static_cast<float>(sum / static_cast<double>(count)));
  }
  return envelope;
}

void check_audio_window_options(const AudioWindowOptions& options) {
  constexpr int64_t kMinWindow = 32'000;
  if (options.overlap_samples < 0 || options.max_samples < kMinWindow ||
      options.max_samples / 3 < options.overlap_samples) {
    throw Error(ErrorKind::kUsage, "impossible audio segments", "--segment, --overlap",
                "segments of 2 s or more, and overlaps of at most a third of them");
  }
}

int64_t window_lookahead(const AudioWindowOptions& options) {
  return options.max_samples + kMinTailSamples;
}

std::optional<AudioWindow> next_audio_window(std::span<const float> envelope, int64_t begin,
                                             int64_t own_begin, int64_t known_end, bool is_complete,
                                             const AudioWindowOptions& options) {
  if (options.at_pauses) {
    // The last block may be known in part only.
    const int64_t known_blocks = (known_end - own_begin) / kEnvelopeHop;
    const int64_t room = (begin + options.max_samples - own_begin) / kEnvelopeHop;
    if (const auto blocks = first_pause(envelope, std::min(known_blocks, room))) {
      const int64_t cut = (own_begin / kEnvelopeHop + *blocks) * kEnvelopeHop;
      return AudioWindow{begin, own_begin, cut, cut};
    }
  }
  if (is_complete && known_end - begin <= options.max_samples) {
    return AudioWindow{begin, own_begin, known_end, known_end};
  }
  if (!is_complete && known_end - begin < window_lookahead(options)) return std::nullopt;
  // The same window whatever more is known.
  if (known_end - begin > window_lookahead(options)) known_end = begin + window_lookahead(options);
  const int64_t half_overlap = options.overlap_samples / 2;
  // The cut lies on a block border in the second half of the window, leaves room for the overlap
  // behind it, and leaves a last window of a sensible length.
  const int64_t latest = std::min(begin + options.max_samples - half_overlap,
                                  known_end - std::max(half_overlap, kMinTailSamples));
  const int64_t earliest = begin + options.max_samples / 2;
  const int64_t first_block = own_begin / kEnvelopeHop;
  const int64_t border =
      first_block + quietest_border(envelope,
                                    (earliest + kEnvelopeHop - 1) / kEnvelopeHop - first_block,
                                    latest / kEnvelopeHop - first_block);
  const int64_t cut = border * kEnvelopeHop;
  return AudioWindow{begin, own_begin, cut, cut + half_overlap};
}

std::vector<AudioWindow> plan_audio_windows(std::span<const float> envelope, int64_t total_samples,
                                            const AudioWindowOptions& options) {
  check_audio_window_options(options);
  std::vector<AudioWindow> windows;
  AudioWindow window;
  while (window.own_end < total_samples) {
    const auto first_block = static_cast<size_t>(window.own_end / kEnvelopeHop);
    window = *next_audio_window(envelope.subspan(first_block), window.next_begin(), window.own_end,
                                total_samples, true, options);
    windows.push_back(window);
  }
  return windows;
}

}  // namespace gemma4
