// What the CUDA runtime knows a kernel by.
#pragma once

namespace gemma4::cuda {

template <typename... P>
const void* kernel_handle(void (*kernel)(P...)) {
  return reinterpret_cast<const void*>(kernel);
}

}  // namespace gemma4::cuda
