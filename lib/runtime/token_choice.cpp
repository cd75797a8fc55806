#include "lib/runtime/token_choice.h"

#include <algorithm>
#include <optional>

#include "lib/runtime/logprobs.h"
#include "lib/runtime/matrix_rows.h"

namespace gemma4 {
namespace {

constexpr int64_t kLogitRows = 32;  // logits of a vocabulary are a megabyte a row

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

TokenChoice::TokenChoice(const RunnerContext& context)
    : context_(context),
      logits_(context.ops.allocate(
          static_cast<size_t>(kLogitRows * context.config.text.vocab_size) * sizeof(float))),
      host_row_(static_cast<size_t>(context.config.text.vocab_size)) {}

void TokenChoice::use(Matrix hidden, std::span<const LogitRow> rows) {
  for (size_t first = 0; first < rows.size();) {
    size_t count = std::min(rows.size() - first, static_cast<size_t>(kLogitRows));
    // The rows of an answer and its drafts stay together.
    while (first + count < rows.size() && rows[first + count].drafts > 0) --count;
    const Matrix part = rows_of(hidden, static_cast<int64_t>(first), static_cast<int64_t>(count));
    const Matrix logits{logits_->data(), Dtype::kF32, part.rows, context_.config.text.vocab_size};
    context_.decoder.logits(part, logits);
    use_logits(logits, rows.subspan(first, count));
    first += count;
  }
}

void TokenChoice::use_logits(Matrix logits, std::span<const LogitRow> rows) {
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i].prompt_next >= 0) score(rows[i], logits.row(static_cast<int64_t>(i)));
  }
  for (size_t begin = 0; begin < rows.size();) {  // runs of rows that choose a token
    size_t end = begin;
    while (end < rows.size() && rows[end].samples) ++end;
    if (end > begin) {
      sample(rows_of(logits, static_cast<int64_t>(begin), static_cast<int64_t>(end - begin)),
             rows.subspan(begin, end - begin));
    }
    begin = end + 1;
  }
}

void TokenChoice::score(const LogitRow& row, const float* logits) {
  const GenerationRequest& request = row.active->request;
  const auto next = static_cast<size_t>(row.prompt_next);
  context_.ops.copy_to_host(host_row_.data(), logits, host_row_.size() * sizeof(float));
  row.active->answer.result().prompt_logprobs[next] =
      token_logprob(host_row_, request.prompt[next], *request.prompt_logprobs);
}

void TokenChoice::sample(Matrix logits, std::span<const LogitRow> rows) {
  // What the rows of one answer see if the drafts before them are accepted.
  struct Prospect {
    std::vector<TokenId> ids;
    std::vector<std::vector<uint64_t>> masks;
  };
  std::vector<Prospect> prospects(rows.size());  // at the first row of an answer
  std::vector<SampleRow> how;
  for (size_t i = 0; i < rows.size(); ++i) {
    BatchRequest& active = *rows[i].active;
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

void TokenChoice::take(const LogitRow& row, TokenId token, const float* logits) {
  BatchRequest& active = *row.active;
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

}  // namespace gemma4
