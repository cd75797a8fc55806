// An answer as programs read it.
#pragma once

#include <string>

#include "lib/io/json.h"
#include "lib/runtime/engine.h"

namespace gemma4 {

/// What all answers of one run have in common.
struct AnswerContext {
  std::string model;
  double load_ms = 0.0;
  const Tokenizer* tokenizer = nullptr;  // null: texts are null
};

/// The object of --json and of a line of --batch.
Json answer_json(const AnswerContext& context, const GenerationRequest& request,
                 const GenerationResult& result);

/// Events of --jsonl: one a piece of answer, then "stats" and "end".
Json event_json(const OutputEvent& event, size_t call_index);
Json stats_event_json(const AnswerContext& context, const GenerationResult& result);
Json end_event_json(const AnswerContext& context, const GenerationRequest& request,
                    const GenerationResult& result);

/// The message that the chat template will render for this answer in later turns.
Json answer_message(const GenerationResult& result);

/// Tokens a second, or null where nothing was measured.
Json tokens_per_second(int64_t tokens, double ms);

/// One line of JSON with its newline. Text is shown as it is; what is not UTF-8 becomes U+FFFD.
std::string json_line(const Json& value);

}  // namespace gemma4
