#include "lib/model/vision_encoder.h"

#include <cmath>
#include <string>

namespace gemma4 {
namespace {

constexpr int64_t kBatchPatches = 5040;  // images are taken together up to this many patches
constexpr int32_t kKeyBlock = 64;        // positions in one block of keys
const std::string kPrefix = "model.vision_tower.";

}  // namespace

struct VisionEncoder::Batch {
  // Each image is a sequence of the step, so that its patches see each other and nothing else.
  Batch(Ops& ops, const VisionTowerConfig& config, std::span<const PatchGrid> image_grids)
      : memory(ops), grids(image_grids) {
    pages.block_size = kKeyBlock;
    int32_t blocks = 0;
    for (size_t i = 0; i < grids.size(); ++i) {
      const auto count = static_cast<int32_t>(grids[i].count());
      pages.blocks.emplace_back();
      for (int32_t first = 0; first < count; first += kKeyBlock) {
        pages.blocks.back().push_back(blocks++);
      }
      for (int32_t p = 0; p < count; ++p) {
        step.positions.push_back(p);
        step.sequences.push_back(static_cast<int32_t>(i));
        step.visible[static_cast<size_t>(LayerKind::kFull)].push_back({0, count});
      }
    }
    step.tokens.assign(step.positions.size(), 0);
    step.pages[static_cast<size_t>(LayerKind::kFull)] = &pages;
    const int64_t rows = step.rows();
    const int64_t heads = int64_t{config.num_heads} * config.head_dim;
    x = memory.matrix(rows, config.hidden_size);
    normed = memory.matrix(rows, config.hidden_size);
    branch = memory.matrix(rows, config.hidden_size);
    for (Matrix* m : {&q, &k, &v}) *m = memory.matrix(rows, heads);
    kv = {LayerKind::kFull,
          Dtype::kF32,
          config.num_heads,
          config.head_dim,
          kKeyBlock,
          memory.matrix(int64_t{blocks} * kKeyBlock, heads).data,
          memory.matrix(int64_t{blocks} * kKeyBlock, heads).data};
    make_angles(config);
  }

  // Half a head turns with the column, half with the row, both at the same frequencies (2.5).
  void make_angles(const VisionTowerConfig& config) {
    const int64_t pairs = config.head_dim / 4;
    std::vector<float> cosines, sines;
    const auto add = [&](int64_t position) {
      for (int64_t i = 0; i < pairs; ++i) {
        const float exponent = static_cast<float>(2 * i) / static_cast<float>(2 * pairs);
        const float frequency = 1.0f / std::pow(config.rope_theta, exponent);
        const float angle = static_cast<float>(position) * frequency;
        cosines.push_back(static_cast<float>(std::cos(static_cast<double>(angle))));
        sines.push_back(static_cast<float>(std::sin(static_cast<double>(angle))));
      }
    };
    for (const PatchGrid& grid : grids) {
      for (int64_t p = 0; p < grid.count(); ++p) {
        add(p % grid.columns);
        add(p / grid.columns);
      }
    }
    cosine = memory.matrix(step.rows(), 2 * pairs, cosines.data());
    sine = memory.matrix(step.rows(), 2 * pairs, sines.data());
  }

  Workspace memory;
  std::span<const PatchGrid> grids;
  KvPages pages;
  Step step;
  KvLayer kv;
  Matrix x;             // residual stream
  Matrix normed;        // x after the norm that the next block reads
  Matrix branch;        // output of a block
  Matrix q, k, v;       // [patches, heads * head_dim]
  Matrix cosine, sine;  // [patches, head_dim / 2]
};

VisionEncoder::VisionEncoder(TensorSource& source, const VisionTowerConfig& config,
                             int32_t text_hidden_size, Ops& ops)
    : ops_(ops),
      config_(config),
      projector_(source, ops, "model.embed_vision", text_hidden_size, config.hidden_size,
                 config.rms_norm_eps) {
  const int64_t d = config.hidden_size;
  const int64_t positions = config.position_table_size;
  input_proj_ = source.matrix(kPrefix + "patch_embedder.input_proj", d, config.patch_values());
  ops.prepare(input_proj_);
  position_table_ = load_table(source, ops, kPrefix + "patch_embedder.position_embedding_table",
                               {2, positions, d}, 2 * positions, d);
  for (int32_t l = 0; l < config.num_layers; ++l) {
    layers_.push_back(load_layer(source, kPrefix + "encoder.layers." + std::to_string(l) + "."));
  }
  if (config.standardize) {
    std_bias_ = source.vector(kPrefix + "std_bias", d);
    std_scale_ = source.vector(kPrefix + "std_scale", d);
  }
}

VisionEncoder::Layer VisionEncoder::load_layer(TensorSource& source,
                                               const std::string& prefix) const {
  const int64_t d = config_.hidden_size;
  const int64_t heads = int64_t{config_.num_heads} * config_.head_dim;
  const int64_t inner = config_.intermediate_size;
  const auto norm = [&](const char* name, int64_t size) {
    return source.vector(prefix + name + ".weight", size);
  };
  const auto linear = [&](const char* name, int64_t rows, int64_t cols) {
    return load_clipped_linear(source, ops_, prefix + name, rows, cols, config_.clipped_linears);
  };
  Layer layer;
  layer.input_layernorm = norm("input_layernorm", d);
  layer.post_attention_layernorm = norm("post_attention_layernorm", d);
  layer.pre_feedforward_layernorm = norm("pre_feedforward_layernorm", d);
  layer.post_feedforward_layernorm = norm("post_feedforward_layernorm", d);
  layer.q_proj = linear("self_attn.q_proj", heads, d);
  layer.k_proj = linear("self_attn.k_proj", heads, d);
  layer.v_proj = linear("self_attn.v_proj", heads, d);
  layer.o_proj = linear("self_attn.o_proj", d, heads);
  layer.q_norm = norm("self_attn.q_norm", config_.head_dim);
  layer.k_norm = norm("self_attn.k_norm", config_.head_dim);
  layer.mlp = {linear("mlp.gate_proj", inner, d), linear("mlp.up_proj", inner, d),
               linear("mlp.down_proj", d, inner)};
  return layer;
}

std::vector<SoftTokens> VisionEncoder::encode(std::span<const ImageInput> images) {
  std::vector<PatchGrid> grids;
  for (const ImageInput& image : images) {
    grids.push_back(patch_grid(image, config_.patch_values(), max_grid(), config_.pooling_kernel));
  }
  std::vector<SoftTokens> out;
  for (size_t first = 0; first < images.size();) {
    size_t count = 0;
    int64_t patches = 0;
    while (first + count < images.size() &&
           (count == 0 || patches + grids[first + count].count() <= kBatchPatches)) {
      patches += grids[first + count++].count();
    }
    encode_batch(images.subspan(first, count), std::span(grids).subspan(first, count), out);
    first += count;
  }
  return out;
}

void VisionEncoder::encode_batch(std::span<const ImageInput> images,
                                 std::span<const PatchGrid> grids, std::vector<SoftTokens>& out) {
  Batch batch(ops_, config_, grids);
  const float eps = config_.rms_norm_eps;
  ops_.begin_step(batch.step);
  embed_patches(batch, images);
  ops_.rms_norm(batch.x, layers_[0].input_layernorm, eps, batch.normed);
  for (size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    const bool last = l + 1 == layers_.size();  // nothing is normed after it
    attend(batch, layer);
    ops_.clipped_mlp(batch.normed, layer.mlp, batch.branch);
    ops_.close_block(batch.x, batch.branch, layer.post_feedforward_layernorm, eps, 1.0f,
                     last ? Vector{} : layers_[l + 1].input_layernorm,
                     last ? Matrix{} : batch.normed);
    show("out", static_cast<int32_t>(l), batch.x);
  }
  ops_.end_step(batch.step);

  const int32_t kernel = config_.pooling_kernel;
  const float scale = std::sqrt(static_cast<float>(config_.hidden_size));
  int64_t first = 0;
  for (const PatchGrid& grid : grids) {
    const Matrix pooled = batch.normed.first(grid.count() / (kernel * kernel));
    ops_.pool(rows_of(batch.x, first, grid.count()), grid.columns, kernel, scale, std_bias_,
              std_scale_, pooled);
    show("tower_out", -1, pooled);
    out.push_back(projector_.project(pooled));
    first += grid.count();
  }
}

void VisionEncoder::embed_patches(Batch& batch, std::span<const ImageInput> images) {
  std::vector<float> pixels;
  std::vector<int32_t> rows;
  for (const ImageInput& image : images) {
    for (const float value : image.patches) pixels.push_back(2.0f * (value - 0.5f));
    for (size_t i = 0; i < image.positions.size(); i += 2) {
      rows.push_back(image.positions[i]);
      rows.push_back(config_.position_table_size + image.positions[i + 1]);
    }
  }
  const Matrix input = batch.memory.matrix(batch.x.rows, config_.patch_values(), pixels.data());
  const LinearTarget target{&input_proj_, batch.x};
  ops_.linear(input, {&target, 1});
  ops_.add_table_rows(batch.x, position_table_, rows);
  show("patch_embed", -1, batch.x);
}

void VisionEncoder::attend(Batch& batch, const Layer& layer) {
  const float eps = config_.rms_norm_eps;
  const int32_t head_dim = config_.head_dim;
  const ClippedTarget inputs[] = {
      {&layer.q_proj, batch.q}, {&layer.k_proj, batch.k}, {&layer.v_proj, batch.v}};
  ops_.clipped_linear(batch.normed, inputs);
  ops_.head_norm_rope_2d(batch.q, head_dim, layer.q_norm, eps, batch.cosine, batch.sine);
  ops_.head_norm_rope_2d(batch.k, head_dim, layer.k_norm, eps, batch.cosine, batch.sine);
  // The value norm has no weight; scores are not scaled (2.4).
  const Matrix v{batch.v.data, batch.v.dtype, batch.v.rows * config_.num_heads, head_dim};
  ops_.rms_norm(v, {}, eps, v);
  ops_.append_kv(batch.step, batch.k, batch.v, batch.kv);
  const Matrix heads = batch.k;  // its values are in kv now
  ops_.attention(batch.step, batch.q, batch.kv, heads);
  const ClippedTarget output{&layer.o_proj, batch.branch};
  ops_.clipped_linear(heads, {&output, 1});
  ops_.close_block(batch.x, batch.branch, layer.post_attention_layernorm, eps, 1.0f,
                   layer.pre_feedforward_layernorm, batch.normed);
}

}  // namespace gemma4
