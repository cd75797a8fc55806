#include "lib/base/utf8.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";

}  // namespace

// Spec tokenizer-chat.md, section 3, streaming rules.
std::string StreamDecoder::push(TokenId id) {
  const std::string_view bytes = tokenizer_->token_bytes(id);
  if (!tokenizer_->is_byte(id)) {
    std::string text = finish();
    if (!tokenizer_->is_control(id)) text += bytes;
    return text;
  }
  pending_ += bytes;
  std::string text;
  while (!pending_.empty() && !is_incomplete_utf8(pending_)) {
    const size_t length = decode_utf8(pending_).length;
    text += length == 0 ? kReplacement : std::string_view(pending_).substr(0, length);
    pending_.erase(0, length == 0 ? 1 : length);
  }
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  for (size_t i = 0; i < pending_.size(); ++i) text += kReplacement;
  pending_.clear();
  return text;
}

}  // namespace gemma4
