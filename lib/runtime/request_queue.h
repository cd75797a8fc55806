// Requests on their way through a runner: those that wait, those under way, what came of the
// others.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "lib/runtime/answer.h"
#include "lib/runtime/elapsed.h"
#include "lib/runtime/prompt_feed.h"
#include "lib/runtime/runner_context.h"
#include "lib/runtime/session_state.h"

namespace gemma4 {

/// A request under way.
struct ActiveRequest {
  /// Takes a sequence of the cache unless the request brings a session.
  ActiveRequest(size_t request_index, const GenerationRequest& what, const RunnerContext& context,
                const GenerationCallbacks& callbacks);

  /// Takes over what the session has of the prompt, of its first `limit` tokens.
  void reuse(int64_t limit);
  /// Tokens of the prompt whose keys and values are stored.
  int64_t prompt_fed() const { return feed.fed(); }

  size_t index;
  const GenerationRequest& request;
  std::unique_ptr<SessionState> own_session;  // when the request brings none
  SessionState* session;
  Answer answer;
  PromptFeed feed;  // of the prompt
  Clock::time_point started = Clock::now();
};

/// `Active` is an ActiveRequest with what a runner keeps beside.
template <typename Active>
class RequestQueue {
 public:
  RequestQueue(const RunnerContext& context, std::span<const GenerationRequest> requests,
               const GenerationCallbacks& callbacks)
      : context_(context), requests_(requests), callbacks_(callbacks), results_(requests.size()) {}

  /// Runs all requests to their ends: a request enters, with enter(active), as soon as a sequence
  /// is free; step() works on those that are active.
  template <typename Enter, typename Step>
  std::vector<GenerationResult> run(const Enter& enter, const Step& step) {
    while (true) {
      admit(enter);
      if (active_.empty()) return std::move(results_);
      const auto reason = callbacks_.should_stop ? callbacks_.should_stop() : std::nullopt;
      if (reason) {
        end_all(*reason);
      } else {
        step();
      }
      release_ended();
    }
  }

  std::span<const std::unique_ptr<Active>> active() const { return active_; }

  /// Encodes media that prompts wait for.
  void encode_media() const {
    std::vector<PromptFeed*> feeds;
    for (const auto& active : active_) feeds.push_back(&active->feed);
    encode_missing(feeds, context_.media);
  }

  void report_prefill() const {
    if (!callbacks_.on_prefill) return;
    int64_t done = 0;
    int64_t total = 0;
    for (const auto& active : active_) {
      done += active->prompt_fed();
      total += static_cast<int64_t>(active->request.prompt.size());
    }
    callbacks_.on_prefill(done, total);
  }

 private:
  template <typename Enter>
  void admit(const Enter& enter) {
    for (; next_ < requests_.size(); ++next_) {
      const GenerationRequest& request = requests_[next_];
      if (request.session == nullptr && context_.cache.free_sequences() == 0) return;
      active_.push_back(std::make_unique<Active>(next_, request, context_, callbacks_));
      enter(*active_.back());
    }
  }

  void end_all(FinishReason reason) {
    for (const auto& active : active_) active->answer.end(reason);
    for (; next_ < requests_.size(); ++next_) results_[next_].finish_reason = reason;
  }

  void release_ended() {
    std::erase_if(active_, [&](std::unique_ptr<Active>& active) {
      if (!active->answer.ended()) return false;
      results_[active->index] = std::move(active->answer.result());
      if (callbacks_.on_result) callbacks_.on_result(active->index, results_[active->index]);
      return true;
    });
  }

  const RunnerContext& context_;
  std::span<const GenerationRequest> requests_;
  const GenerationCallbacks& callbacks_;
  std::vector<std::unique_ptr<Active>> active_;
  size_t next_ = 0;  // of requests_
  std::vector<GenerationResult> results_;
};

}  // namespace gemma4
