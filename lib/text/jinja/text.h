// Strings that remember, character by character, whether the template itself wrote them.
//
// Trusted: literals and text of the template. Untrusted: everything that came in as data. Slices
// share the bytes of what they were cut from, and appending to the newest string of a buffer
// extends that buffer in place, so that building a text piece by piece takes linear time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/tokenizer.h"

namespace gemma4::jinja {

/// UTF-8 bytes with an origin for each. Runs of one origin are not split inside a character as
/// long as everything appended is valid UTF-8.
struct TextBuffer {
  std::string bytes;
  bool first_trusted = false;
  std::vector<size_t> flips;  // ascending positions where the origin changes
  bool may_grow = false;      // made by an operation, so that nothing else relies on its end

  void append(std::string_view text, bool trusted);
  bool trusted_at(size_t position) const;
  /// The first position after `position` where the origin changes, or the end.
  size_t run_end(size_t position) const;
};

/// An immutable string value.
class Text {
 public:
  Text() = default;
  Text(std::string bytes, bool trusted);
  explicit Text(TextBuffer buffer);

  std::string_view view() const;
  bool empty() const { return length_ == 0; }
  size_t size() const { return length_; }  // bytes

  /// Bytes [from, from + count), cut at the end. Shares the bytes; takes constant time.
  Text slice(size_t from, size_t count = std::string_view::npos) const;

  /// Calls use(bytes, trusted) for every run of one origin, in order.
  template <typename Use>
  void for_each_run(Use&& use) const {
    for (size_t at = 0; at < length_;) {
      const size_t end = std::min(buffer_->run_end(offset_ + at) - offset_, length_);
      use(view().substr(at, end - at), buffer_->trusted_at(offset_ + at));
      at = end;
    }
  }

  /// `left` followed by `right`. `copied` receives the number of bytes that had to be copied.
  static Text concatenate(const Text& left, const Text& right, size_t& copied);

 private:
  std::shared_ptr<TextBuffer> buffer_;  // null: empty
  size_t offset_ = 0;
  size_t length_ = 0;
};

/// Collects a text, e.g. the output of a template or of a macro.
class TextBuilder {
 public:
  void append(std::string_view text, bool trusted) { buffer_.append(text, trusted); }
  void append(const Text& text) {
    text.for_each_run([&](std::string_view run, bool trusted) { buffer_.append(run, trusted); });
  }
  size_t size() const { return buffer_.bytes.size(); }
  /// What was collected; the builder is empty afterwards.
  Text take();

 private:
  TextBuffer buffer_;
};

/// Where `needle` first occurs at or after `from`, or npos. Linear in the worst case.
size_t find_text(std::string_view haystack, std::string_view needle, size_t from = 0);

/// The runs of a text as spans for the tokenizer.
std::vector<TextSpan> to_spans(const Text& text);

}  // namespace gemma4::jinja
