#include "lib/runtime/batch_runner.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "lib/base/error.h"
#include "lib/runtime/logprobs.h"

namespace gemma4 {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kLogitRows = 32;          // logits of a vocabulary are a megabyte a row
constexpr int64_t kSoftTokensAtOnce = 560;  // that are encoded before one step

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Uniform in [0, 1), a function of seed and token index alone, so that an answer does not depend
// on what else is in the batch. SplitMix64's finaliser (Steele, Lea, Flood: "Fast splittable
// pseudorandom number generators", OOPSLA 2014).
double uniform(uint64_t seed, uint64_t index) {
  uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

}  // namespace

struct BatchRunner::Active {
  Active(size_t request_index, const GenerationRequest& what, std::unique_ptr<SessionState> own,
         const RunnerContext& context, const GenerationCallbacks& callbacks)
      : index(request_index),
        request(what),
        own_session(std::move(own)),
        session(own_session ? own_session.get() : static_cast<SessionState*>(what.session)),
        answer(request_index, what, context.tokenizer, callbacks),
        rows(make_prompt_rows(context.config, what.prompt, what.media)) {}

  size_t index;
  const GenerationRequest& request;
  std::unique_ptr<SessionState> own_session;  // when the request brings none
  SessionState* session;
  Answer answer;
  PromptRows rows;
  std::vector<SoftTokensPtr> encodings;  // of the request's first media; null: not needed
  std::vector<TokenId> distinct_prompt;  // for the repetition penalty
  size_t fed = 0;                        // prompt tokens whose keys and values are stored
  size_t feeding = 0;                    // tokens in the step under way
  /// Once the prompt is done: the token to decode, and those that a grammar forces after it.
  std::vector<TokenId> next;
  std::vector<TokenId> drafts;       // after these, to be verified
  std::vector<TokenId> next_drafts;  // `next` and `drafts` together
  bool decodes = false;              // in the step under way, instead of prefilling
  size_t verified = 0;               // drafts whose keys and values are those of the answer
  size_t accepted = 0;               // drafts that became answer
  bool settled = false;              // the step has given its last token
  int32_t hidden_row = -1;           // of the step's hidden states: it chose that token
  DraftRates rates{};
  Clock::time_point started = Clock::now();
  Clock::time_point first_token;

  bool prefilling() const { return fed < request.prompt.size(); }
  /// Prompt tokens before the first medium that is not encoded yet.
  int64_t ready() const {
    if (encodings.size() == request.media.size()) {
      return static_cast<int64_t>(request.prompt.size());
    }
    return rows.block(request.media[encodings.size()].first).begin;
  }
  /// The next medium's encoding has come.
  void take(SoftTokensPtr tokens) {
    const MediaSpan& span = request.media[encodings.size()];
    const int64_t width = static_cast<int64_t>(tokens->values.size()) / tokens->rows;
    for (int64_t i = 0; i < tokens->rows; ++i) {
      rows.soft[static_cast<size_t>(span.first + i)] = tokens->values.data() + i * width;
    }
    encodings.push_back(std::move(tokens));
  }
};

struct BatchRunner::Row {
  Active* active;
  bool samples;         // the next token comes from this row
  int64_t prompt_next;  // index of the prompt token that this row's logits predict; -1: none
  size_t drafts = 0;    // that come before the row's own token
  int32_t hidden = 0;   // the row's place among the hidden states
};

BatchRunner::BatchRunner(const RunnerContext& context, std::span<const GenerationRequest> requests,
                         const GenerationCallbacks& callbacks)
    : context_(context),
      requests_(requests),
      callbacks_(callbacks),
      results_(requests.size()),
      logits_(context.ops.allocate(
          static_cast<size_t>(kLogitRows * context.config.text.vocab_size) * sizeof(float))),
      host_row_(static_cast<size_t>(context.config.text.vocab_size)) {}

BatchRunner::~BatchRunner() = default;

std::vector<GenerationResult> BatchRunner::run() {
  while (true) {
    admit();
    if (active_.empty()) return std::move(results_);
    const auto reason = callbacks_.should_stop ? callbacks_.should_stop() : std::nullopt;
    if (reason) {
      for (const auto& active : active_) active->answer.end(*reason);
      for (; next_request_ < requests_.size(); ++next_request_) {
        results_[next_request_].finish_reason = *reason;
      }
    } else {
      step();
    }
    finish_step();
  }
}

void BatchRunner::admit() {
  while (next_request_ < requests_.size()) {
    const GenerationRequest& request = requests_[next_request_];
    if (request.session == nullptr && context_.cache.free_sequences() == 0) return;
    std::unique_ptr<SessionState> own;
    if (request.session == nullptr) {
      own = std::make_unique<SessionState>(context_.cache, context_.config.text.sliding_window);
    }
    auto active =
        std::make_unique<Active>(next_request_, request, std::move(own), context_, callbacks_);
    ++next_request_;
    // The last token's logits are wanted, and those of all tokens to score the prompt.
    const auto length = static_cast<int64_t>(request.prompt.size());
    active->fed = static_cast<size_t>(
        active->session->synchronize(active->rows, request.prompt_logprobs ? 0 : length - 1));
    GenerationResult& result = active->answer.result();
    for (const MediaSpan& span : request.media) result.media_tokens += span.input->soft_tokens;
    result.prompt_tokens = static_cast<int64_t>(request.prompt.size());
    result.cached_tokens = static_cast<int64_t>(active->fed);
    if (request.prompt_logprobs) result.prompt_logprobs.resize(request.prompt.size());
    if (request.sampling.repetition_penalty != 1.0f) {
      std::set<TokenId> distinct(request.prompt.begin(), request.prompt.end());
      for (const MediaSpan& span : request.media) {  // no text that could be repeated
        distinct.erase(request.prompt[static_cast<size_t>(span.first)]);
      }
      active->distinct_prompt.assign(distinct.begin(), distinct.end());
    }
    if (context_.speculation != nullptr) active->rates = context_.speculation->control.recent();
    active_.push_back(std::move(active));
  }
}

void BatchRunner::encode_media() {
  std::vector<MediaInputPtr> wanted;
  std::vector<Active*> owners;
  int64_t tokens = 0;
  for (const auto& active : active_) {
    const std::vector<MediaSpan>& media = active->request.media;
    // What lies in the prefix that the session has is not needed.
    while (active->encodings.size() < media.size() &&
           media[active->encodings.size()].end() <= static_cast<int64_t>(active->fed)) {
      active->encodings.push_back(nullptr);
    }
    for (size_t i = active->encodings.size(); i < media.size(); ++i) {
      const bool is_kept = context_.media.find(*media[i].input) != nullptr;
      const int64_t count = is_kept ? 0 : media[i].input->soft_tokens;
      if (!wanted.empty() && tokens + count > kSoftTokensAtOnce) break;
      tokens += count;
      wanted.push_back(media[i].input);
      owners.push_back(active.get());
    }
  }
  if (wanted.empty()) return;
  const std::vector<SoftTokensPtr> encoded = context_.media.encode(wanted);
  for (size_t i = 0; i < encoded.size(); ++i) owners[i]->take(encoded[i]);
}

// Where the next chunk of a prompt ends when `budget` rows are left in this step: never inside an
// image block, whose rows see each other. A block that is longer than any chunk has a step to
// itself.
int64_t BatchRunner::chunk_end(const Active& active, int64_t budget) const {
  const auto fed = static_cast<int64_t>(active.fed);
  const int64_t end = std::min(active.ready(), fed + budget);
  if (end == static_cast<int64_t>(active.request.prompt.size())) return end;
  const KeyRange block = active.rows.block(end);
  if (block.begin == end) return end;
  if (block.begin > fed) return block.begin;
  return budget == context_.max_chunk ? block.end : fed;
}

// Answers first, then prompts, so that the rows of one kind lie together.
std::vector<BatchRunner::Row> BatchRunner::compose(std::vector<Segment>& segments,
                                                   std::vector<int32_t>& wanted) {
  std::vector<Row> rows;
  int32_t row = 0;
  const auto add = [&](Active& active, Segment segment) {
    active.feeding = segment.tokens.size();
    segment.sequence = active.session->sequence();
    segment.first_position = static_cast<int32_t>(active.session->cached_tokens());
    segments.push_back(segment);
    active.session->reserve(static_cast<int64_t>(active.feeding));
    row += static_cast<int32_t>(active.feeding);
  };
  const auto want = [&](int32_t index, Row what) {
    what.hidden = static_cast<int32_t>(rows.size());
    wanted.push_back(index);
    rows.push_back(what);
  };
  for (const auto& active : active_) {
    active->feeding = 0;
    active->settled = false;
    active->decodes = !active->prefilling();
    if (!active->decodes) continue;
    active->next_drafts = active->next;
    active->next_drafts.insert(active->next_drafts.end(), active->drafts.begin(),
                               active->drafts.end());
    for (size_t i = 0; i <= active->drafts.size(); ++i) {
      want(row + static_cast<int32_t>(active->next.size() - 1 + i), {active.get(), true, -1, i});
    }
    add(*active, {.tokens = active->next_drafts});
  }
  int64_t budget = context_.max_chunk;
  for (const auto& active : active_) {
    if (!active->prefilling() || budget <= 0) continue;
    const GenerationRequest& request = active->request;
    const auto count = static_cast<size_t>(chunk_end(*active, budget)) - active->fed;
    if (count == 0) continue;
    budget -= static_cast<int64_t>(count);
    for (size_t i = 0; i < count; ++i) {
      const size_t next = active->fed + i + 1;
      const bool last = next == request.prompt.size();
      const bool scores = request.prompt_logprobs && !last;
      const bool samples = last && request.max_tokens != 0;
      if (!scores && !samples) continue;
      want(row + static_cast<int32_t>(i),
           {active.get(), samples, scores ? static_cast<int64_t>(next) : -1});
    }
    const auto part = [&](const auto& values) {
      return values.empty() ? std::span(values) : std::span(values).subspan(active->fed, count);
    };
    add(*active, {.tokens = part(active->rows.tokens),
                  .blocks = part(active->rows.blocks),
                  .soft = part(active->rows.soft)});
  }
  return rows;
}

void BatchRunner::step() {
  encode_media();
  std::vector<Segment> segments;
  std::vector<int32_t> wanted;
  const std::vector<Row> rows = compose(segments, wanted);
  if (segments.empty()) return;  // all wait for their media
  Step step = build_step(context_.config.text, context_.cache, segments, context_.image_mask_rule);
  const auto started = Clock::now();
  const Matrix hidden = context_.decoder.forward(step, wanted, context_.cache.layers());
  const double forward_ms = ms_since(started);
  for (const auto& active : active_) {
    if (active->feeding == 0) continue;
    if (active->prefilling()) {
      active->session->append(std::span(active->rows.keys).subspan(active->fed, active->feeding));
    } else {
      std::vector<PositionKey> keys;
      for (const TokenId token : active->next_drafts) keys.push_back(position_key(token));
      active->session->append(keys);
    }
  }
  bool prefilled = false;
  for (const auto& active : active_) {
    if (active->feeding == 0 || !active->prefilling()) continue;
    prefilled = true;
    active->fed += active->feeding;
    active->answer.result().prefill_ms += forward_ms;
    if (active->prefilling()) continue;
    if (active->request.session != nullptr) active->session->save_ring();
    if (active->request.max_tokens == 0) active->answer.end(FinishReason::kLength);
  }
  use_logits(hidden, rows);
  if (context_.speculation != nullptr) {
    judge_drafts(prefilled, ms_since(started) + draft_ms_);
    draft(hidden);
  }
  if (prefilled) report_prefill();
}

void BatchRunner::use_logits(Matrix hidden, std::span<const Row> rows) {
  const int64_t vocab = context_.config.text.vocab_size;
  for (size_t first = 0; first < rows.size();) {
    size_t count = std::min(rows.size() - first, static_cast<size_t>(kLogitRows));
    // The rows of an answer and its drafts stay together.
    while (first + count < rows.size() && rows[first + count].drafts > 0) --count;
    const auto part = rows.subspan(first, count);
    const size_t width =
        static_cast<size_t>(hidden.cols) * static_cast<size_t>(dtype_bits(hidden.dtype) / 8);
    const Matrix logits{logits_->data(), Dtype::kF32, static_cast<int64_t>(count), vocab};
    context_.decoder.logits({static_cast<std::byte*>(hidden.data) + first * width, hidden.dtype,
                             static_cast<int64_t>(count), hidden.cols},
                            logits);
    for (size_t i = 0; i < count; ++i) {
      const Row& row = part[i];
      if (row.prompt_next < 0) continue;
      const auto next = static_cast<size_t>(row.prompt_next);
      context_.ops.copy_to_host(host_row_.data(), logits.row(static_cast<int64_t>(i)),
                                host_row_.size() * sizeof(float));
      row.active->answer.result().prompt_logprobs[next] = token_logprob(
          host_row_, row.active->request.prompt[next], *row.active->request.prompt_logprobs);
    }
    for (size_t begin = 0; begin < count;) {  // runs of rows that choose a token
      size_t end = begin;
      while (end < count && part[end].samples) ++end;
      if (end > begin) {
        sample({logits.row(static_cast<int64_t>(begin)), Dtype::kF32,
                static_cast<int64_t>(end - begin), vocab},
               part.subspan(begin, end - begin));
      }
      begin = end + 1;
    }
    first += count;
  }
}

void BatchRunner::sample(Matrix logits, std::span<const Row> rows) {
  // What the rows of one answer see if the drafts before them are accepted.
  struct Prospect {
    std::vector<TokenId> ids;
    std::vector<std::vector<uint64_t>> masks;
  };
  std::vector<Prospect> prospects(rows.size());  // at the first row of an answer
  std::vector<SampleRow> how;
  for (size_t i = 0; i < rows.size(); ++i) {
    Active& active = *rows[i].active;
    const size_t ahead = rows[i].drafts;
    const size_t known = active.answer.ids().size();
    Prospect& prospect = prospects[i - ahead];
    if (ahead == 0) {
      prospect.ids.assign(active.answer.ids().begin(), active.answer.ids().end());
      prospect.ids.insert(prospect.ids.end(), active.drafts.begin(), active.drafts.end());
      prospect.masks = active.answer.allowed_after(active.drafts);
    }
    SampleRow one;
    one.params = active.request.sampling;
    one.prompt_ids = active.distinct_prompt;
    one.output_ids = std::span(prospect.ids).first(known + ahead);
    one.suppressed = context_.config.generation.suppress_tokens;
    one.allowed = prospect.masks[ahead];
    one.random = uniform(active.request.seed, known + ahead);
    how.push_back(one);
  }
  std::vector<TokenId> tokens(rows.size());
  context_.ops.sample(logits, how, tokens.data());
  for (size_t i = 0; i < rows.size(); ++i) {
    take(rows[i], tokens[i], logits.row(static_cast<int64_t>(i)));
  }
}

void BatchRunner::take(const Row& row, TokenId token, const float* logits) {
  Active& active = *row.active;
  if (active.settled) return;  // a draft before this row was rejected, or the answer has ended
  const bool accepted = row.drafts < active.drafts.size() &&
                        context_.speculation->accepts(active.drafts[row.drafts], token);
  if (accepted) token = active.drafts[row.drafts];
  active.verified = row.drafts;
  active.accepted = row.drafts + (accepted ? 1 : 0);
  active.hidden_row = row.hidden;
  active.next = {token};
  GenerationResult& result = active.answer.result();
  std::optional<TokenLogprob> logprob;
  if (active.request.logprobs) {
    context_.ops.copy_to_host(host_row_.data(), logits, host_row_.size() * sizeof(float));
    logprob = token_logprob(host_row_, token, *active.request.logprobs);
  }
  if (result.completion_tokens == 0) {
    active.first_token = Clock::now();
    result.ttft_ms = ms_since(active.started);
  }
  result.decode_ms = ms_since(active.first_token);
  // Each token takes a position before another can follow it.
  const auto unverified = static_cast<int64_t>(active.drafts.size() - row.drafts);
  int64_t room = context_.context - (active.session->cached_tokens() - unverified) - 1;
  active.answer.push(token, std::move(logprob), room);
  active.settled = !accepted || active.answer.ended();
  // A token that the grammar forces after an accepted draft is what its row gives, too.
  while (active.settled && static_cast<int64_t>(active.next.size()) < kMaxTokensAtOnce) {
    const std::optional<TokenId> forced = active.answer.forced_token();
    if (!forced) break;
    active.next.push_back(*forced);
    active.answer.push(*forced, std::nullopt, --room);
  }
}

// Takes back the keys and values of rejected drafts, and learns from what became of them.
void BatchRunner::judge_drafts(bool prefilled, double step_ms) {
  DraftControl& control = context_.speculation->control;
  int64_t answers = 0;
  int64_t drafted = 0;
  for (const auto& active : active_) {
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
  for (const auto& active : active_) {
    if (!active->decodes) continue;
    active->answer.result().drafts.plain_ms += plain_ms * static_cast<double>(active->verified + 1);
  }
}

// Drafts for the next step, from the hidden states of this one.
void BatchRunner::draft(Matrix hidden) {
  const auto started = Clock::now();
  Speculation& speculation = *context_.speculation;
  std::vector<Active*> answers;
  for (const auto& active : active_) {
    active->drafts.clear();
    if (active->settled && !active->answer.ended()) answers.push_back(active.get());
  }
  speculation.control.begin_round(static_cast<int64_t>(answers.size()));
  std::vector<DraftTask> tasks;
  for (Active*& active : answers) {
    DraftTask task;
    task.sequence = active->session->sequence();
    task.stored = active->session->cached_tokens();
    task.prompt = active->request.prompt;
    task.answer = active->answer.ids();
    task.hidden_row = active->hidden_row;
    const auto ahead = static_cast<int64_t>(active->next.size());
    const GenerationResult& result = active->answer.result();
    // Each round gives one token more than its drafts.
    const int64_t wanted = active->request.max_tokens < 0
                               ? kMaxDraftTokens
                               : active->request.max_tokens - result.completion_tokens - 1;
    task.count =
        std::min({speculation.control.count(active->rates), wanted, kMaxTokensAtOnce - ahead,
                  context_.context - active->session->cached_tokens() - ahead - 1});
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

void BatchRunner::finish_step() {
  std::erase_if(active_, [&](std::unique_ptr<Active>& active) {
    if (!active->answer.ended()) return false;
    results_[active->index] = std::move(active->answer.result());
    if (callbacks_.on_result) callbacks_.on_result(active->index, results_[active->index]);
    return true;
  });
}

void BatchRunner::report_prefill() const {
  if (!callbacks_.on_prefill) return;
  int64_t done = 0;
  int64_t total = 0;
  for (const auto& active : active_) {
    done += static_cast<int64_t>(active->fed);
    total += static_cast<int64_t>(active->request.prompt.size());
  }
  callbacks_.on_prefill(done, total);
}

}  // namespace gemma4
