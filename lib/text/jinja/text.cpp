#include "lib/text/jinja/text.h"

#include <string.h>

#include <algorithm>
#include <utility>

namespace gemma4::jinja {

void TextBuffer::append(std::string_view text, bool trusted) {
  if (text.empty()) return;
  if (bytes.empty()) {
    first_trusted = trusted;
  } else if ((first_trusted != (flips.size() % 2 == 1)) != trusted) {
    flips.push_back(bytes.size());
  }
  bytes.append(text);
}

bool TextBuffer::trusted_at(size_t position) const {
  const auto passed = std::upper_bound(flips.begin(), flips.end(), position) - flips.begin();
  return first_trusted != (passed % 2 == 1);
}

size_t TextBuffer::run_end(size_t position) const {
  const auto next = std::upper_bound(flips.begin(), flips.end(), position);
  return next == flips.end() ? bytes.size() : *next;
}

Text::Text(std::string bytes, bool trusted) {
  if (bytes.empty()) return;
  length_ = bytes.size();
  buffer_ = std::make_shared<TextBuffer>();
  buffer_->bytes = std::move(bytes);
  buffer_->first_trusted = trusted;
}

Text::Text(TextBuffer buffer) {
  if (buffer.bytes.empty()) return;
  length_ = buffer.bytes.size();
  buffer_ = std::make_shared<TextBuffer>(std::move(buffer));
  buffer_->may_grow = true;
}

std::string_view Text::view() const {
  if (length_ == 0) return {};
  return std::string_view(buffer_->bytes).substr(offset_, length_);
}

Text Text::slice(size_t from, size_t count) const {
  Text result;
  if (from >= length_) return result;
  result.length_ = std::min(count, length_ - from);
  if (result.length_ == 0) return result;
  result.buffer_ = buffer_;
  result.offset_ = offset_ + from;
  return result;
}

Text Text::concatenate(const Text& left, const Text& right, size_t& copied) {
  copied = 0;
  if (left.empty()) return right;
  if (right.empty()) return left;
  Text result = left;
  copied = right.size();
  const bool at_end = left.offset_ + left.length_ == left.buffer_->bytes.size();
  if (!left.buffer_->may_grow || !at_end) {
    TextBuffer joined;
    joined.bytes.reserve(left.size() + right.size());
    left.for_each_run([&](std::string_view run, bool trusted) { joined.append(run, trusted); });
    copied += left.size();
    result = Text(std::move(joined));
  }
  if (right.buffer_ == result.buffer_) {
    // Appending to the buffer moves the bytes that `right` shows.
    TextBuffer copy;
    right.for_each_run([&](std::string_view run, bool trusted) { copy.append(run, trusted); });
    Text(std::move(copy)).for_each_run([&](std::string_view run, bool trusted) {
      result.buffer_->append(run, trusted);
    });
  } else {
    right.for_each_run(
        [&](std::string_view run, bool trusted) { result.buffer_->append(run, trusted); });
  }
  result.length_ += right.length_;
  return result;
}

Text TextBuilder::take() { return Text(std::exchange(buffer_, {})); }

size_t find_text(std::string_view haystack, std::string_view needle, size_t from) {
  if (from > haystack.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  if (needle.size() > haystack.size() - from) return std::string_view::npos;
  // string_view::find takes quadratic time on hostile text; memmem does not.
  const void* found =
      memmem(haystack.data() + from, haystack.size() - from, needle.data(), needle.size());
  if (found == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(found) - haystack.data());
}

std::vector<TextSpan> to_spans(const Text& text) {
  std::vector<TextSpan> spans;
  text.for_each_run([&](std::string_view run, bool trusted) {
    spans.push_back({std::string(run), trusted});
  });
  return spans;
}

}  // namespace gemma4::jinja
