#include "kernels/step.h"

#include "kernels/weight.h"

namespace gemma4 {

Step Step::select(const std::vector<int32_t>& rows) const {
  Step out;
  out.pages = pages;
  for (const int32_t row : rows) {
    const auto i = static_cast<size_t>(row);
    out.tokens.push_back(tokens[i]);
    out.positions.push_back(positions[i]);
    out.sequences.push_back(sequences[i]);
    for (size_t kind = 0; kind < kLayerKinds; ++kind) {
      out.visible[kind].push_back(visible[kind][i]);
    }
  }
  return out;
}

Weight Weight::row_slice(int64_t first, int64_t count) const {
  Weight part;
  part.name = name;
  part.rows = count;
  part.cols = cols;
  part.dense = dense;
  part.dense.shape = {count, cols};
  part.dense.data = static_cast<const std::byte*>(dense.data) +
                    static_cast<size_t>(first * cols) * (dtype_bits(dense.dtype) / 8);
  return part;
}

}  // namespace gemma4
