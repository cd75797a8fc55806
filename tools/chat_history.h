// Messages of earlier chats, for the line editor: $XDG_STATE_HOME/gemma4/history, mode 0600.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace gemma4 {

/// One JSON string a line, so that a message of several lines stays one entry. Several programs
/// may append at once. What cannot be read or written is a warning, never an error.
class ChatHistory {
 public:
  /// $XDG_STATE_HOME/gemma4/history, else ~/.local/state/gemma4/history; empty without either.
  static std::filesystem::path default_path();

  explicit ChatHistory(std::filesystem::path path) : path_(std::move(path)) {}
  /// The latest entries, oldest first. Shortens a file that has grown long.
  std::vector<std::string> load() const;
  void append(const std::string& message) const;

 private:
  std::filesystem::path path_;
};

}  // namespace gemma4
