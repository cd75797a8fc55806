#include "lib/runtime/request_queue.h"

namespace gemma4 {

ActiveRequest::ActiveRequest(size_t request_index, const GenerationRequest& what,
                             const RunnerContext& context, const GenerationCallbacks& callbacks)
    : index(request_index),
      request(what),
      own_session(what.session != nullptr ? nullptr
                                          : std::make_unique<SessionState>(
                                                context.cache, context.config.text.sliding_window)),
      session(own_session ? own_session.get() : static_cast<SessionState*>(what.session)),
      answer(request_index, what, context.tokenizer, callbacks),
      feed(context.config, what.prompt, what.media) {}

void ActiveRequest::reuse(int64_t limit) {
  const int64_t cached = session->synchronize(feed.rows(), limit);
  feed.skip(cached);
  GenerationResult& result = answer.result();
  for (const MediaSpan& span : request.media) result.media_tokens += span.input->soft_tokens;
  result.prompt_tokens = feed.size();
  result.cached_tokens = cached;
}

}  // namespace gemma4
