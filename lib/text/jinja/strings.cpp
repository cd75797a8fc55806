#include "lib/text/jinja/strings.h"

#include <algorithm>

#include "lib/base/utf8.h"
#include "lib/text/jinja/print.h"
#include "lib/text/jinja/unicode.h"

namespace gemma4::jinja {
namespace {

constexpr auto npos = std::string_view::npos;

bool is_one_of(std::string_view characters, std::string_view character) {
  return characters.find(character) != npos;
}

size_t character_before(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}

std::vector<Value> split_words(const Text& text, int64_t limit, Budget& budget) {
  std::vector<Value> parts;
  const std::string_view view = text.view();
  size_t at = leading_space(view);
  while (at < view.size()) {
    budget.allocate(sizeof(Value));
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.push_back(Value::string(text.slice(at)));
      return parts;
    }
    size_t end = at;
    while (end < view.size()) {
      const CodePoint next = decode_utf8(view.substr(end));
      if (is_space(next.value) && next.length > 0) break;
      end += std::max<size_t>(next.length, 1);
    }
    parts.push_back(Value::string(text.slice(at, end - at)));
    at = end + leading_space(view.substr(end));
  }
  return parts;
}

// A word begins where a letter follows something that is not one.
class CaseChanger {
 public:
  explicit CaseChanger(LetterCase letter_case) : case_(letter_case) {}

  void append(std::string& out, char32_t c) {
    const bool upper = case_ == LetterCase::kUpper || (case_ == LetterCase::kTitle && !in_word_) ||
                       (case_ == LetterCase::kCapitalized && !in_word_);
    upper ? append_upper(out, c) : append_lower(out, c);
    in_word_ = case_ == LetterCase::kCapitalized || has_case(c);
  }

 private:
  LetterCase case_;
  bool in_word_ = false;
};

}  // namespace

Text strip(const Text& text, const std::optional<Text>& characters, Side side) {
  const std::string_view view = text.view();
  size_t begin = 0, end = view.size();
  if (!characters) {
    if (side != Side::kRight) begin = leading_space(view);
    if (side != Side::kLeft) end -= trailing_space(view.substr(begin));
    return text.slice(begin, end - begin);
  }
  if (side != Side::kRight) {
    while (begin < end) {
      const size_t length = std::max<size_t>(decode_utf8(view.substr(begin)).length, 1);
      if (!is_one_of(characters->view(), view.substr(begin, length))) break;
      begin += length;
    }
  }
  if (side != Side::kLeft) {
    while (end > begin) {
      const size_t last = character_before(view, end);
      if (!is_one_of(characters->view(), view.substr(last, end - last))) break;
      end = last;
    }
  }
  return text.slice(begin, end - begin);
}

std::vector<Value> split(const Text& text, const std::optional<Text>& separator, int64_t limit,
                         Budget& budget) {
  budget.step(text.size() / 16);
  if (!separator) return split_words(text, limit, budget);
  if (separator->empty()) throw Failure("split needs a separator that is not empty");
  std::vector<Value> parts;
  size_t at = 0;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t found = find_text(text.view(), separator->view(), at);
    if (found == npos) break;
    budget.allocate(sizeof(Value));
    parts.push_back(Value::string(text.slice(at, found - at)));
    at = found + separator->size();
  }
  parts.push_back(Value::string(text.slice(at)));
  return parts;
}

Text replace(const Text& text, const Text& from, const Text& to, int64_t count, Budget& budget) {
  budget.allocate(text.size());
  TextBuilder out;
  size_t at = 0;
  for (int64_t done = 0; count < 0 || done < count; ++done) {
    size_t found = at;
    if (!from.empty()) {
      found = find_text(text.view(), from.view(), at);
      if (found == npos) break;
    }
    budget.allocate(to.size() + 1);
    out.append(text.slice(at, found - at));
    out.append(to);
    at = found + from.size();
    if (!from.empty()) continue;
    // Nothing is replaced between every two characters and at both ends.
    if (at >= text.size()) break;
    const size_t length = std::max<size_t>(decode_utf8(text.view().substr(at)).length, 1);
    out.append(text.slice(at, length));
    at += length;
  }
  out.append(text.slice(at));
  return out.take();
}

Text join(const Value& items, const Text& separator, Budget& budget) {
  const Elements elements(items, budget);
  TextBuilder out;
  for (size_t i = 0; i < elements.size(); ++i) {
    budget.allocate(separator.size() + 1);
    if (i > 0) out.append(separator);
    print(elements.at(i), out, budget);
  }
  return out.take();
}

Text change_case(const Text& text, LetterCase letter_case, Budget& budget) {
  budget.allocate(text.size());
  budget.step(text.size());
  CaseChanger changer(letter_case);
  TextBuilder out;
  text.for_each_run([&](std::string_view run, bool trusted) {
    std::string changed;
    changed.reserve(run.size());
    while (!run.empty()) {
      const CodePoint next = decode_utf8(run);
      changer.append(changed, next.value);
      run.remove_prefix(std::max<size_t>(next.length, 1));
    }
    out.append(changed, trusted);
  });
  return out.take();
}

Text indent(const Text& text, const Text& prefix, bool first, bool blank, Budget& budget) {
  TextBuilder out;
  for (size_t at = 0; at < text.size();) {
    const size_t newline = text.view().find('\n', at);
    const size_t end = newline == npos ? text.size() : newline + 1;
    const bool is_blank = newline == at;
    budget.allocate(end - at + prefix.size());
    if (at == 0 ? first : (blank || !is_blank)) out.append(prefix);
    out.append(text.slice(at, end - at));
    at = end;
  }
  return out.take();
}

}  // namespace gemma4::jinja
