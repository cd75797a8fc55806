// Quantised weights kept beside a checkpoint: the same answers, and never a damaged or foreign
// file.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>

#include "lib/base/log.h"
#include "lib/runtime/engine.h"
#include "tests/support/golden_files.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/tensor_compare.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

fs::path copy_of(const std::string& golden, const ScratchDir& scratch) {
  const fs::path directory = scratch.path() / golden;
  fs::create_directory(directory);
  for (const char* file : {"config.json", "model.safetensors"}) {
    fs::copy_file(golden_dir(golden) / file, directory / file);
    fs::permissions(directory / file, fs::perms::owner_all);
  }
  return directory;
}

std::vector<float> logits(const fs::path& directory, WeightChoice choice, bool cache) {
  EngineOptions options;
  options.directory = directory;
  options.device = "cpu";
  options.weights = choice;
  options.cache_weights = cache;
  const auto engine = Engine::load(options);
  std::vector<float> all;
  const std::vector<TokenId> ids = {2, 110, 150, 7, 44};
  engine->score(ids,
                [&](std::span<const float> row) { all.insert(all.end(), row.begin(), row.end()); });
  return all;
}

fs::file_time_type long_ago(const fs::path& file) {
  const auto time = fs::file_time_type::clock::now() - std::chrono::hours(1000);
  fs::last_write_time(file, time);
  return fs::last_write_time(file);
}

constexpr WeightChoice kInt8{WeightFormat::kInt8, WeightFormat::kStored};
constexpr WeightChoice kInt4AndHead{WeightFormat::kInt4, WeightFormat::kInt8};

}  // namespace

TEST_CASE("cached weights give the logits of those made while loading, bit for bit") {
  for (const std::string golden : {"text-e", "text-31b", "text-moe"}) {
    for (const WeightChoice& choice : {kInt8, kInt4AndHead}) {
      if (golden == "text-moe" && choice.linears == WeightFormat::kInt4) continue;  // too narrow
      CAPTURE(golden);
      const ScratchDir scratch;
      const fs::path directory = copy_of(golden, scratch);
      const std::vector<float> expected = logits(directory, choice, false);
      CHECK(logits(directory, choice, true) == expected);
      const fs::path file =
          directory / (choice.lm_head == WeightFormat::kInt8 ? "gemma4-cache-int4-int8.weights"
                                                             : "gemma4-cache-int8-stored.weights");
      REQUIRE(fs::exists(file));
      const auto written = long_ago(file);
      CHECK(logits(directory, choice, true) == expected);
      CHECK(fs::last_write_time(file) == written);
    }
  }
}

TEST_CASE("a damaged cache, or one of other weights, is made anew") {
  set_log_level(LogLevel::kQuiet);
  const ScratchDir scratch;
  const fs::path directory = copy_of("text-e", scratch);
  const std::vector<float> expected = logits(directory, kInt8, true);
  const fs::path file = directory / "gemma4-cache-int8-stored.weights";
  const auto size = static_cast<int64_t>(fs::file_size(file));
  const auto flip = [&](int64_t at) {
    std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekg(at);
    const auto old = static_cast<char>(bytes.get());
    bytes.seekp(at);
    bytes.put(static_cast<char>(old ^ 0x40));
  };
  const auto is_made_anew = [&] {
    const auto damaged = long_ago(file);
    CHECK(logits(directory, kInt8, true) == expected);
    CHECK(fs::last_write_time(file) != damaged);
    CHECK(static_cast<int64_t>(fs::file_size(file)) == size);
  };
  for (const int64_t at : {int64_t{0}, int64_t{40}, size / 3, size / 2, size - 1}) {
    CAPTURE(at);
    flip(at);
    is_made_anew();
  }
  fs::resize_file(file, static_cast<uint64_t>(size / 2));
  is_made_anew();
  fs::resize_file(file, 0);
  is_made_anew();
  // The checkpoint's weights change: what was kept is of no use.
  {
    std::fstream weights(directory / "model.safetensors",
                         std::ios::in | std::ios::out | std::ios::binary);
    weights.seekp(-3000, std::ios::end);
    for (int i = 0; i < 1500; ++i) weights.write("\x80\x3f", 2);
  }
  const std::vector<float> other = logits(directory, kInt8, false);
  CHECK(logits(directory, kInt8, true) == other);
  set_log_level(LogLevel::kWarning);
}

TEST_CASE("a directory that cannot be written to is no obstacle") {
  set_log_level(LogLevel::kQuiet);
  const ScratchDir scratch;
  const fs::path directory = copy_of("text-e", scratch);
  fs::create_directory(directory / "gemma4-cache-int8-stored.weights");  // stands in the way
  CHECK(logits(directory, kInt8, true) == logits(directory, kInt8, false));
  set_log_level(LogLevel::kWarning);
}

}  // namespace gemma4
