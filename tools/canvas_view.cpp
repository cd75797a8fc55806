#include "tools/canvas_view.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <vector>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "tools/terminal.h"

namespace gemma4 {
namespace {

// The terminal's columns and rows, or what is usual.
winsize terminal_size() {
  winsize size = {};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
    size.ws_col = 80;
    size.ws_row = 24;
  }
  return size;
}

// Lines of at most `columns` columns, `rows` of them. Characters from U+1100 on may be wide and are
// counted as two: a line that wraps by itself would spoil the picture.
std::vector<std::string> folded(std::string_view text, size_t columns, size_t rows) {
  std::vector<std::string> lines(1);
  size_t used = 0;
  while (!text.empty()) {
    const CodePoint point = decode_utf8(text);
    const size_t length = std::max<size_t>(point.length, 1);
    const size_t width = point.value == '\t' ? 4 : point.value >= 0x1100 ? 2 : 1;
    const bool ends = point.value == '\n';
    if (ends || used + width > columns) {
      if (lines.size() == rows) break;
      lines.emplace_back();
      used = 0;
    }
    if (!ends) {
      lines.back() += point.value == '\t' ? "    " : text.substr(0, length);
      used += width;
    }
    text.remove_prefix(length);
  }
  return lines;
}

}  // namespace

CanvasView::CanvasView(bool enabled, const Tokenizer* tokenizer)
    : enabled_(enabled), tokenizer_(tokenizer) {
  if (enabled && !redraws(STDERR_FILENO)) {
    throw Error(ErrorKind::kUsage, "there is no terminal to show the canvas on", "--show-denoising",
                "standard error must be a terminal, NO_COLOR unset and TERM not dumb");
  }
}

std::string CanvasView::text_of(std::span<const TokenId> canvas) const {
  std::string text;
  for (const TokenId id : canvas) {
    if (tokenizer_ != nullptr && id < tokenizer_->vocab_size()) {
      text += tokenizer_->token_bytes(id);
    } else {
      text += std::to_string(id) + " ";
    }
  }
  return without_controls(replace_invalid_utf8(text));
}

void CanvasView::draw(std::span<const TokenId> canvas) {
  if (!enabled_) return;
  const winsize size = terminal_size();
  const std::vector<std::string> lines =
      folded(text_of(canvas), size.ws_col, std::max(1, size.ws_row - 2));
  const std::string count = std::to_string(lines.size());
  // Rows for the canvas are made below the cursor, which keeps its column (IND), so that nothing
  // scrolls after the place of the cursor was saved (DECSC) and it can be restored (DECRC).
  std::string out = "\033[J";
  for (size_t i = 0; i < lines.size(); ++i) out += "\033D";
  out += "\033[" + count + "A\0337";
  for (const std::string& line : lines) out += "\r\n" + dimmed(line);
  out += "\0338";
  std::fwrite(out.data(), 1, out.size(), stderr);
  drawn_ = true;
}

void CanvasView::clear() {
  if (drawn_) std::fputs("\033[J", stderr);
  drawn_ = false;
}

}  // namespace gemma4
