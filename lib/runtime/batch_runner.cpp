#include "lib/runtime/batch_runner.h"

#include <set>

#include "lib/runtime/batch_step.h"

namespace gemma4 {

BatchRunner::BatchRunner(const RunnerContext& context, std::span<const GenerationRequest> requests,
                         const GenerationCallbacks& callbacks)
    : context_(context), queue_(context, requests, callbacks), choice_(context) {
  if (context.speculation != nullptr) drafts_.emplace(context);
}

std::vector<GenerationResult> BatchRunner::run() {
  return queue_.run([this](BatchRequest& active) { enter(active); }, [this] { step(); });
}

void BatchRunner::enter(BatchRequest& active) const {
  const GenerationRequest& request = active.request;
  // The last token's logits are wanted, and those of all tokens to score the prompt.
  active.reuse(request.prompt_logprobs ? 0 : active.feed.size() - 1);
  if (request.prompt_logprobs) {
    active.answer.result().prompt_logprobs.resize(request.prompt.size());
  }
  if (request.sampling.repetition_penalty != 1.0f) {
    std::set<TokenId> distinct(request.prompt.begin(), request.prompt.end());
    for (const MediaSpan& span : request.media) {  // no text that could be repeated
      distinct.erase(request.prompt[static_cast<size_t>(span.first)]);
    }
    active.distinct_prompt.assign(distinct.begin(), distinct.end());
  }
  if (drafts_) active.rates = context_.speculation->control.recent();
}

void BatchRunner::step() {
  queue_.encode_media();
  const BatchRequests requests = queue_.active();
  const BatchStep batch = compose_step(requests, context_.max_chunk);
  if (batch.segments.empty()) return;  // all wait for their media
  Step step =
      build_step(context_.config.text, context_.cache, batch.segments, context_.image_mask_rule);
  const auto started = Clock::now();
  const Matrix hidden = context_.decoder.forward(step, batch.wanted, context_.cache.layers());
  const double forward_ms = ms_since(started);
  store_step(requests);
  bool prefilled = false;
  for (const auto& active : requests) {
    if (active->feeding == 0 || active->decodes) continue;
    prefilled = true;
    active->answer.result().prefill_ms += forward_ms;
    if (active->prefilling()) continue;
    if (active->request.session != nullptr) active->session->save_ring();
    if (active->request.max_tokens == 0) active->answer.end(FinishReason::kLength);
  }
  choice_.use(hidden, batch.rows);
  if (drafts_) {
    drafts_->judge(requests, prefilled, ms_since(started));
    drafts_->draft(requests, hidden);
  }
  if (prefilled) queue_.report_prefill();
}

}  // namespace gemma4
