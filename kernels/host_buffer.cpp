#include "kernels/host_buffer.h"

#include <sys/mman.h>

#include <algorithm>
#include <string>

#include "lib/base/error.h"
#include "lib/base/memory_nodes.h"

namespace gemma4 {
namespace {

class HostBuffer : public Buffer {
 public:
  explicit HostBuffer(size_t bytes) : bytes_(std::max<size_t>(bytes, 1)) {
    data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data_ == MAP_FAILED) {
      throw Error(ErrorKind::kResource, "not enough memory",
                  std::to_string(bytes >> 20) + " MiB wanted");
    }
    if (bytes_ < (size_t{4} << 20)) return;
    madvise(data_, bytes_, MADV_HUGEPAGE);
    spread_over_nodes(data_, bytes_);
  }
  ~HostBuffer() override { munmap(data_, bytes_); }
  HostBuffer(const HostBuffer&) = delete;
  HostBuffer& operator=(const HostBuffer&) = delete;

  void* data() override { return data_; }
  size_t size() const override { return bytes_; }

 private:
  size_t bytes_;
  void* data_;
};

}  // namespace

std::unique_ptr<Buffer> allocate_host_buffer(size_t bytes) {
  return std::make_unique<HostBuffer>(bytes);
}

}  // namespace gemma4
