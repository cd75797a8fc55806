#include "lib/runtime/device_choice.h"

#include <doctest/doctest.h>

#include "kernels/backend.h"
#include "lib/base/error.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

EngineOptions preset(const std::string& name) {
  EngineOptions options;
  options.dummy_preset = source_dir() / "share/models" / (name + ".json");
  return options;
}

constexpr uint64_t kGib = uint64_t{1} << 30;

}  // namespace

TEST_CASE("the plan for a GPU counts weights as they are converted, and the whole context") {
  EngineOptions options = preset("31b");
  const MemoryPlan stored = gpu_memory_plan(options);
  CHECK(stored.weights > 57 * kGib);
  CHECK(stored.weights < 58 * kGib);
  options.weights.linears = WeightFormat::kInt8;
  CHECK(gpu_memory_plan(options).weights < stored.weights * 6 / 10);
  options.weights.linears = WeightFormat::kInt4;
  CHECK(gpu_memory_plan(options).weights < stored.weights * 4 / 10);
  options.context = 8192;
  CHECK(gpu_memory_plan(options).kv_full * 16 <= stored.kv_full);
}

TEST_CASE("flags that would make a model fit are named, and only those") {
  EngineOptions options = preset("31b");
  options.context = 8192;
  CHECK(flags_that_fit(options, 40 * kGib) == "--weights int8, --weights int4");
  CHECK(flags_that_fit(options, 28 * kGib) == "--weights int4");
  CHECK(flags_that_fit(options, 8 * kGib).empty());
  options.context = 0;
  const uint64_t almost = gpu_memory_plan(options).total() - kGib;
  CHECK(flags_that_fit(options, almost).find("--context 131072") != std::string::npos);
}

TEST_CASE("without a GPU auto is the CPU, and asking for one is an error of resources") {
  if (!gpu_devices().empty()) {
    MESSAGE("skipped: there is a CUDA device");
    return;
  }
  EngineOptions options = preset("e2b");
  CHECK(choose_device(options) == "cpu");
  options.device = "reference";
  CHECK(choose_device(options) == "reference");
  for (const char* device : {"cuda", "cuda:0", "cuda:7"}) {
    options.device = device;
    try {
      choose_device(options);
      FAIL("no error");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kResource);
    }
  }
  CHECK_THROWS_AS(make_backend("cuda:", {}), Error);
  CHECK_THROWS_AS(make_backend("cudax", {}), Error);
  CHECK_THROWS_AS(make_backend("gpu", {}), Error);
}

}  // namespace gemma4
