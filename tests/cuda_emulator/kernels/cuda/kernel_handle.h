// In place of kernels/cuda/kernel_handle.h: remembers how to call each kernel.
#pragma once

#include "tests/cuda_emulator/emulator.h"

namespace gemma4::cuda {

template <typename... P>
const void* kernel_handle(void (*kernel)(P...)) {
  return cuda_emulator::register_kernel(kernel);
}

}  // namespace gemma4::cuda
