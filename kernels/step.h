// Step: the ragged batch of one forward pass, and where keys and values lie.
//
// A step is one flat row of tokens from any number of sequences: a prompt, a chunk of one, 64
// sequences decoding one token each, four drafted tokens to verify, a diffusion canvas.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace gemma4 {

/// The two kinds of attention layer; each has its own key range per row and its own KV pages.
enum class LayerKind : uint8_t { kSliding = 0, kFull = 1 };
inline constexpr int kLayerKinds = 2;

/// Positions [begin, end) of its own sequence that a row attends to. Every attention rule of
/// Gemma 4 (causal, windowed, bidirectional inside an image, a canvas) is one such range a row.
struct KeyRange {
  int32_t begin = 0;
  int32_t end = 0;
};

/// Where the keys and values of sequences lie: position t of sequence s is in slot
/// t % block_size of block `blocks[s][(t / block_size) % blocks[s].size()]`. A table that covers
/// every position of a sequence never wraps; a shorter one is a ring (sliding layers).
struct KvPages {
  int32_t block_size = 0;
  std::vector<std::vector<int32_t>> blocks;  // [sequence][page]

  int64_t slot(int32_t sequence, int32_t position) const {
    const std::vector<int32_t>& table = blocks[static_cast<size_t>(sequence)];
    const int32_t page = position / block_size % static_cast<int32_t>(table.size());
    return static_cast<int64_t>(table[static_cast<size_t>(page)]) * block_size +
           position % block_size;
  }
};

/// What a backend keeps of a step between begin_step and end_step.
struct StepState {
  virtual ~StepState() = default;
};

/// Rows of one sequence are in the order of their positions, and rows of different sequences are
/// not interleaved.
struct Step {
  std::vector<int32_t> tokens;     // [rows]; a media placeholder is given as the pad token
  std::vector<int32_t> positions;  // [rows], counted from the sequence's first token
  std::vector<int32_t> sequences;  // [rows], index into KvPages::blocks
  std::array<std::vector<KeyRange>, kLayerKinds> visible;  // [kind][rows]
  std::array<const KvPages*, kLayerKinds> pages{};         // not owned
  /// Rows replaced by a media encoder's output instead of a looked-up embedding; ascending.
  std::vector<int32_t> soft_rows;
  std::vector<const float*> soft_embeddings;  // [soft_rows] host pointers to [hidden_size]
  std::unique_ptr<StepState> state;           // the backend's own

  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
  const KvPages& pages_of(LayerKind kind) const { return *pages[static_cast<size_t>(kind)]; }
  const std::vector<KeyRange>& visible_of(LayerKind kind) const {
    return visible[static_cast<size_t>(kind)];
  }
  /// The step that has only these rows (ascending), without soft rows.
  Step select(const std::vector<int32_t>& rows) const;
};

}  // namespace gemma4
