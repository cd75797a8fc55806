// Text without control tokens -> token ids: what the two encoders have in common.
#pragma once

#include <string_view>
#include <vector>

#include "lib/text/tokenizer.h"

namespace gemma4 {

class PlainEncoder {
 public:
  virtual ~PlainEncoder() = default;
  /// Appends the ids of `text`, valid UTF-8 of less than 1 GiB with plain spaces. Thread-safe.
  virtual void encode(std::string_view text, std::vector<TokenId>& ids) const = 0;
};

}  // namespace gemma4
