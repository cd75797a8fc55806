#include "lib/runtime/ngram_draft.h"

#include <algorithm>

namespace gemma4 {
namespace {

constexpr size_t kShortest = 2;  // a single token says too little about what follows
constexpr size_t kLongest = 4;

}  // namespace

std::vector<TokenId> look_up_continuation(std::span<const TokenId> text, int64_t count) {
  size_t best = 0;  // length of the match
  size_t best_end = 0;
  for (size_t end = text.size(); end-- > kShortest && best < kLongest;) {
    size_t match = 0;
    while (match < std::min(kLongest, end) &&
           text[end - 1 - match] == text[text.size() - 1 - match]) {
      ++match;
    }
    if (match <= best) continue;
    best = match;
    best_end = end;
  }
  if (best < kShortest) return {};
  const auto rest = text.subspan(best_end);
  const auto size = std::min(rest.size(), static_cast<size_t>(count));
  return {rest.begin(), rest.begin() + static_cast<ptrdiff_t>(size)};
}

void NgramDraft::draft(std::span<DraftTask> tasks, Matrix) {
  std::vector<TokenId> text;
  for (DraftTask& task : tasks) {
    text.assign(task.prompt.begin(), task.prompt.end());
    text.insert(text.end(), task.answer.begin(), task.answer.end());
    task.tokens = look_up_continuation(text, task.count);
  }
}

}  // namespace gemma4
