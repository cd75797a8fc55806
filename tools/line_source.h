// Where a chat's input lines come from: a pipe, or the line editor of a terminal.
#pragma once

#include <string>

namespace gemma4 {

struct InputLine {
  enum class Kind { kText, kAbandoned, kEnd };  // kAbandoned: Ctrl-C at the prompt
  Kind kind = Kind::kEnd;
  std::string text = {};  // valid UTF-8, without the line break; a paste may hold line breaks
};

class LineSource {
 public:
  virtual ~LineSource() = default;
  virtual InputLine read(const char* prompt) = 0;
  /// True when a person is there to correct a mistake.
  virtual bool interactive() const = 0;
  /// Offers `text` for editing at the next read.
  virtual void prefill(const std::string& text) = 0;
  /// Puts a message where later ones can be recalled from.
  virtual void remember(const std::string& message) = 0;
};

/// Lines of standard input. Reads no further than it must.
class PipedLines : public LineSource {
 public:
  ~PipedLines() override;
  InputLine read(const char* prompt) override;
  bool interactive() const override { return false; }
  void prefill(const std::string& text) override;
  void remember(const std::string&) override {}

 private:
  char* buffer_ = nullptr;  // of getline(3)
  size_t capacity_ = 0;
};

/// A message may be several lines: between """ and """, or after a line that ends in a backslash.
struct InputMessage {
  InputLine::Kind kind = InputLine::Kind::kEnd;
  std::string text = {};
  bool quoted = false;  // came between """: never a command
};

InputMessage read_message(LineSource& source);

}  // namespace gemma4
