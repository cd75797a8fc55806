// The text that `quantize --verify` compares logits on when none is given.
#pragma once

namespace gemma4 {

extern const char* const kVerifyText;

}  // namespace gemma4
