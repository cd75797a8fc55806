#include "lib/runtime/recording.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/base/error.h"

namespace gemma4 {

Recording::Recording(const std::string& path, const RecordingOptions& options,
                     std::function<bool()> should_stop)
    : name_(path == "-" ? "stdin" : path),
      offset_(options.offset),
      is_live_(options.pcm.has_value()) {
  if (options.pcm) {
    if (path != "-") file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (path != "-" && file_ < 0) {
      throw Error(ErrorKind::kInput, "cannot read the file", name_, std::strerror(errno));
    }
    stream_ = open_pcm_audio(path == "-" ? STDIN_FILENO : file_, *options.pcm, name_,
                             std::move(should_stop), options.max_seconds);
  } else {
    stream_ = open_audio(MediaSource::open(path), options.max_seconds);
  }
  stream_->set_range(options.offset, options.duration);
}

Recording::~Recording() {
  stream_.reset();
  if (file_ >= 0) ::close(file_);
}

}  // namespace gemma4
