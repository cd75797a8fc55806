#include "lib/text/transcript_join.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "lib/base/utf8.h"
#include "lib/text/blanks.h"
#include "lib/text/jinja/unicode.h"

namespace gemma4 {
namespace {

constexpr size_t kMaxSharedWords = 400;

// Of an alignment. A word that both texts have makes up for one that only one of them has.
constexpr int kEqual = 2;
constexpr int kSimilar = 1;
constexpr int kDifferent = -2;
constexpr int kMissing = -2;

struct Range {
  char32_t first, last;
};

template <size_t N>
bool is_in(const Range (&ranges)[N], char32_t c) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [c](const Range& range) { return c >= range.first && c <= range.last; });
}

/// Letters of scripts that are written without blanks between words.
bool is_unspaced(char32_t c) {
  constexpr Range kRanges[] = {{0x0E01, 0x0EFF},     // Thai, Lao
                               {0x1000, 0x109F},     // Burmese
                               {0x1780, 0x17FF},     // Khmer
                               {0x3005, 0x3007},     // ideographic marks
                               {0x3041, 0x30FF},     // kana
                               {0x31F0, 0x31FF},     // kana
                               {0x3400, 0x4DBF},     // Han
                               {0x4E00, 0x9FFF},     // Han
                               {0xF900, 0xFAFF},     // Han
                               {0xFF66, 0xFF9F},     // kana
                               {0x20000, 0x3FFFF}};  // Han
  return is_in(kRanges, c);
}

bool is_wide_punctuation(char32_t c) {
  return (c >= 0x3000 && c <= 0x3004) || (c >= 0x3008 && c <= 0x3030) ||
         (c >= 0xFF01 && c <= 0xFF0F) || (c >= 0xFF1A && c <= 0xFF20);
}

/// Characters that say nothing about which word it is: punctuation, symbols, combining accents.
bool is_ignored(char32_t c) {
  if (c < 0x80) return !((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'));
  constexpr Range kRanges[] = {
      {0x80, 0xA9},     {0xAB, 0xB1},     {0xB4, 0xB4},     {0xB6, 0xB8},     {0xBB, 0xBF},
      {0xD7, 0xD7},     {0xF7, 0xF7},     {0x2B0, 0x36F},   {0x55A, 0x55F},   {0x589, 0x5CF},
      {0x60C, 0x61F},   {0x64B, 0x65F},   {0x66A, 0x66D},   {0x6D4, 0x6D4},   {0x964, 0x965},
      {0x104A, 0x104F}, {0x17D4, 0x17DA}, {0x2000, 0x206F}, {0x20A0, 0x20FF}, {0x2190, 0x2BFF},
      {0x2E00, 0x2E7F}, {0x3000, 0x3004}, {0x3008, 0x3030}, {0x303D, 0x303F}, {0xFE00, 0xFE6F},
      {0xFF01, 0xFF0F}, {0xFF1A, 0xFF20}, {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65}};
  return is_in(kRanges, c);
}

/// A word, with what is written at its sides.
struct Word {
  size_t begin = 0;     // with opening punctuation
  size_t core_end = 0;  // without closing punctuation
  size_t end = 0;       // with it
  std::string key;      // what is compared
};

std::vector<Word> split_words(std::string_view text) {
  std::vector<Word> words;
  std::optional<size_t> opening;  // where punctuation before the next word begins
  bool open = false;              // the last word may go on
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text.substr(at));
    const size_t length = std::max<size_t>(point.length, 1);
    const bool unspaced = is_unspaced(point.value);
    if (jinja::is_space(point.value)) {
      open = false;
    } else if (is_ignored(point.value)) {
      // Part of the word that it touches, else of the next one.
      if (!words.empty() && words.back().end == at) {
        words.back().end = at + length;
      } else if (!opening) {
        opening = at;
      }
    } else {
      if (!open || unspaced) {
        Word& word = words.emplace_back();
        word.begin = opening.value_or(at);
        opening.reset();
      }
      jinja::append_lower(words.back().key, point.value);
      words.back().core_end = words.back().end = at + length;
      open = !unspaced;
    }
    at += length;
  }
  // Punctuation that no word follows belongs to the last one.
  if (opening && !words.empty()) words.back().end = trim_right(text).size();
  return words;
}

/// The same word heard a little differently, or cut off.
bool is_similar(std::string_view a, std::string_view b) {
  if (a.size() > b.size()) std::swap(a, b);
  if (a.size() < 3 || b.size() > 64) return false;
  if (b.starts_with(a) || b.ends_with(a)) return true;
  const size_t limit = b.size() / 4;
  if (b.size() - a.size() > limit) return false;
  std::vector<size_t> row(a.size() + 1);
  for (size_t i = 0; i <= a.size(); ++i) row[i] = i;
  for (size_t j = 1; j <= b.size(); ++j) {
    size_t diagonal = row[0]++;
    for (size_t i = 1; i <= a.size(); ++i) {
      const size_t changed = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[i];
      row[i] = std::min({changed, row[i] + 1, row[i - 1] + 1});
    }
  }
  return row[a.size()] <= limit;
}

int pair_score(const Word& left, const Word& right) {
  if (left.key == right.key) return kEqual;
  return is_similar(left.key, right.key) ? kSimilar : kDifferent;
}

/// A word of each text, by index: the same one, as a whole or cut off in one of them.
struct SharedWord {
  enum class Kind { kWhole, kLeftCut, kRightCut };
  size_t left, right;
  Kind kind = Kind::kWhole;
};

/// What two words at the ends are to each other, when there is nothing else to go by.
std::optional<SharedWord> cut_off_word(const std::vector<Word>& left,
                                       const std::vector<Word>& right) {
  constexpr size_t kMinLength = 4;  // shorter ones may well be words of their own
  const std::string& last = left.back().key;
  const std::string& first = right.front().key;
  const size_t index = left.size() - 1;
  if (last.size() >= kMinLength && first.starts_with(last)) {
    return SharedWord{index, 0, SharedWord::Kind::kLeftCut};
  }
  if (first.size() >= kMinLength && last.ends_with(first)) {
    return SharedWord{index, 0, SharedWord::Kind::kRightCut};
  }
  return std::nullopt;
}

/// The shared word at which the texts are best switched; nothing when they share none.
/// Aligns all of some end of `left` with all of some beginning of `right`.
std::optional<SharedWord> middle_of_overlap(const std::vector<Word>& left,
                                            const std::vector<Word>& right) {
  const size_t columns = right.size() + 1;
  std::vector<int> score((left.size() + 1) * columns, 0);
  const auto at = [&](size_t i, size_t j) -> int& { return score[i * columns + j]; };
  for (size_t j = 1; j < columns; ++j) at(0, j) = at(0, j - 1) + kMissing;
  for (size_t i = 1; i <= left.size(); ++i) {
    for (size_t j = 1; j < columns; ++j) {
      at(i, j) = std::max({at(i - 1, j - 1) + pair_score(left[i - 1], right[j - 1]),
                           at(i - 1, j) + kMissing, at(i, j - 1) + kMissing});
    }
  }
  size_t i = left.size();
  size_t j = 0;
  for (size_t end = 1; end < columns; ++end) {
    if (at(i, end) > at(i, j)) j = end;
  }
  if (j == 0) return std::nullopt;  // no overlap is worth more than none

  std::vector<std::optional<SharedWord>> steps;  // of the alignment, backwards
  while (j > 0) {
    if (i > 0 && at(i, j) == at(i - 1, j - 1) + pair_score(left[i - 1], right[j - 1])) {
      --i;
      --j;
      const bool equal = left[i].key == right[j].key;
      steps.push_back(equal ? std::optional(SharedWord{i, j}) : std::nullopt);
    } else {
      if (i > 0 && at(i, j) == at(i - 1, j) + kMissing) {
        --i;
      } else {
        --j;
      }
      steps.push_back(std::nullopt);
    }
  }
  const size_t middle = steps.size() / 2;
  for (size_t distance = 0; distance <= middle; ++distance) {
    if (steps[middle - distance]) return steps[middle - distance];
    if (middle + distance < steps.size() && steps[middle + distance]) {
      return steps[middle + distance];
    }
  }
  return cut_off_word(left, right);
}

char32_t last_code_point(std::string_view text) {
  size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
  return decode_utf8(text.substr(begin)).value;
}

}  // namespace

TranscriptSeam find_transcript_seam(std::string_view left, std::string_view right,
                                    size_t max_shared_words) {
  max_shared_words = std::min(max_shared_words, kMaxSharedWords);
  std::vector<Word> tail = split_words(left);
  const std::vector<Word> words = split_words(right);
  if (tail.size() > max_shared_words) {
    tail.erase(tail.begin(), tail.end() - static_cast<ptrdiff_t>(max_shared_words));
  }
  const std::vector<Word> head(words.begin(), words.begin() + static_cast<ptrdiff_t>(std::min(
                                                                  words.size(), max_shared_words)));
  const auto shared = middle_of_overlap(tail, head);
  if (!shared) return {left.size(), {}, 0};

  const Word& last = tail[shared->left];
  const Word& same = head[shared->right];
  const bool has_more = shared->right + 1 < words.size();
  const size_t next = has_more ? words[shared->right + 1].begin : right.size();
  if (shared->kind == SharedWord::Kind::kLeftCut) return {last.begin, {}, same.begin};
  if (shared->kind == SharedWord::Kind::kRightCut) return {last.end, {}, next};
  // What follows the last word of a stretch was written without knowing what comes.
  const bool is_last = shared->left + 1 == tail.size();
  if (!is_last) return {last.end, {}, next};
  return {last.core_end, right.substr(same.core_end, same.end - same.core_end), next};
}

size_t settled_transcript(std::string_view left, size_t max_shared_words) {
  const std::vector<Word> words = split_words(left);
  max_shared_words = std::min(max_shared_words, kMaxSharedWords);
  if (words.size() <= max_shared_words) return max_shared_words == 0 ? left.size() : 0;
  if (max_shared_words == 0) return left.size();
  return words[words.size() - max_shared_words].begin;
}

void append_transcript(std::string& text, std::string_view next) {
  if (!text.empty() && !next.empty()) {
    const char32_t before = last_code_point(text);
    const char32_t after = decode_utf8(next).value;
    const auto joins = [](char32_t c) { return is_unspaced(c) || is_wide_punctuation(c); };
    if (!joins(before) && !joins(after) && !jinja::is_space(before)) text += ' ';
  }
  text += next;
}

}  // namespace gemma4
