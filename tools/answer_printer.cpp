#include "tools/answer_printer.h"

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <utility>

#include "lib/base/error.h"
#include "tools/answer_json.h"
#include "tools/terminal.h"

namespace gemma4 {

AnswerPrinter::AnswerPrinter(Output& output, const ThinkingFlags& thinking,
                             const std::string& color)
    : output_(output),
      dim_output_(uses_color(output.descriptor(), color)),
      dim_stderr_(uses_color(2, color)) {
  display_ = thinking.display == "show"         ? Display::kShow
             : thinking.display == "stderr"     ? Display::kStderr
             : thinking.display == "hide"       ? Display::kHide
             : is_terminal(output.descriptor()) ? Display::kShow
                                                : Display::kHide;
}

void AnswerPrinter::begin() {
  part_ = Part::kNothing;
  held_content_.clear();
  held_reasoning_.clear();
  mid_line_ = false;
  wrote_ids_ = false;
}

void AnswerPrinter::event(const OutputEvent& event) {
  switch (event.kind) {
    case OutputEvent::Kind::kReasoning:
      if (display_ == Display::kHide || event.text.empty()) return;
      enter(Part::kReasoning);
      write_reasoning(event.text);
      return;
    case OutputEvent::Kind::kContent: {
      // Below shown reasoning the answer begins with its first character.
      const bool below = part_ == Part::kReasoning && display_ == Display::kShow;
      const size_t start = below ? event.text.find_first_not_of('\n') : 0;
      if (start >= event.text.size()) return;
      enter(Part::kContent);
      write_content(event.text.substr(start));
      return;
    }
    case OutputEvent::Kind::kToolCall:
      enter(Part::kToolCalls);
      write_content(tool_call_line(event.call));
      return;
  }
}

void AnswerPrinter::id(TokenId token) {
  output_.write((wrote_ids_ ? "," : "") + std::to_string(token));
  wrote_ids_ = true;
}

void AnswerPrinter::finish() {
  if (part_ == Part::kReasoning) leave_reasoning();
  output_.write("\n");
}

void AnswerPrinter::enter(Part part) {
  if (part_ == part) return;
  const Part old = part_;
  part_ = part;
  if (old == Part::kReasoning) leave_reasoning();
  if (part == Part::kToolCalls && mid_line_) held_content_ = "\n";
  if (display_ != Display::kShow) return;
  if (part == Part::kReasoning) {
    held_content_.clear();
    if (std::exchange(mid_line_, false)) output_.write("\n");
    if (!dim_output_) output_.write("[thinking]\n");
  } else if (old == Part::kReasoning) {
    held_content_.clear();
    output_.write("\n");
  }
}

void AnswerPrinter::leave_reasoning() {
  held_reasoning_.clear();
  if (display_ == Display::kStderr) {
    std::fputs("\n", stderr);
  } else {
    output_.write(dim_output_ ? "\n" : "\n[/thinking]\n");
  }
}

void AnswerPrinter::write_reasoning(const std::string& text) {
  const std::string sure = release(text, held_reasoning_);
  if (display_ == Display::kStderr) {
    const std::string clean = is_terminal(2) ? without_controls(sure) : sure;
    const std::string line = dim_stderr_ ? dimmed(clean) : clean;
    std::fwrite(line.data(), 1, line.size(), stderr);
  } else {
    output_.write(dim_output_ ? dimmed(shown(sure)) : shown(sure));
  }
}

void AnswerPrinter::write_content(const std::string& text) {
  const std::string sure = release(text, held_content_);
  if (sure.empty()) return;
  mid_line_ = true;
  output_.write(shown(sure));
}

std::string AnswerPrinter::release(const std::string& text, std::string& held) {
  const size_t last = text.find_last_not_of('\n');
  if (last == text.npos) {
    held += text;
    return {};
  }
  std::string sure = held + text.substr(0, last + 1);
  held = text.substr(last + 1);
  return sure;
}

std::string AnswerPrinter::shown(const std::string& text) const {
  return is_terminal(output_.descriptor()) ? without_controls(text) : text;
}

std::string tool_call_line(const ToolCall& call) {
  return json_line({{"name", call.name}, {"arguments", call.arguments}});
}

std::string first_fenced_block(const std::string& text) {
  std::istringstream lines(text);
  std::string line;
  std::string fence;  // the opening run of ` or ~
  std::string block;
  while (std::getline(lines, line)) {
    const size_t start = std::min(line.find_first_not_of(' '), line.size());
    const char mark = start < line.size() ? line[start] : ' ';
    const size_t run =
        std::min(line.find_first_not_of(mark, start), line.size()) - start;  // CommonMark 4.5
    const bool is_fence = start <= 3 && run >= 3 && (mark == '`' || mark == '~');
    const std::string rest = line.substr(start + run);
    if (fence.empty()) {
      if (is_fence && !(mark == '`' && rest.find('`') != rest.npos))
        fence = line.substr(start, run);
    } else if (is_fence && mark == fence[0] && run >= fence.size() &&
               rest.find_first_not_of(" \t\r") == rest.npos) {
      return block;
    } else {
      block += line + "\n";
    }
  }
  if (fence.empty()) {
    throw Error(ErrorKind::kAnswer, "the answer has no fenced block", "--extract",
                "ask for one in the prompt, or leave the flag away");
  }
  return block;
}

}  // namespace gemma4
