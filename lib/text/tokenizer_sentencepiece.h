// Byte-pair encoding in the sentencepiece library; the only file that knows it is the .cpp.
#pragma once

#include <memory>
#include <string_view>

#include "lib/text/tokenizer_encoder.h"

namespace gemma4 {

/// An encoder for a serialized ModelProto of our own making (tokenizer_proto.h): files from
/// outside may harm old versions of the library. Null when the library does not take it.
std::unique_ptr<PlainEncoder> sentencepiece_encoder(std::string_view proto);

}  // namespace gemma4
