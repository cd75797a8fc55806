// Joins the transcripts of two stretches of sound that overlap, without doubled or lost words.
//
// The last words of the left text are aligned with the first words of the right one. The texts are
// switched at a word that both have, near the middle of what they share: a word at the very end of
// a stretch may have been cut off in the middle. Words are compared without case and punctuation;
// in scripts that put no blanks between words every character counts as one.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gemma4 {

/// The joined text is left[0, left_end) + bridge + right[right_begin, ...), with a blank in front
/// of the last part where the script has blanks.
struct TranscriptSeam {
  size_t left_end = 0;
  std::string_view bridge;  // punctuation of the right text that follows the shared word
  size_t right_begin = 0;
};

/// `max_shared_words`: most words that both stretches can hold, at each side; 0 joins the texts as
/// they are. Texts are valid UTF-8; the result points into `right`. Takes time in proportion to the
/// square of max_shared_words, which is cut at 400.
TranscriptSeam find_transcript_seam(std::string_view left, std::string_view right,
                                    size_t max_shared_words);

/// Bytes at the start of `left` that no seam with so many shared words changes.
size_t settled_transcript(std::string_view left, size_t max_shared_words);

/// Appends a text that follows, with a blank between where the script has blanks.
void append_transcript(std::string& text, std::string_view next);

}  // namespace gemma4
