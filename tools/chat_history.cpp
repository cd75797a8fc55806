#include "tools/chat_history.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/io/atomic_file.h"
#include "lib/io/json.h"
#include "tools/answer_json.h"

namespace gemma4 {
namespace {

constexpr size_t kEntries = 1000;
constexpr mode_t kPrivate = 0600;

}  // namespace

std::filesystem::path ChatHistory::default_path() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return std::filesystem::path(state) / "gemma4/history";
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return {};
  return std::filesystem::path(home) / ".local/state/gemma4/history";
}

std::vector<std::string> ChatHistory::load() const {
  std::vector<std::string> entries;
  std::error_code ec;
  if (!std::filesystem::exists(path_, ec)) return entries;
  try {
    std::istringstream lines(read_file(path_, ErrorKind::kInput));
    std::string line;
    while (std::getline(lines, line)) {
      const Json entry = Json::parse(line, nullptr, false);
      if (entry.is_string()) entries.push_back(entry.get<std::string>());
    }
    if (entries.size() <= 2 * kEntries) return entries;
    entries.erase(entries.begin(), entries.end() - kEntries);
    std::string text;
    for (const std::string& entry : entries) text += json_line(entry);
    write_file_atomically(path_, text, kPrivate);
  } catch (const Error& error) {
    log_warning(error.what());
  }
  return entries;
}

void ChatHistory::append(const std::string& message) const {
  for (std::filesystem::path made; const auto& part : path_.parent_path()) {
    made /= part;
    ::mkdir(made.c_str(), 0700);
  }
  const int descriptor = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, kPrivate);
  const std::string line = json_line(message);
  const bool written =
      descriptor >= 0 && ::fchmod(descriptor, kPrivate) == 0 &&
      ::write(descriptor, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (!written) log_warning("cannot write " + path_.string() + ": " + std::strerror(errno));
  if (descriptor >= 0) ::close(descriptor);
}

}  // namespace gemma4
