// Scales from a file are looked at once, at load: a single NaN would spoil every answer.
#pragma once

#include <string>

#include "lib/base/tensor.h"

namespace gemma4 {

/// Throws Error(kModel) naming `name` when an element of `tensor` (F32, BF16 or F16) is 0, NaN or
/// infinite. Negative scales are legal.
void check_scales(const Tensor& tensor, const std::string& name);

}  // namespace gemma4
