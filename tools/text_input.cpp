#include "tools/text_input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/base/utf8.h"

namespace gemma4 {
namespace {

constexpr size_t kMaxBytes = size_t{256} << 20;

std::string read_all(int descriptor, const std::string& name) {
  std::string text;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(descriptor, buffer, sizeof(buffer));
    if (count == 0) return text;
    if (count < 0) {
      if (errno == EINTR) continue;
      throw Error(ErrorKind::kInput, "cannot read", name, std::strerror(errno));
    }
    text.append(buffer, static_cast<size_t>(count));
    if (text.size() > kMaxBytes) {
      throw Error(ErrorKind::kInput, "input is larger than 256 MiB", name, "split it");
    }
  }
}

}  // namespace

void StandardInput::give_away() {
  if (was_read_) {
    throw Error(ErrorKind::kUsage, "standard input is named twice", "-", "name it once");
  }
  was_read_ = true;
}

std::string StandardInput::read() {
  give_away();
  return read_all(0, "standard input");
}

std::string read_input(const std::string& path, StandardInput& standard_input) {
  if (path == "-") return standard_input.read();
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw Error(ErrorKind::kInput, "cannot read", path, std::strerror(errno));
  try {
    std::string text = read_all(descriptor, path);
    ::close(descriptor);
    return text;
  } catch (...) {
    ::close(descriptor);
    throw;
  }
}

std::string text_or_file(const std::string& value, StandardInput& standard_input) {
  if (!value.starts_with('@')) return valid_text(value, "the command line");
  const std::string path = value.substr(1);
  return without_final_newline(valid_text(read_input(path, standard_input), path));
}

std::string valid_text(std::string text, std::string_view origin) {
  size_t replaced = 0;
  std::string valid = replace_invalid_utf8(text, &replaced);
  if (replaced > 0) {
    log_warning(fmt::format("{} invalid UTF-8 sequence{} in {} became U+FFFD", replaced,
                            replaced == 1 ? "" : "s", origin));
  }
  return valid;
}

std::string without_final_newline(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

Json read_json_input(const std::string& path, StandardInput& standard_input) {
  return parse_json(read_input(path, standard_input), path == "-" ? "standard input" : path,
                    ErrorKind::kInput);
}

}  // namespace gemma4
