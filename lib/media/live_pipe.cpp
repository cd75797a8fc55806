#include "lib/media/live_pipe.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "lib/base/error.h"

namespace gemma4 {

LivePipe::LivePipe(int file, std::string name, std::function<bool()> should_stop,
                   size_t max_waiting)
    : file_(file),
      name_(std::move(name)),
      should_stop_(std::move(should_stop)),
      max_waiting_(max_waiting),
      wake_(::eventfd(0, EFD_CLOEXEC)) {
  if (wake_ < 0) {
    throw Error(ErrorKind::kResource, "cannot watch the input", name_, std::strerror(errno));
  }
  thread_ = std::thread([this] { fill(); });
}

LivePipe::~LivePipe() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof(one));
  thread_.join();
  ::close(wake_);
}

/// False when the pipe is being closed on our side.
bool LivePipe::wait_for_input() const {
  pollfd both[] = {{file_, POLLIN, 0}, {wake_, POLLIN, 0}};
  while (::poll(both, 2, -1) < 0 && errno == EINTR) continue;
  return (both[1].revents & POLLIN) == 0;
}

void LivePipe::fill() {
  std::array<uint8_t, 1 << 16> block;
  while (wait_for_input()) {
    const ssize_t got = ::read(file_, block.data(), block.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    std::unique_lock lock(mutex_);
    if (got <= 0) {
      error_ = got < 0 ? errno : 0;
      ended_ = true;
      changed_.notify_all();
      return;
    }
    waiting_.insert(waiting_.end(), block.begin(), block.begin() + got);
    changed_.notify_all();
    changed_.wait(lock, [this] { return closing_ || waiting_.size() - taken_ < max_waiting_; });
  }
}

size_t LivePipe::read(std::span<uint8_t> out) {
  std::unique_lock lock(mutex_);
  while (taken_ == waiting_.size() && !ended_) {
    changed_.wait_for(lock, std::chrono::milliseconds(100));
    if (should_stop_ && should_stop_()) return 0;
  }
  if (taken_ == waiting_.size()) {
    if (error_ == 0) return 0;
    throw Error(ErrorKind::kInput, "cannot read the sound", name_, std::strerror(error_));
  }
  const size_t count = std::min(out.size(), waiting_.size() - taken_);
  std::copy_n(waiting_.begin() + static_cast<ptrdiff_t>(taken_), count, out.begin());
  taken_ += count;
  if (taken_ == waiting_.size() || taken_ >= (size_t{1} << 20)) {
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(taken_));
    taken_ = 0;
  }
  changed_.notify_all();
  return count;
}

}  // namespace gemma4
