// Buffers in host memory, for the backends that compute there.
#pragma once

#include <memory>

#include "kernels/ops.h"

namespace gemma4 {

/// Anonymous zero pages: they take no memory until they are touched, so a cache for a long context
/// may be reserved whole. Throws Error(kResource) when even the addresses cannot be had.
std::unique_ptr<Buffer> allocate_host_buffer(size_t bytes);

}  // namespace gemma4
