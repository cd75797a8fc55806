#include "tools/line_source.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "lib/base/error.h"
#include "tools/text_input.h"

namespace gemma4 {
namespace {

constexpr char kPrompt[] = "> ";
constexpr char kMorePrompt[] = ". ";
constexpr std::string_view kQuotes = "\"\"\"";

InputMessage read_quoted(LineSource& source, std::string first) {
  std::string text;
  InputLine line = {InputLine::Kind::kText, std::move(first)};
  while (true) {
    const bool last = line.text.ends_with(kQuotes);
    if (last) line.text.resize(line.text.size() - kQuotes.size());
    // The quotes may stand on lines of their own.
    if (!text.empty() && !(last && line.text.empty())) text += '\n';
    text += line.text;
    if (last) break;
    line = source.read(kMorePrompt);
    if (line.kind == InputLine::Kind::kAbandoned) return {line.kind};
    if (line.kind == InputLine::Kind::kEnd) break;
  }
  return {InputLine::Kind::kText, std::move(text), true};
}

}  // namespace

PipedLines::~PipedLines() { std::free(buffer_); }

InputLine PipedLines::read(const char*) {
  const ssize_t length = ::getline(&buffer_, &capacity_, stdin);
  if (length < 0) {
    if (std::ferror(stdin) != 0) {
      throw Error(ErrorKind::kInput, "cannot read", "standard input", std::strerror(errno));
    }
    return {};
  }
  std::string text(buffer_, static_cast<size_t>(length));
  return {InputLine::Kind::kText,
          valid_text(without_final_newline(std::move(text)), "standard input")};
}

void PipedLines::prefill(const std::string&) {
  throw Error(ErrorKind::kUsage, "editing needs a terminal", "/edit", "write /edit NEW TEXT");
}

InputMessage read_message(LineSource& source) {
  InputLine line = source.read(kPrompt);
  if (line.kind != InputLine::Kind::kText) return {line.kind};
  if (line.text.starts_with(kQuotes)) return read_quoted(source, line.text.substr(kQuotes.size()));
  std::string text = std::move(line.text);
  while (text.ends_with('\\')) {
    text.back() = '\n';
    line = source.read(kMorePrompt);
    if (line.kind == InputLine::Kind::kAbandoned) return {line.kind};
    if (line.kind == InputLine::Kind::kEnd) break;
    text += line.text;
  }
  return {InputLine::Kind::kText, std::move(text)};
}

}  // namespace gemma4
