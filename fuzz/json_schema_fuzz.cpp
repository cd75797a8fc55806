// Any bytes taken as a JSON schema: compiled, or refused with an Error. An answer that the matcher
// is led through is JSON once it has ended.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/error.h"
#include "lib/io/json.h"
#include "lib/text/grammar/grammar_matcher.h"
#include "lib/text/grammar/json_schema.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using gemma4::GrammarMatcher;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  gemma4::Json schema;
  try {
    schema = gemma4::parse_json(text, "fuzz", gemma4::ErrorKind::kInput,
                                {.max_depth = 32, .allow_duplicate_keys = false});
  } catch (const gemma4::Error&) {
    return 0;
  }
  try {
    GrammarMatcher matcher(
        std::make_shared<const gemma4::Grammar>(gemma4::json_schema_grammar(schema)));
    GrammarMatcher::State state = matcher.start();
    std::string answer;
    while (!GrammarMatcher::must_end(state) && answer.size() < 200) {
      // Bytes that close something come first where they are allowed.
      const uint8_t turn = data[(answer.size() * 5) % size];
      GrammarMatcher::State next;
      for (const int first : {int{'"'}, int{'}'}, int{']'}, int{turn}}) {
        next = matcher.step(state, static_cast<uint8_t>(first));
        if (!next.empty()) {
          answer += static_cast<char>(first);
          break;
        }
      }
      for (int byte = 0; byte < 256 && next.empty(); ++byte) {
        next = matcher.step(state, static_cast<uint8_t>(byte + turn));
        if (!next.empty()) answer += static_cast<char>(byte + turn);
      }
      if (next.empty()) {
        if (!GrammarMatcher::can_end(state)) __builtin_trap();  // a dead end
        break;
      }
      state = std::move(next);
    }
    if (GrammarMatcher::can_end(state)) {
      gemma4::parse_json(answer, "answer", gemma4::ErrorKind::kInternal,
                         {.max_depth = 1000, .allow_duplicate_keys = true});
    }
  } catch (const gemma4::Error& error) {
    if (error.kind() != gemma4::ErrorKind::kUsage) __builtin_trap();
  }
  return 0;
}
