#include "lib/runtime/score_prompt.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "lib/runtime/matrix_rows.h"

namespace gemma4 {
namespace {

// A sequence of the cache for as long as this lives.
class ScoredSequence {
 public:
  explicit ScoredSequence(KvCache& cache) : cache_(cache), index_(cache.add_sequence()) {}
  ~ScoredSequence() { cache_.remove_sequence(index_); }
  ScoredSequence(const ScoredSequence&) = delete;
  ScoredSequence& operator=(const ScoredSequence&) = delete;

  int32_t index() const { return index_; }

 private:
  KvCache& cache_;
  int32_t index_;
};

}  // namespace

void score_prompt(const RunnerContext& context, std::span<const TokenId> ids,
                  const std::function<void(std::span<const float> logits)>& row) {
  constexpr int64_t kLogitRows = 32;  // at a time: a row is a megabyte
  const int64_t vocab = context.config.text.vocab_size;
  const auto logits = context.ops.allocate(static_cast<size_t>(kLogitRows * vocab) * sizeof(float));
  std::vector<float> host(static_cast<size_t>(vocab));
  const ScoredSequence sequence(context.cache);
  int32_t position = 0;
  while (!ids.empty()) {
    const auto tokens = ids.first(std::min(ids.size(), static_cast<size_t>(context.max_chunk)));
    ids = ids.subspan(tokens.size());
    context.cache.extend(sequence.index(), position + static_cast<int64_t>(tokens.size()));
    const Segment segment{sequence.index(), position, tokens};
    Step step = build_step(context.config.text, context.cache, {&segment, 1});
    std::vector<int32_t> wanted(tokens.size());
    std::iota(wanted.begin(), wanted.end(), 0);
    const Matrix hidden = context.decoder.forward(step, wanted, context.cache.layers());
    position += static_cast<int32_t>(tokens.size());
    for (int64_t first = 0; first < hidden.rows; first += kLogitRows) {
      const int64_t rows = std::min(kLogitRows, hidden.rows - first);
      const Matrix part = rows_of(hidden, first, rows);
      const Matrix out{logits->data(), Dtype::kF32, rows, vocab};
      context.decoder.logits(part, out);
      for (int64_t r = 0; r < rows; ++r) {
        context.ops.copy_to_host(host.data(), out.row(r), host.size() * sizeof(float));
        row(host);
      }
    }
  }
}

}  // namespace gemma4
