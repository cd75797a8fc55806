// Line editing on a terminal, by libedit: history, pastes of several lines, Ctrl-C at the prompt.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "tools/chat_history.h"
#include "tools/line_source.h"

namespace gemma4 {

/// Reads the terminal of standard input, draws on stderr, so that standard output holds answers
/// only. Both must be terminals.
class LineEditor : public LineSource {
 public:
  /// `history`: nothing: recalls this session's messages only, and keeps none.
  explicit LineEditor(std::optional<ChatHistory> history);
  ~LineEditor() override;

  InputLine read(const char* prompt) override;
  bool interactive() const override { return true; }
  void prefill(const std::string& text) override;
  void remember(const std::string& message) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace gemma4
