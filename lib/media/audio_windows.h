// Where to cut a long recording into windows that fit the model: in silences, with an overlap.
//
// Every sample is owned by exactly one window; a window also covers some samples of its
// neighbours around each cut, so that a word at the cut is heard whole by at least one of them.
// Pure arithmetic on an energy envelope; audio_window_reader.h applies it to a stream.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gemma4 {

/// Samples that one value of the envelope stands for (10 ms at 16 kHz).
inline constexpr int64_t kEnvelopeHop = 160;

struct AudioWindowOptions {
  int64_t max_samples = 480'000;     // of a window, overlaps included
  int64_t overlap_samples = 16'000;  // shared by two neighbours, half on either side of the cut
};

/// Positions in samples, ends exclusive: begin <= own_begin < own_end <= end.
struct AudioWindow {
  int64_t begin = 0;
  int64_t own_begin = 0;
  int64_t own_end = 0;
  int64_t end = 0;
  bool operator==(const AudioWindow&) const = default;
};

/// Mean energy of each block of kEnvelopeHop samples; the last block may be shorter.
std::vector<float> energy_envelope(std::span<const float> samples);

/// Samples that must be known beyond the start of a window before it can be cut off.
int64_t window_lookahead(const AudioWindowOptions& options);

/// The window that follows one which owns the samples before `own_begin`.
/// `envelope`: energies from the start of the recording's block own_begin / kEnvelopeHop on.
/// `known_end`: samples of the recording known so far. Either `is_complete` (the recording ends
/// there), or there are at least window_lookahead samples from own_begin's window start on.
AudioWindow next_audio_window(std::span<const float> envelope, int64_t own_begin, int64_t known_end,
                              bool is_complete, const AudioWindowOptions& options);

/// All windows of a recording of `total_samples`; empty for none. `envelope`: of all of it.
/// Throws Error(kUsage) when max_samples is below two seconds or less than three times the overlap.
std::vector<AudioWindow> plan_audio_windows(std::span<const float> envelope, int64_t total_samples,
                                            const AudioWindowOptions& options = {});

/// Throws Error(kUsage) for options that plan_audio_windows refuses.
void check_audio_window_options(const AudioWindowOptions& options);

}  // namespace gemma4
