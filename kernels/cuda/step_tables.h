// A step as kernels see it: its rows, key ranges and pages as flat arrays in device memory.
//
// All arrays of a step lie in one block, at offsets that depend on capacities alone, so that the
// same kernels with the same arguments serve the steps that follow.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels/step.h"

namespace gemma4::cuda {

/// Rows of a sequence that follow each other.
struct RowRun {
  int32_t first = 0;
  int32_t count = 0;
};

/// Device addresses; see StepArrays for what they hold.
struct StepView {
  const int32_t* tokens = nullptr;
  const int32_t* table_ids = nullptr;
  const int32_t* positions = nullptr;
  const int32_t* runs = nullptr;
  const int32_t* visible[kLayerKinds] = {};
  const int32_t* page_table[kLayerKinds] = {};
  const int32_t* pages[kLayerKinds] = {};
};

/// The arrays of one step in host memory, packed as they go to the device.
class StepArrays {
 public:
  /// Reads the step; its pages may change afterwards.
  void pack(const Step& step);

  /// Everything, to be copied to one device block of at least bytes().
  const std::vector<int32_t>& words() const { return words_; }
  size_t bytes() const { return words_.size() * sizeof(int32_t); }
  /// Where the arrays are once words() lies at `device`.
  StepView view(const int32_t* device) const;

  int64_t rows() const { return rows_; }
  const std::vector<RowRun>& runs() const { return runs_; }
  /// The most keys that a row of this kind of layer sees.
  int32_t most_keys(LayerKind kind) const { return most_keys_[static_cast<size_t>(kind)]; }

 private:
  struct Layout {
    size_t tokens = 0;                    // [rows]
    size_t table_ids = 0;                 // [rows] the token; -1 for a soft row
    size_t positions = 0;                 // [rows]
    size_t runs = 0;                      // [runs][2] first row, number of rows
    size_t visible[kLayerKinds] = {};     // [rows][2] begin, end
    size_t page_table[kLayerKinds] = {};  // [rows][2] first of its pages in `pages`, how many
    size_t pages[kLayerKinds] = {};       // block numbers of the sequences of this step
    size_t size = 0;
  };
  void lay_out(size_t rows, const std::array<size_t, kLayerKinds>& pages);

  std::vector<int32_t> words_;
  Layout at_;
  std::vector<RowRun> runs_;
  int64_t rows_ = 0;
  size_t row_capacity_ = 0;
  std::array<size_t, kLayerKinds> page_capacity_{};
  std::array<int32_t, kLayerKinds> most_keys_{};
};

/// Slot of a position as KvPages::slot has it, from the device's arrays.
constexpr int64_t slot_of(const int32_t* page_table_entry, const int32_t* pages, int32_t block_size,
                          int32_t position) {
  const int32_t page = position / block_size % page_table_entry[1];
  return static_cast<int64_t>(pages[page_table_entry[0] + page]) * block_size +
         position % block_size;
}

/// Attention takes the queries of a run in tiles of `tile` slots; slot i is row i / group, head
/// i % group of the key head's heads.
struct QueryTile {
  int32_t first_row = 0;   // of the run
  int32_t rows = 0;        // of the run
  int32_t first_slot = 0;  // in the run
};

constexpr int32_t tiles_of_run(int32_t rows, int32_t group, int32_t tile) {
  return (rows * group + tile - 1) / tile;
}

/// Tile number `index` of a step of `num_runs` runs (pairs first row, rows).
constexpr QueryTile find_tile(const int32_t* runs, int32_t num_runs, int32_t group, int32_t tile,
                              int32_t index) {
  for (int32_t run = 0; run < num_runs; ++run) {
    const int32_t count = tiles_of_run(runs[2 * run + 1], group, tile);
    if (index < count) return {runs[2 * run], runs[2 * run + 1], index * tile};
    index -= count;
  }
  return {};
}

}  // namespace gemma4::cuda
