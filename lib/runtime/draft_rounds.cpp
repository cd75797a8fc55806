#include "lib/runtime/draft_rounds.h"

#include <algorithm>

namespace gemma4 {

void DraftRounds::judge(BatchRequests requests, bool prefilled, double step_ms) {
  step_ms += draft_ms_;
  DraftControl& control = context_.speculation->control;
  int64_t answers = 0;
  int64_t drafted = 0;
  for (const auto& active : requests) {
    if (!active->decodes) continue;
    const auto count = static_cast<int64_t>(active->drafts.size());
    ++answers;
    drafted += count;
    active->session->take_back(count - static_cast<int64_t>(active->verified));
    // After an accepted draft that ends the answer the others are not judged.
    const bool cut = active->accepted > active->verified;
    const auto accepted = static_cast<int64_t>(active->accepted);
    const int64_t judged = cut ? accepted : count;
    control.learn(active->rates, judged, accepted);
    active->answer.result().drafts.add(judged, accepted);
  }
  if (!prefilled) control.time(answers, drafted, step_ms);
  const double plain_ms = prefilled ? step_ms : control.plain_ms(answers).value_or(step_ms);
  for (const auto& active : requests) {
    if (!active->decodes) continue;
    active->answer.result().drafts.plain_ms += plain_ms * static_cast<double>(active->verified + 1);
  }
}

void DraftRounds::draft(BatchRequests requests, Matrix hidden) {
  const auto started = Clock::now();
  Speculation& speculation = *context_.speculation;
  std::vector<BatchRequest*> answers;
  for (const auto& active : requests) {
    active->drafts.clear();
    if (active->settled && !active->answer.ended()) answers.push_back(active.get());
  }
  speculation.control.begin_round(static_cast<int64_t>(answers.size()));
  std::vector<DraftTask> tasks;
  for (BatchRequest*& active : answers) {
    DraftTask task;
    task.sequence = active->session->sequence();
    task.stored = active->session->cached_tokens();
    task.prompt = active->request.prompt;
    task.answer = active->answer.ids();
    task.hidden_row = active->hidden_row;
    task.count = std::min(speculation.control.count(active->rates), most_drafts(*active));
    if (task.count > 0) {
      tasks.push_back(std::move(task));
    } else {
      active = nullptr;
    }
  }
  std::erase(answers, nullptr);
  if (!tasks.empty()) speculation.source->draft(tasks, hidden);
  for (size_t i = 0; i < tasks.size(); ++i) {
    answers[i]->drafts = answers[i]->answer.possible(std::move(tasks[i].tokens));
  }
  draft_ms_ = ms_since(started);
}

// That the answer and the context have room for.
int64_t DraftRounds::most_drafts(BatchRequest& active) const {
  const auto ahead = static_cast<int64_t>(active.next.size());
  const int64_t room = context_.context - active.session->cached_tokens() - ahead - 1;
  const int64_t most = std::min(kMaxTokensAtOnce - ahead, room);
  if (active.request.max_tokens < 0) return most;
  // Each round gives one token more than its drafts.
  return std::min(most, active.request.max_tokens - active.answer.result().completion_tokens - 1);
}

}  // namespace gemma4
