// Working memory that grows to the largest size asked for and is then kept.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/host_buffer.h"
#include "lib/base/parallel.h"

namespace gemma4::cpu {

class Scratch {
 public:
  /// At least `count` floats at a page boundary, valid until the next call. Contents are undefined.
  float* floats(int64_t count) { return static_cast<float*>(bytes(count * 4)); }

  void* bytes(int64_t count) {
    const auto wanted = static_cast<size_t>(std::max<int64_t>(count, 1));
    if (!buffer_ || buffer_->size() < wanted) {
      buffer_.reset();
      buffer_ = allocate_host_buffer(wanted);
    }
    return buffer_->data();
  }

 private:
  std::unique_ptr<Buffer> buffer_;
};

/// One scratch for each thread of a parallel loop.
class ThreadScratch {
 public:
  /// To be called before the loop.
  void reserve_threads() {
    if (scratch_.size() < static_cast<size_t>(num_threads())) {
      scratch_.resize(static_cast<size_t>(num_threads()));
    }
  }
  /// The calling thread's own.
  Scratch& mine() { return scratch_[static_cast<size_t>(thread_index())]; }

 private:
  std::vector<Scratch> scratch_;
};

}  // namespace gemma4::cpu
