#include "lib/runtime/batch_step.h"

namespace gemma4 {
namespace {

class Composer {
 public:
  // The next token of an answer, those forced after it, and its drafts.
  void add_answer(BatchRequest& active) {
    active.next_drafts = active.next;
    active.next_drafts.insert(active.next_drafts.end(), active.drafts.begin(), active.drafts.end());
    const auto last = static_cast<int32_t>(active.next.size()) - 1;
    for (size_t i = 0; i <= active.drafts.size(); ++i) {
      want(last + static_cast<int32_t>(i), {&active, true, -1, i});
    }
    add(active, {.tokens = active.next_drafts});
  }

  // The next `count` tokens of a prompt.
  void add_prompt(BatchRequest& active, int64_t count) {
    const GenerationRequest& request = active.request;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t next = active.feed.fed() + i + 1;
      const bool last = next == active.feed.size();
      const bool scores = request.prompt_logprobs && !last;
      const bool samples = last && request.max_tokens != 0;
      if (!scores && !samples) continue;
      want(static_cast<int32_t>(i), {&active, samples, scores ? next : -1});
    }
    add(active, active.feed.segment(count));
  }

  BatchStep take() { return std::move(step_); }

 private:
  // `row`: of the segment that is added next.
  void want(int32_t row, LogitRow what) {
    what.hidden = static_cast<int32_t>(step_.rows.size());
    step_.wanted.push_back(num_rows_ + row);
    step_.rows.push_back(what);
  }

  void add(BatchRequest& active, Segment segment) {
    active.feeding = segment.tokens.size();
    segment.sequence = active.session->sequence();
    segment.first_position = static_cast<int32_t>(active.session->cached_tokens());
    step_.segments.push_back(segment);
    active.session->reserve(static_cast<int64_t>(active.feeding));
    num_rows_ += static_cast<int32_t>(active.feeding);
  }

  BatchStep step_;
  int32_t num_rows_ = 0;
};

}  // namespace

BatchStep compose_step(BatchRequests requests, int64_t max_chunk) {
  Composer composer;
  for (const auto& active : requests) {
    active->feeding = 0;
    active->settled = false;
    active->decodes = !active->prefilling();
    if (active->decodes) composer.add_answer(*active);
  }
  int64_t budget = max_chunk;
  for (const auto& active : requests) {
    if (!active->prefilling() || budget <= 0) continue;
    const int64_t count = active->feed.next_chunk(budget, max_chunk);
    if (count == 0) continue;
    budget -= count;
    composer.add_prompt(*active, count);
  }
  return composer.take();
}

void store_step(BatchRequests requests) {
  for (const auto& active : requests) {
    if (active->feeding == 0) continue;
    const auto count = static_cast<int64_t>(active->feeding);
    if (active->prefilling()) {
      active->session->append(active->feed.keys(count));
      active->feed.advance(count);
    } else {
      std::vector<PositionKey> keys;
      for (const TokenId token : active->next_drafts) keys.push_back(position_key(token));
      active->session->append(keys);
    }
  }
}

}  // namespace gemma4
