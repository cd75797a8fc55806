// Any bytes taken as GBNF: compiled, or refused with an Error. What was compiled is followed by the
// masks, which must never lead to a place where nothing is allowed.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/error.h"
#include "lib/text/grammar/gbnf_parser.h"
#include "lib/text/grammar/token_mask.h"

namespace {

std::shared_ptr<const gemma4::TokenTrie> byte_trie() {
  std::vector<std::string> pieces = {""};
  for (int byte = 0; byte < 256; ++byte) pieces.emplace_back(1, static_cast<char>(byte));
  const std::vector<std::string_view> views(pieces.begin(), pieces.end());
  return std::make_shared<const gemma4::TokenTrie>(views);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto trie = byte_trie();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const auto masks = std::make_shared<gemma4::GrammarMasks>(
        trie, std::make_shared<const gemma4::Grammar>(gemma4::gbnf_grammar(text)));
    gemma4::TokenConstraint constraint(masks, {0});
    std::vector<uint64_t> mask(constraint.mask_words());
    for (size_t i = 0; i < 64 && !constraint.ended(); ++i) {
      constraint.fill_mask(mask);
      // The input also chooses the way: the next allowed token from some place on.
      const size_t from = size == 0 ? 0 : data[(i * 7) % size];
      for (size_t k = 0; k <= 256; ++k) {
        const size_t id = (from + k) % 257;
        if ((mask[id / 64] >> (id % 64) & 1) == 0) continue;
        constraint.accept(static_cast<gemma4::TokenId>(id));
        break;
      }
    }
  } catch (const gemma4::Error& error) {
    // The vocabulary has every byte, so that a way on can always be spelled.
    if (std::string_view(error.what()).find("no token") != std::string_view::npos) __builtin_trap();
    if (error.kind() != gemma4::ErrorKind::kUsage) __builtin_trap();
  }
  return 0;
}
