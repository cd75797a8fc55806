#include "tools/output.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "lib/base/error.h"

namespace gemma4 {

Output::Output(std::filesystem::path path) : path_(std::move(path)) {
  if (path_ == "-" || path_ == "/dev/stdout") path_.clear();
  if (path_.empty()) return;
  // A wrong path should cost a second, not a whole answer.
  std::error_code ec;
  if (std::filesystem::is_directory(path_, ec)) {
    throw Error(ErrorKind::kResource, "cannot write to", path_.string(), "it is a directory");
  }
  const bool exists = std::filesystem::exists(path_, ec);
  const auto parent = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  const bool regular = !exists || std::filesystem::is_regular_file(path_, ec);
  if (::access(regular ? parent.c_str() : path_.c_str(), W_OK) != 0) {
    throw Error(ErrorKind::kResource, "cannot write to", path_.string(), std::strerror(errno));
  }
}

void Output::open() {
  if (!path_.empty() && file_ == nullptr) file_ = std::make_unique<AtomicFile>(path_);
}

void Output::write(std::string_view text) {
  open();
  if (file_ != nullptr) {
    file_->write(text);
    return;
  }
  while (!text.empty()) {
    const ssize_t written = ::write(1, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<size_t>(written));
    } else if (errno == EAGAIN) {  // the shell may have left it non-blocking
      pollfd wait = {1, POLLOUT, 0};
      ::poll(&wait, 1, -1);
    } else if (errno == EPIPE) {
      throw ClosedPipe();
    } else if (errno != EINTR) {
      throw Error(ErrorKind::kResource, "cannot write to", "standard output", std::strerror(errno));
    }
  }
}

bool Output::closed() const {
  if (!path_.empty()) return false;
  pollfd state = {1, 0, 0};
  return ::poll(&state, 1, 0) == 1 && (state.revents & POLLERR) != 0;
}

void Output::commit() {
  if (file_ != nullptr) file_->commit();
  file_.reset();
}

}  // namespace gemma4
