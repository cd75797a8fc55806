// LivePipe: bytes of a pipe, taken off as they come, so that whoever writes to it is not held up
// while the bytes are worked on. Internal to lib/media.
//
// A microphone's program drops sound when its pipe is full; a pipe holds two seconds of it.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace gemma4 {

class LivePipe {
 public:
  /// Reads `file`, which stays open, until it ends or `max_waiting` bytes wait; then the writer
  /// does. `should_stop` is asked about ten times a second while nothing comes; may be empty.
  LivePipe(int file, std::string name, std::function<bool()> should_stop,
           size_t max_waiting = size_t{16} << 20);
  ~LivePipe();
  LivePipe(const LivePipe&) = delete;
  LivePipe& operator=(const LivePipe&) = delete;

  /// Waits for bytes and copies as many as there are; 0 at the end, or when it should stop.
  /// Throws Error(kInput) when the pipe cannot be read.
  size_t read(std::span<uint8_t> out);

 private:
  void fill();
  bool wait_for_input() const;

  int file_;
  std::string name_;
  std::function<bool()> should_stop_;
  size_t max_waiting_;
  int wake_ = -1;  // an eventfd that ends the thread

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<uint8_t> waiting_;
  size_t taken_ = 0;  // of waiting_
  int error_ = 0;     // errno
  bool ended_ = false;
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace gemma4
