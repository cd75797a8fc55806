// Any bytes as tokenizer.json: refused by an Error, or a tokenizer whose tokens spell the text.
#include <cstdint>
#include <string>

#include "lib/base/error.h"
#include "lib/text/tokenizer_json.h"
#include "lib/text/tokenizer_merges.h"
#include "lib/text/tokenizer_model.h"
#include "lib/text/tokenizer_proto.h"
#include "lib/text/tokenizer_sentencepiece.h"
#include "lib/text/tokenizer_spellings.h"

namespace {

using namespace gemma4;

// Parts of 16 bytes at least, so that cut points are tried too.
void check_spells(const TokenizerModel& model, const PlainEncoder& encoder, std::string_view text) {
  std::string spelled;
  for (std::string_view rest = text; !rest.empty();) {
    const size_t end = end_of_part(model, rest, 16);
    std::vector<TokenId> ids;
    encoder.encode(rest.substr(0, end), ids);
    for (const TokenId id : ids) {
      spelled += model.bytes.substr(model.offsets[id], model.offsets[id + 1] - model.offsets[id]);
    }
    rest.remove_prefix(end);
  }
  if (spelled != text) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string json(reinterpret_cast<const char*>(data), size);
  try {
    const TokenizerFile file = parse_tokenizer_json(json, "fuzz");
    const TokenizerModel model = tokenizer_model(file);
    const TokenSpellings spellings(model);
    const std::string text = "<bos>user\n\n\n the thought\u00e9\u4e16 > </ abababab   \x01\uFFFD";
    for (size_t at = 0; at < text.size(); ++at) spellings.longest_at(text, at, text.size() / 2);
    check_spells(model, MergeEncoder(file, file.merges), text);
    if (sentencepiece_equivalent(file)) {
      const auto library = sentencepiece_encoder(sentencepiece_proto(file));
      if (library) check_spells(model, *library, text);
    }
  } catch (const Error&) {
  }
  return 0;
}
