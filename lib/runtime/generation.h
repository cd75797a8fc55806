// What is asked of the engine, and what comes back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/sampling.h"
#include "lib/runtime/media_input.h"
#include "lib/text/grammar/token_mask.h"
#include "lib/text/output_parser.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {

class Session;

enum class FinishReason { kStop, kLength, kToolCalls, kInterrupted, kTerminated };

/// "stop", "length", "tool_calls", "interrupted", "terminated".
std::string_view finish_reason_name(FinishReason reason);

struct GenerationRequest {
  std::vector<TokenId> prompt;  // at least one id, all below the vocabulary's size
  /// Images, frames and clips in the prompt, ascending and apart. Soft tokens take the place of the
  /// ids at their positions (lib/runtime/media_prompt.h).
  std::vector<MediaSpan> media;
  SamplingParams sampling;
  uint64_t seed = 0;              // the same seed and prompt give the same answer
  int64_t max_tokens = -1;        // -1: until the context is full
  std::vector<TokenId> stop_ids;  // end the answer; see Engine::stop_ids
  bool ignore_eos = false;        // stop ids are answer like any other
  std::vector<std::string> stop;  // texts that end the answer, not part of it
  /// Nothing: log probabilities are not wanted. N: each token's own, and those of the N best.
  std::optional<int> logprobs;
  std::optional<int> prompt_logprobs;
  /// Parse channels and tool calls; otherwise all output is content.
  bool parse_output = true;
  OutputParserOptions parser;
  /// The grammar that the answer follows, at its start; null: none. Needs a tokenizer.
  std::shared_ptr<TokenConstraint> constraint;
  /// Keeps keys and values for the next request of the same conversation; null: none kept.
  Session* session = nullptr;
};

struct ScoredToken {
  TokenId id = 0;
  float logprob = 0.0f;  // natural log, after the final softcap, before temperature and penalties
};

struct TokenLogprob {
  ScoredToken token;
  std::vector<ScoredToken> top;  // the N best, best first
};

/// What became of drafted tokens.
struct DraftStats {
  int64_t rounds = 0;             // steps that verified drafts
  std::vector<int64_t> drafted;   // by position in the draft
  std::vector<int64_t> accepted;  // likewise
  /// What the answer's decoding would have taken without drafts; 0: not known.
  double plain_ms = 0.0;

  /// A round with `count` drafts, of which the first `taken` were accepted.
  void add(int64_t count, int64_t taken);
  /// The drafts of another answer.
  void add(const DraftStats& other);
  /// Sums.
  int64_t total_drafted() const;
  int64_t total_accepted() const;
};

struct GenerationResult {
  ParsedOutput output;             // without a tokenizer: empty
  std::vector<TokenId> token_ids;  // without the stop id, unless it was ignored
  FinishReason finish_reason = FinishReason::kStop;
  /// Of a constrained answer: whether it fits its grammar, which one that was cut may not.
  std::optional<bool> complete;
  int64_t prompt_tokens = 0;
  int64_t media_tokens = 0;       // of the prompt: soft tokens
  int64_t cached_tokens = 0;      // of the prompt: keys and values that were there already
  int64_t completion_tokens = 0;  // the stop id counts
  int64_t reasoning_tokens = 0;
  double ttft_ms = 0.0;  // request taken up -> first token on the host, media encoding included
  double prefill_ms = 0.0;
  double decode_ms = 0.0;  // first token -> last token; of a diffusion model: since the prompt
  DraftStats drafts;
  int64_t denoising_steps = 0;  // passes over canvases, of a diffusion model
  std::vector<TokenLogprob> logprobs;
  /// One entry a prompt token; the first has none.
  std::vector<std::optional<TokenLogprob>> prompt_logprobs;
};

/// Called on the thread that called Engine::generate.
struct GenerationCallbacks {
  /// A piece of answer of request `index`.
  std::function<void(size_t index, const OutputEvent& event)> on_event;
  /// A token of the answer was chosen (the stop id is not told), before its events.
  std::function<void(size_t index, TokenId token)> on_token;
  /// A denoising step is over: the likeliest tokens of the canvas, which may all change until it is
  /// `settled`.
  std::function<void(size_t index, std::span<const TokenId> canvas, bool settled)> on_canvas;
  /// Prompt tokens done and to do, over all requests.
  std::function<void(int64_t done, int64_t total)> on_prefill;
  /// Request `index` has ended; requests end in any order.
  std::function<void(size_t index, const GenerationResult& result)> on_result;
  /// Asked before every step: kInterrupted or kTerminated ends all requests now.
  std::function<std::optional<FinishReason>()> should_stop;
};

}  // namespace gemma4
