// Where to cut a long recording into windows that fit the model: in silences, with an overlap.
//
// Every sample is owned by exactly one window; a window also covers some samples of its
// neighbours around each cut, so that a word at the cut is heard whole by at least one of them.
// Pure arithmetic on an energy envelope; audio_window_reader.h applies it to a stream.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace gemma4 {

/// Samples that one value of the envelope stands for (10 ms at 16 kHz).
inline constexpr int64_t kEnvelopeHop = 160;

struct AudioWindowOptions {
  int64_t max_samples = 480'000;     // of a window, overlaps included
  int64_t overlap_samples = 16'000;  // shared by two neighbours, half on either side of the cut
  /// For live sound: a window ends in the first pause after two seconds, without an overlap.
  bool at_pauses = false;
};

/// Positions in samples, ends exclusive: begin <= own_begin < own_end <= end.
struct AudioWindow {
  int64_t begin = 0;
  int64_t own_begin = 0;
  int64_t own_end = 0;
  int64_t end = 0;

  /// Where the next window begins, unless this is the last one: what this one covers behind its
  /// cut, the next one covers before it.
  int64_t next_begin() const { return own_end - (end - own_end); }
  bool operator==(const AudioWindow&) const = default;
};

/// Mean energy of each block of kEnvelopeHop samples; the last block may be shorter.
std::vector<float> energy_envelope(std::span<const float> samples);

/// Seconds of `part` that are not silence, judged by the loudness of `whole`, which holds it.
double sounding_seconds(std::span<const float> part, std::span<const float> whole);

/// Samples that must be known beyond the start of a window to cut it off where there is no pause.
int64_t window_lookahead(const AudioWindowOptions& options);

/// The window that begins at `begin` and owns the samples from `own_begin` on; nothing while more
/// of the recording must be known. It does not depend on how much more is known than needed.
/// `envelope`: energies from the start of the recording's block own_begin / kEnvelopeHop on.
/// `known_end`: samples of the recording known so far; `is_complete`: it ends there.
std::optional<AudioWindow> next_audio_window(std::span<const float> envelope, int64_t begin,
                                             int64_t own_begin, int64_t known_end, bool is_complete,
                                             const AudioWindowOptions& options);

/// All windows of a recording of `total_samples`; empty for none. `envelope`: of all of it.
/// Throws Error(kUsage) when max_samples is below two seconds or less than three times the overlap.
std::vector<AudioWindow> plan_audio_windows(std::span<const float> envelope, int64_t total_samples,
                                            const AudioWindowOptions& options = {});

/// Throws Error(kUsage) for options that plan_audio_windows refuses.
void check_audio_window_options(const AudioWindowOptions& options);

}  // namespace gemma4
