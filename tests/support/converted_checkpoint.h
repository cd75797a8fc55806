// A golden checkpoint as our own converter quantises it, in a directory of its own.
#pragma once

#include "lib/quant/quantize_checkpoint.h"
#include "tests/support/golden_files.h"
#include "tests/support/scratch_dir.h"

namespace gemma4 {

class ConvertedCheckpoint {
 public:
  ConvertedCheckpoint(const std::string& golden, QuantizeScheme scheme, int64_t group_size,
                      const std::vector<std::string>& keep = {}) {
    QuantizeOptions options;
    options.scheme = scheme;
    options.group_size = group_size;
    options.keep = keep;
    options.force = true;
    quantize_checkpoint(golden_dir(golden), directory(), options, {});
  }
  std::filesystem::path directory() const { return scratch_.path() / "converted"; }

 private:
  ScratchDir scratch_;
};

}  // namespace gemma4
