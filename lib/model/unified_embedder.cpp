#include "lib/model/unified_embedder.h"

#include <string>

#include "lib/base/error.h"
#include "lib/model/patch_grid.h"

namespace gemma4 {
namespace {

constexpr float kLayerNormEps = 1e-5f;  // the default of the framework that trained it (3.1)

// The second spelling is that of the official implementation's own module tree (3.3).
std::string embedder_prefix(const TensorSource& source) {
  const std::string stored = "model.vision_embedder.";
  return source.has(stored + "pos_embedding") ? stored : "model.embed_vision.";
}

}  // namespace

UnifiedImageEmbedder::UnifiedImageEmbedder(TensorSource& source, const UnifiedVisionConfig& config,
                                           int32_t text_hidden_size, Ops& ops)
    : ops_(ops),
      config_(config),
      projector_(source, ops, "model.embed_vision", text_hidden_size, config.embed_dim,
                 config.rms_norm_eps) {
  const std::string prefix = embedder_prefix(source);
  const int64_t positions = config.position_table_size;
  const int64_t dim = config.embed_dim;
  patch_ln1_ = load_norm(source, prefix + "patch_ln1", config.patch_values());
  patch_dense_.weight = source.matrix(prefix + "patch_dense", dim, config.patch_values());
  ops.prepare(patch_dense_.weight);
  patch_dense_.bias = source.vector(prefix + "patch_dense.bias", dim);
  patch_ln2_ = load_norm(source, prefix + "patch_ln2", dim);
  position_table_ =
      load_table(source, ops, prefix + "pos_embedding", {positions, 2, dim}, 2 * positions, dim);
  pos_norm_ = load_norm(source, prefix + "pos_norm", dim);
}

UnifiedImageEmbedder::LayerNorm UnifiedImageEmbedder::load_norm(TensorSource& source,
                                                                const std::string& module,
                                                                int64_t size) const {
  return {source.vector(module + ".weight", size), source.vector(module + ".bias", size)};
}

std::vector<SoftTokens> UnifiedImageEmbedder::encode(std::span<const ImageInput> images) {
  for (const ImageInput& image : images) {
    patch_grid(image, config_.patch_values(), max_grid(), 1);
  }
  std::vector<SoftTokens> out;
  for (const ImageInput& image : images) {
    const auto count = static_cast<int64_t>(image.positions.size() / 2);
    std::vector<int32_t> rows;
    for (size_t i = 0; i < image.positions.size(); ++i) {
      rows.push_back(2 * image.positions[i] + static_cast<int32_t>(i % 2));
    }
    Workspace memory(ops_);
    const Matrix patches = memory.matrix(count, config_.patch_values(), image.patches.data());
    const Matrix x = memory.matrix(count, config_.embed_dim);
    ops_.layer_norm(patches, patch_ln1_.weight, patch_ln1_.bias, kLayerNormEps, patches);
    const ClippedTarget dense{&patch_dense_, x};
    ops_.clipped_linear(patches, {&dense, 1});
    ops_.layer_norm(x, patch_ln2_.weight, patch_ln2_.bias, kLayerNormEps, x);
    if (probe_) probe_("patch_ln2", x);
    ops_.add_table_rows(x, position_table_, rows);
    ops_.layer_norm(x, pos_norm_.weight, pos_norm_.bias, kLayerNormEps, x);
    if (probe_) probe_("pos_norm", x);
    out.push_back(projector_.project(x));
  }
  return out;
}

UnifiedAudioEmbedder::UnifiedAudioEmbedder(TensorSource& source, const UnifiedAudioConfig& config,
                                           int32_t text_hidden_size, Ops& ops)
    : ops_(ops),
      config_(config),
      projector_(source, ops, "model.embed_audio", text_hidden_size, config.frame_samples,
                 config.rms_norm_eps) {}

std::vector<SoftTokens> UnifiedAudioEmbedder::encode(std::span<const AudioInput> clips) {
  std::vector<SoftTokens> out;
  for (const AudioInput& clip : clips) {
    const auto values = static_cast<int64_t>(clip.features.size());
    if (values == 0 || values % config_.frame_samples != 0) {
      throw Error(ErrorKind::kInput, "unusable audio", "the clip holds no whole frame");
    }
    Workspace memory(ops_);
    out.push_back(projector_.project(memory.matrix(values / config_.frame_samples,
                                                   config_.frame_samples, clip.features.data())));
  }
  return out;
}

}  // namespace gemma4
