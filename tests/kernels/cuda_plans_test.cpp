// The CUDA backend's arithmetic of places and plans, which needs no GPU.
#ifdef GEMMA4_HAS_CUDA
#include <doctest/doctest.h>

#include <array>
#include <random>
#include <set>

#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/launch_log.h"
#include "kernels/cuda/layout.h"
#include "kernels/cuda/sampling_kernels.h"
#include "kernels/cuda/step_tables.h"

namespace gemma4::cuda {

TEST_CASE("codes of every width are found where they were put") {
  for (const int bits : {2, 4, 8}) {
    std::mt19937 random(1);
    std::vector<int> codes;
    std::vector<uint32_t> words(static_cast<size_t>(256 * bits / 32), 0);
    for (int64_t k = 0; k < 256; ++k) {
      codes.push_back(static_cast<int>(random() % (1u << bits)) - (1 << (bits - 1)));
      words[static_cast<size_t>(code_word(bits, k))] |= stored_code(bits, codes.back())
                                                        << code_shift(bits, k);
    }
    for (int64_t k = 0; k < 256; ++k) {
      const uint32_t word = words[static_cast<size_t>(code_word(bits, k))];
      const uint32_t mask = (1u << bits) - 1u;
      CHECK(signed_code(bits, word >> code_shift(bits, k) & mask) == codes[static_cast<size_t>(k)]);
      // Pairs lie 16 bits apart.
      if (k % 2 == 1) CHECK(code_shift(bits, k) == code_shift(bits, k - 1) + 16);
    }
  }
}

TEST_CASE("the lanes' streams cover each k of a piece once, the same k on both operands") {
  for (const int stream : {8, 16, 32}) {
    std::set<int> seen;
    for (int step = 0; step < stream / 4; ++step) {
      for (int lane = 0; lane < 4; ++lane) {  // lanes of one row differ in lane % 4 alone
        for (int reg = 0; reg < 2; ++reg) {
          for (int half = 0; half < 2; ++half) {
            seen.insert(stream_k(stream, lane, step, reg, half));
            // The tensor core's k of the weight's register is that of the activations' register.
            CHECK(b_row(lane, reg, half) == a_col(lane, 2 * reg, half));
            CHECK(b_row(lane, reg, half) == a_col(lane, 2 * reg + 1, half));
          }
        }
      }
    }
    CHECK(seen.size() == static_cast<size_t>(4 * stream));
    CHECK(*seen.rbegin() == 4 * stream - 1);
  }
}

TEST_CASE("eight lanes that read activations together find eight different banks") {
  for (const int stream : {8, 16, 32}) {
    for (int u = 0; u < stream / 8; ++u) {
      for (int first = 0; first < 32; first += 8) {  // a quarter of a warp at a time
        std::set<int> banks;
        for (int lane = first; lane < first + 8; ++lane) {
          const int unit = lane % 4 * (stream / 8) + u;
          banks.insert(swizzled_unit(stream, lane / 4, unit) % 8);
        }
        CHECK(banks.size() == 8);
      }
    }
    for (int row = 0; row < 2; ++row) {  // and no two units share a place
      std::set<int> places;
      for (int unit = 0; unit < 64; ++unit) places.insert(swizzled_unit(stream, row, unit));
      CHECK(places.size() == 64);
      CHECK(*places.rbegin() == 63);
    }
  }
}

TEST_CASE("a step's tables give the slots, ranges and runs of the step") {
  KvPages ring{16, {{7, 3}, {}, {5, 1, 9}}};
  KvPages full{16, {{0, 1, 2, 3, 4, 5}, {}, {10, 11, 12, 13, 14, 15}}};
  StepArrays arrays;
  for (int turn = 0; turn < 2; ++turn) {
    Step step;
    step.pages = {&ring, &full};
    for (int32_t r = 0; r < 9; ++r) {
      const bool second = r >= 5;
      step.tokens.push_back(100 + r);
      step.positions.push_back(second ? 70 + r : 20 + r + turn);
      step.sequences.push_back(second ? 2 : 0);
      step.visible[0].push_back({step.positions.back() - 3, step.positions.back() + 1});
      step.visible[1].push_back({0, step.positions.back() + 1});
    }
    step.soft_rows = {4};
    arrays.pack(step);
    const StepView view = arrays.view(arrays.words().data());
    CHECK(arrays.most_keys(LayerKind::kSliding) == 4);
    CHECK(arrays.most_keys(LayerKind::kFull) == 79);
    REQUIRE(arrays.runs().size() == 2);
    CHECK(view.runs[2] == 5);
    CHECK(view.runs[3] == 4);
    for (size_t r = 0; r < 9; ++r) {
      CHECK(view.tokens[r] == step.tokens[r]);
      CHECK(view.table_ids[r] == (r == 4 ? -1 : step.tokens[r]));
      for (const LayerKind kind : {LayerKind::kSliding, LayerKind::kFull}) {
        const auto k = static_cast<size_t>(kind);
        const int64_t slot = slot_of(view.page_table[k] + 2 * r, view.pages[k],
                                     step.pages[k]->block_size, step.positions[r]);
        CHECK(slot == step.pages[k]->slot(step.sequences[r], step.positions[r]));
        CHECK(view.visible[k][2 * r + 1] == step.visible[k][r].end);
      }
    }
  }
}

TEST_CASE("arrays of successive steps lie at the same places while they have room") {
  const KvPages pages{64, {{0, 1}, {2, 3}}};
  StepArrays arrays;
  const auto pack = [&](int32_t rows) {
    Step step;
    step.pages = {&pages, &pages};
    for (int32_t r = 0; r < rows; ++r) {
      step.tokens.push_back(0);
      step.positions.push_back(r);
      step.sequences.push_back(0);
      step.visible[0].push_back({0, 1});
      step.visible[1].push_back({0, 1});
    }
    arrays.pack(step);
    return arrays.view(nullptr).pages[1];
  };
  const int32_t* at = pack(1);
  CHECK(pack(64) == at);
  CHECK(pack(2) == at);
  CHECK(pack(65) != at);
}

TEST_CASE("tiles of queries cover every row and head of every run once") {
  const std::array<int32_t, 6> runs = {0, 5, 5, 1, 6, 40};
  for (const int32_t group : {1, 2, 3, 8, 16, 20}) {
    for (const int32_t tile : {16, 32, 64}) {
      int32_t count = 0;
      for (size_t run = 0; run < 3; ++run) count += tiles_of_run(runs[2 * run + 1], group, tile);
      std::set<std::pair<int32_t, int32_t>> seen;
      for (int32_t i = 0; i < count; ++i) {
        const QueryTile t = find_tile(runs.data(), 3, group, tile, i);
        for (int32_t s = t.first_slot; s < std::min(t.first_slot + tile, t.rows * group); ++s) {
          CHECK(seen.insert({t.first_row + s / group, s % group}).second);
        }
      }
      CHECK(seen.size() == static_cast<size_t>(46 * group));
    }
  }
}

TEST_CASE("keys are cut into whole tiles, alike while a sequence grows") {
  for (const int64_t blocks : {1, 8, 100, 5000}) {
    for (const int32_t keys : {1, 33, 512, 8000, 130000}) {
      const KeySplits cut = split_keys(blocks, keys, 16, 132, 1000);
      CHECK(cut.splits >= 1);
      CHECK(cut.splits <= 1000);
      if (cut.splits > 1) {
        CHECK(cut.keys % 16 == 0);
        CHECK(int64_t{cut.keys} * cut.splits >= keys);
        CHECK(int64_t{cut.keys} * (cut.splits - 1) < 2 * int64_t{keys});
      }
    }
  }
  const KeySplits a = split_keys(4, 4097, 16, 132, 1000);
  const KeySplits b = split_keys(4, 8192, 16, 132, 1000);
  CHECK(a.keys == b.keys);
  CHECK(a.splits == b.splits);
  CHECK(split_keys(4, 8192, 16, 132, 3).splits <= 3);
}

TEST_CASE("equal launches are equal words, others are not") {
  const int kernel = 0;
  const auto log_of = [&](float scale, int32_t rows, uint32_t grid) {
    LaunchLog log;
    log.add(&kernel, {.grid_x = grid, .threads = 32}, scale, rows, &kernel);
    log.add(&kernel, {.grid_x = 1, .threads = 64});
    return log;
  };
  const auto same = [](const LaunchLog& a, const LaunchLog& b) {
    return std::ranges::equal(a.words(), b.words());
  };
  CHECK(same(log_of(1.0f, 2, 3), log_of(1.0f, 2, 3)));
  CHECK(!same(log_of(1.0f, 2, 3), log_of(1.5f, 2, 3)));
  CHECK(!same(log_of(1.0f, 2, 3), log_of(1.0f, 4, 3)));
  CHECK(!same(log_of(1.0f, 2, 3), log_of(1.0f, 2, 5)));
  LaunchLog log = log_of(1.5f, 7, 3);
  int launches = 0;
  log.for_each([&](const Launch& launch) {
    if (launches++ > 0) return;
    CHECK(launch.shape.grid_x == 3);
    REQUIRE(launch.arguments.size() == 3);
    CHECK(*static_cast<float*>(launch.arguments[0]) == 1.5f);
    CHECK(*static_cast<int32_t*>(launch.arguments[1]) == 7);
  });
  CHECK(launches == 2);
}

TEST_CASE("penalties, suppressed ids and masks of a batch are gathered by row") {
  const std::vector<int32_t> prompt = {5, 3};
  const std::vector<int32_t> output = {3, 9, 3, 100};
  const std::vector<int32_t> suppressed = {9, -1, 50};
  const std::vector<uint64_t> allowed = {1, 2};
  SampleRow plain;
  SampleRow row{{.repetition_penalty = 1.2f}, prompt, output, suppressed, allowed, 0.5};
  const std::array<SampleRow, 2> rows = {plain, row};
  const SampleBatch batch = make_sample_batch(rows, 60);
  CHECK(batch.settings[0].num_changes == 0);
  CHECK(batch.settings[0].num_masks == -1);
  CHECK(batch.settings[1].num_masks == 2);
  REQUIRE(batch.settings[1].num_changes == 4);  // 3, 5, 9, 50; 100 is no id
  CHECK(batch.changes[0].id == 3);
  CHECK(batch.changes[0].count == 2);
  CHECK(batch.changes[1].count == 0);
  CHECK(batch.changes[2].suppressed == 1);
  CHECK(batch.changes[3].seen == 0);
}

}  // namespace gemma4::cuda
#endif
