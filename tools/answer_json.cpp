#include "tools/answer_json.h"

#include <cmath>

#include "lib/base/utf8.h"

namespace gemma4 {
namespace {

double rounded(double value) { return std::round(value * 1000.0) / 1000.0; }

Json call_json(const ToolCall& call, size_t index) {
  return {{"id", "call_" + std::to_string(index)},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

Json calls_json(const std::vector<ToolCall>& calls) {
  Json list = Json::array();
  for (size_t i = 0; i < calls.size(); ++i) list.push_back(call_json(calls[i], i));
  return list;
}

Json usage_json(const GenerationResult& result) {
  return {{"prompt_tokens", result.prompt_tokens},
          {"cached_tokens", result.cached_tokens},
          {"media_tokens", result.media_tokens},
          {"completion_tokens", result.completion_tokens},
          {"reasoning_tokens", result.reasoning_tokens}};
}

// Share of the drafted tokens that became answer.
Json acceptance(const DraftStats& drafts) {
  const int64_t drafted = drafts.total_drafted();
  if (drafted == 0) return nullptr;
  return rounded(static_cast<double>(drafts.total_accepted()) / static_cast<double>(drafted));
}

Json timings_json(const AnswerContext& context, const GenerationResult& result) {
  Json timings = {
      {"load_ms", rounded(context.load_ms)},
      {"ttft_ms", result.completion_tokens > 0 ? Json(rounded(result.ttft_ms)) : Json()},
      {"prompt_tokens_per_second",
       tokens_per_second(result.prompt_tokens - result.cached_tokens, result.prefill_ms)},
      {"tokens_per_second", tokens_per_second(result.completion_tokens - 1, result.decode_ms)},
      {"draft_acceptance", acceptance(result.drafts)}};
  if (result.denoising_steps > 0) timings["denoising_steps"] = result.denoising_steps;
  return timings;
}

Json scored_json(const AnswerContext& context, const ScoredToken& token) {
  Json text;
  if (context.tokenizer != nullptr && token.id < context.tokenizer->vocab_size()) {
    text = replace_invalid_utf8(context.tokenizer->token_bytes(token.id));
  }
  return {{"id", token.id}, {"token", text}, {"logprob", token.logprob}};
}

Json logprob_json(const AnswerContext& context, const TokenLogprob& entry) {
  Json object = scored_json(context, entry.token);
  object["top"] = Json::array();
  for (const ScoredToken& token : entry.top) object["top"].push_back(scored_json(context, token));
  return object;
}

void add_logprobs(Json& object, const AnswerContext& context, const GenerationRequest& request,
                  const GenerationResult& result) {
  if (request.logprobs) {
    object["logprobs"] = Json::array();
    for (const TokenLogprob& entry : result.logprobs) {
      object["logprobs"].push_back(logprob_json(context, entry));
    }
  }
  if (request.prompt_logprobs) {
    object["prompt_logprobs"] = Json::array();
    for (const auto& entry : result.prompt_logprobs) {
      object["prompt_logprobs"].push_back(entry ? logprob_json(context, *entry) : Json());
    }
  }
}

Json text_or_null(bool present, const std::string& text) { return present ? Json(text) : Json(); }

}  // namespace

Json tokens_per_second(int64_t tokens, double ms) {
  if (tokens <= 0 || ms <= 0.0) return nullptr;
  return rounded(1000.0 * static_cast<double>(tokens) / ms);
}

Json answer_json(const AnswerContext& context, const GenerationRequest& request,
                 const GenerationResult& result) {
  Json object = {{"model", context.model},
                 {"text", text_or_null(result.output.has_content, result.output.content)},
                 {"reasoning", text_or_null(result.output.has_reasoning, result.output.reasoning)},
                 {"tool_calls", calls_json(result.output.tool_calls)},
                 {"token_ids", result.token_ids},
                 {"finish_reason", finish_reason_name(result.finish_reason)},
                 {"usage", usage_json(result)},
                 {"timings", timings_json(context, result)},
                 {"seed", request.seed}};
  if (result.complete) object["complete"] = *result.complete;
  add_logprobs(object, context, request, result);
  return object;
}

Json event_json(const OutputEvent& event, size_t call_index) {
  switch (event.kind) {
    case OutputEvent::Kind::kReasoning:
      return {{"type", "reasoning"}, {"text", event.text}};
    case OutputEvent::Kind::kContent:
      return {{"type", "text"}, {"text", event.text}};
    case OutputEvent::Kind::kToolCall:
      break;
  }
  return {{"type", "tool_call"}, {"tool_call", call_json(event.call, call_index)}};
}

Json stats_event_json(const AnswerContext& context, const GenerationResult& result) {
  return {
      {"type", "stats"}, {"usage", usage_json(result)}, {"timings", timings_json(context, result)}};
}

Json end_event_json(const AnswerContext& context, const GenerationRequest& request,
                    const GenerationResult& result) {
  Json object = {{"type", "end"},
                 {"model", context.model},
                 {"token_ids", result.token_ids},
                 {"finish_reason", finish_reason_name(result.finish_reason)},
                 {"seed", request.seed}};
  if (result.complete) object["complete"] = *result.complete;
  add_logprobs(object, context, request, result);
  return object;
}

Json answer_message(const GenerationResult& result) {
  Json message = {{"role", "assistant"}, {"content", result.output.content}};
  if (result.output.has_reasoning) message["reasoning"] = result.output.reasoning;
  if (!result.output.tool_calls.empty()) {
    message["tool_calls"] = calls_json(result.output.tool_calls);
  }
  return message;
}

std::string json_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace gemma4
