#include "lib/text/tokenizer_sentencepiece.h"

#include <sentencepiece_processor.h>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

class SentencePieceEncoder : public PlainEncoder {
 public:
  bool load(std::string_view proto) { return processor_.LoadFromSerializedProto(view(proto)).ok(); }

  void encode(std::string_view text, std::vector<TokenId>& ids) const override {
    std::vector<int> result;
    const auto status = processor_.Encode(view(text), &result);
    if (!status.ok()) {
      throw Error(ErrorKind::kInternal, "sentencepiece cannot encode a text", {},
                  status.ToString());
    }
    ids.insert(ids.end(), result.begin(), result.end());
  }

 private:
  static absl::string_view view(std::string_view text) { return {text.data(), text.size()}; }
  sentencepiece::SentencePieceProcessor processor_;
};

}  // namespace

std::unique_ptr<PlainEncoder> sentencepiece_encoder(std::string_view proto) {
  auto encoder = std::make_unique<SentencePieceEncoder>();
  if (!encoder->load(proto)) return nullptr;
  return encoder;
}

}  // namespace gemma4
