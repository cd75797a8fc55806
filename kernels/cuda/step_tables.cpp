#include "kernels/cuda/step_tables.h"

#include <algorithm>
#include <bit>
#include <map>

namespace gemma4::cuda {
namespace {

constexpr size_t kAlign = 64;  // words: arrays begin on lines of their own

size_t aligned(size_t words) { return (words + kAlign - 1) / kAlign * kAlign; }

}  // namespace

// Capacities only grow, in powers of two, so that the offsets are those of most steps before.
void StepArrays::lay_out(size_t rows, const std::array<size_t, kLayerKinds>& pages) {
  row_capacity_ = std::max({row_capacity_, std::bit_ceil(rows), kAlign});
  size_t at = 0;
  const auto take = [&](size_t words) {
    const size_t begin = at;
    at += aligned(words);
    return begin;
  };
  at_.tokens = take(row_capacity_);
  at_.table_ids = take(row_capacity_);
  at_.positions = take(row_capacity_);
  at_.runs = take(2 * row_capacity_);
  for (size_t kind = 0; kind < kLayerKinds; ++kind) {
    page_capacity_[kind] = std::max({page_capacity_[kind], std::bit_ceil(pages[kind]), kAlign});
    at_.visible[kind] = take(2 * row_capacity_);
    at_.page_table[kind] = take(2 * row_capacity_);
  }
  for (size_t kind = 0; kind < kLayerKinds; ++kind) at_.pages[kind] = take(page_capacity_[kind]);
  at_.size = at_.pages[kLayerKinds - 1] + aligned(pages[kLayerKinds - 1]);
}

void StepArrays::pack(const Step& step) {
  rows_ = step.rows();
  const auto rows = static_cast<size_t>(rows_);
  runs_.clear();
  for (size_t r = 0; r < rows; ++r) {
    if (r == 0 || step.sequences[r] != step.sequences[r - 1]) {
      runs_.push_back({static_cast<int32_t>(r), 0});
    }
    ++runs_.back().count;
  }
  std::array<std::vector<int32_t>, kLayerKinds> pages;
  std::array<std::map<int32_t, std::pair<int32_t, int32_t>>, kLayerKinds> where;
  for (size_t kind = 0; kind < kLayerKinds; ++kind) {
    most_keys_[kind] = 0;
    for (const KeyRange& range : step.visible[kind]) {
      most_keys_[kind] = std::max(most_keys_[kind], range.end - range.begin);
    }
    if (step.pages[kind] == nullptr) continue;
    for (const RowRun& run : runs_) {
      const int32_t sequence = step.sequences[static_cast<size_t>(run.first)];
      const auto& table = step.pages[kind]->blocks.at(static_cast<size_t>(sequence));
      where[kind].try_emplace(sequence, static_cast<int32_t>(pages[kind].size()),
                              static_cast<int32_t>(table.size()));
      pages[kind].insert(pages[kind].end(), table.begin(), table.end());
    }
  }
  lay_out(rows, {pages[0].size(), pages[1].size()});
  words_.assign(at_.size, 0);
  std::copy(step.tokens.begin(), step.tokens.end(), words_.begin() + at_.tokens);
  std::copy(step.tokens.begin(), step.tokens.end(), words_.begin() + at_.table_ids);
  for (const int32_t row : step.soft_rows) words_[at_.table_ids + static_cast<size_t>(row)] = -1;
  std::copy(step.positions.begin(), step.positions.end(), words_.begin() + at_.positions);
  for (size_t i = 0; i < runs_.size(); ++i) {
    words_[at_.runs + 2 * i] = runs_[i].first;
    words_[at_.runs + 2 * i + 1] = runs_[i].count;
  }
  for (size_t kind = 0; kind < kLayerKinds; ++kind) {
    for (size_t r = 0; r < step.visible[kind].size(); ++r) {
      words_[at_.visible[kind] + 2 * r] = step.visible[kind][r].begin;
      words_[at_.visible[kind] + 2 * r + 1] = step.visible[kind][r].end;
    }
    if (step.pages[kind] == nullptr) continue;
    for (size_t r = 0; r < rows; ++r) {
      const auto [first, count] = where[kind].at(step.sequences[r]);
      words_[at_.page_table[kind] + 2 * r] = first;
      words_[at_.page_table[kind] + 2 * r + 1] = count;
    }
    std::copy(pages[kind].begin(), pages[kind].end(), words_.begin() + at_.pages[kind]);
  }
}

StepView StepArrays::view(const int32_t* device) const {
  StepView v;
  v.tokens = device + at_.tokens;
  v.table_ids = device + at_.table_ids;
  v.positions = device + at_.positions;
  v.runs = device + at_.runs;
  for (size_t kind = 0; kind < kLayerKinds; ++kind) {
    v.visible[kind] = device + at_.visible[kind];
    v.page_table[kind] = device + at_.page_table[kind];
    v.pages[kind] = device + at_.pages[kind];
  }
  return v;
}

}  // namespace gemma4::cuda
