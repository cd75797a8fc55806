#include <algorithm>
#include <numeric>

#include "lib/runtime/generation.h"

namespace gemma4 {

void DraftStats::add(int64_t count, int64_t taken) {
  if (count <= 0) return;
  ++rounds;
  if (drafted.size() < static_cast<size_t>(count)) {
    drafted.resize(static_cast<size_t>(count));
    accepted.resize(static_cast<size_t>(count));
  }
  for (int64_t i = 0; i < count; ++i) {
    ++drafted[static_cast<size_t>(i)];
    if (i < taken) ++accepted[static_cast<size_t>(i)];
  }
}

void DraftStats::add(const DraftStats& other) {
  rounds += other.rounds;
  plain_ms += other.plain_ms;
  drafted.resize(std::max(drafted.size(), other.drafted.size()));
  accepted.resize(drafted.size());
  for (size_t i = 0; i < other.drafted.size(); ++i) {
    drafted[i] += other.drafted[i];
    accepted[i] += other.accepted[i];
  }
}

int64_t DraftStats::total_drafted() const {
  return std::accumulate(drafted.begin(), drafted.end(), int64_t{0});
}

int64_t DraftStats::total_accepted() const {
  return std::accumulate(accepted.begin(), accepted.end(), int64_t{0});
}

}  // namespace gemma4
