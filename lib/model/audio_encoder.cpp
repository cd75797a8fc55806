#include "lib/model/audio_encoder.h"

#include <cmath>
#include <numbers>
#include <string>

#include "lib/base/error.h"
#include "lib/model/config_reader.h"

namespace gemma4 {
namespace {

constexpr int64_t kBatchTokens = 1500;  // clips are taken together up to this many soft tokens
const std::string kPrefix = "model.audio_tower.";

// Row `distance` of the sinusoidal table (4.7): sines, then cosines. The official implementation
// makes the frequencies while constants have the config's dtype: exponent and result are rounded.
std::vector<float> relative_positions(int64_t distances, int64_t hidden, Dtype dtype) {
  const int64_t half = hidden / 2;
  const double step = std::log(10000.0) / static_cast<double>(half - 1);
  std::vector<float> table(static_cast<size_t>(distances * hidden));
  for (int64_t distance = 0; distance < distances; ++distance) {
    for (int64_t i = 0; i < half; ++i) {
      const float exponent =
          round_to_dtype(static_cast<float>(-static_cast<double>(i) * step), dtype);
      const float frequency = round_to_dtype(std::exp(exponent), dtype);
      const double angle = static_cast<double>(distance) * frequency;
      float* row = table.data() + distance * hidden;
      row[i] = static_cast<float>(std::sin(angle));
      row[half + i] = static_cast<float>(std::cos(angle));
    }
  }
  return table;
}

}  // namespace

struct ConformerEncoder::Batch {
  Batch(Ops& ops, const AudioTowerConfig& config, std::span<const AudioInput> inputs)
      : memory(ops) {
    int64_t rows = 0;
    for (const AudioInput& input : inputs) {
      frames.push_back(static_cast<int64_t>(input.features.size()) / kMelBins);
      clips.push_back({rows, rows + (frames.back() + 3) / 4});
      rows = clips.back().end;
    }
    const int64_t d = config.hidden_size;
    for (Matrix* m : {&x, &normed, &branch, &q, &k, &v, &heads}) *m = memory.matrix(rows, d);
    wide = memory.matrix(rows, 2 * d);
  }

  Workspace memory;
  std::vector<int64_t> frames;  // of each clip
  std::vector<RowSpan> clips;   // in rows of soft tokens
  Matrix x;                     // residual stream
  Matrix normed;                // x after the norm that the next block reads
  Matrix branch;                // output of a block
  Matrix q, k, v, heads;
  Matrix wide;  // values and gates of the light convolution
};

ConformerEncoder::ConformerEncoder(TensorSource& source, const AudioTowerConfig& config,
                                   int32_t text_hidden_size, Ops& ops)
    : ops_(ops),
      config_(config),
      projector_(source, ops, "model.embed_audio", text_hidden_size, config.output_size,
                 config.rms_norm_eps) {
  const std::string subsampling = kPrefix + "subsample_conv_projection.";
  stages_[0] = load_stage(source, subsampling + "layer0.", 1, config.conv_channels[0]);
  stages_[1] =
      load_stage(source, subsampling + "layer1.", config.conv_channels[0], config.conv_channels[1]);
  input_proj_ = source.matrix(subsampling + "input_proj_linear", config.hidden_size,
                              int64_t{kMelBins / 4} * config.conv_channels[1]);
  ops.prepare(input_proj_);
  for (int32_t l = 0; l < config.num_layers; ++l) {
    layers_.push_back(load_layer(source, kPrefix + "layers." + std::to_string(l) + "."));
  }
  output_proj_.weight =
      source.matrix(kPrefix + "output_proj", config.output_size, config.hidden_size);
  ops.prepare(output_proj_.weight);
  output_proj_.bias = source.vector(kPrefix + "output_proj.bias", config.output_size);
}

// The file has [out, in, time, frequency]; the operation wants the input channel innermost.
Subsampling ConformerEncoder::load_stage(TensorSource& source, const std::string& prefix,
                                         int64_t in_channels, int64_t out_channels) const {
  const std::vector<float> stored =
      load_floats(source, ops_, prefix + "conv.weight", {out_channels, in_channels, 3, 3});
  auto kernel = std::make_shared<std::vector<float>>(stored.size());
  for (int64_t o = 0; o < out_channels; ++o) {
    for (int64_t c = 0; c < in_channels; ++c) {
      for (int64_t tap = 0; tap < 9; ++tap) {
        (*kernel)[static_cast<size_t>((o * 9 + tap) * in_channels + c)] =
            stored[static_cast<size_t>((o * in_channels + c) * 9 + tap)];
      }
    }
  }
  Subsampling stage;
  stage.channels = static_cast<int32_t>(in_channels);
  stage.weight.name = prefix + "conv.weight";
  stage.weight.rows = out_channels;
  stage.weight.cols = 9 * in_channels;
  stage.weight.dense = {kernel->data(), Dtype::kF32, {out_channels, 9 * in_channels}};
  stage.weight.owner = std::move(kernel);
  ops_.prepare(stage.weight);
  stage.norm = source.vector(prefix + "norm.weight", out_channels);
  stage.eps = config_.rms_norm_eps;
  return stage;
}

ConformerEncoder::Layer ConformerEncoder::load_layer(TensorSource& source,
                                                     const std::string& prefix) const {
  const int64_t d = config_.hidden_size;
  const auto norm = [&](const char* name) { return source.vector(prefix + name + ".weight", d); };
  const auto linear = [&](const char* name, int64_t rows) {
    return load_clipped_linear(source, ops_, prefix + name, rows, d, config_.clipped_linears);
  };
  Layer layer;
  layer.feed_forward1 = load_feed_forward(source, prefix + "feed_forward1.");
  layer.feed_forward2 = load_feed_forward(source, prefix + "feed_forward2.");
  layer.norm_pre_attn = norm("norm_pre_attn");
  layer.norm_post_attn = norm("norm_post_attn");
  layer.norm_out = norm("norm_out");
  layer.q_proj = linear("self_attn.q_proj", d);
  layer.k_proj = linear("self_attn.k_proj", d);
  layer.v_proj = linear("self_attn.v_proj", d);
  layer.post = linear("self_attn.post", d);
  layer.attention = load_attention(source, prefix + "self_attn.");
  layer.relative_k_proj = source.matrix(prefix + "self_attn.relative_k_proj", d, d);
  ops_.prepare(layer.relative_k_proj);
  layer.conv_pre_norm = norm("lconv1d.pre_layer_norm");
  layer.linear_start = linear("lconv1d.linear_start", 2 * d);
  layer.linear_end = linear("lconv1d.linear_end", d);
  layer.conv = load_conv(source, prefix + "lconv1d.");
  return layer;
}

ConformerEncoder::FeedForward ConformerEncoder::load_feed_forward(TensorSource& source,
                                                                  const std::string& prefix) const {
  const int64_t d = config_.hidden_size;
  const int64_t inner = 4 * d;
  FeedForward out;
  out.pre_layer_norm = source.vector(prefix + "pre_layer_norm.weight", d);
  std::vector<float> post = load_floats(source, ops_, prefix + "post_layer_norm.weight", {d});
  for (float& value : post) value *= config_.residual_weight;
  out.post_layer_norm = upload_floats(ops_, post);
  out.mlp.gate =
      load_clipped_linear(source, ops_, prefix + "ffw_layer_1", inner, d, config_.clipped_linears);
  out.mlp.down =
      load_clipped_linear(source, ops_, prefix + "ffw_layer_2", d, inner, config_.clipped_linears);
  return out;
}

RelativeAttention ConformerEncoder::load_attention(TensorSource& source,
                                                   const std::string& prefix) const {
  RelativeAttention out;
  out.head_dim = config_.head_dim();
  out.left_keys = config_.left_keys;
  out.softcap = config_.logit_cap;
  out.key_scale = static_cast<float>(std::log1p(std::numbers::e) / std::numbers::ln2);
  std::vector<float> scale = load_floats(source, ops_, prefix + "per_dim_scale", {out.head_dim});
  for (float& value : scale) {  // the file has it before its softplus
    const double softplus = std::log1p(std::exp(static_cast<double>(value)));
    value = static_cast<float>(softplus / (std::sqrt(out.head_dim) * std::numbers::ln2));
  }
  out.query_scale = upload_floats(ops_, scale);

  return out;
}

// They depend on the weights alone, and are computed when the first clip comes.
void ConformerEncoder::make_relative_keys() {
  const int64_t d = config_.hidden_size;
  const int64_t distances = config_.left_keys;
  Workspace memory(ops_);
  const std::vector<float> table = relative_positions(distances, d, config_.constants_dtype);
  const Matrix positions = memory.matrix(distances, d, table.data());
  const Matrix keys = memory.matrix(distances, d);
  std::vector<float> values(static_cast<size_t>(distances * d));
  for (Layer& layer : layers_) {
    if (layer.attention.relative_keys.size > 0) continue;
    const LinearTarget target{&layer.relative_k_proj, keys};
    ops_.linear(positions, {&target, 1});
    ops_.copy_to_host(values.data(), keys.data, values.size() * sizeof(float));
    layer.attention.relative_keys = upload_floats(ops_, values);
  }
}

// The file has [channel, 1, tap]; the operation wants the channel innermost.
LightConv ConformerEncoder::load_conv(TensorSource& source, const std::string& prefix) const {
  const int64_t d = config_.hidden_size;
  const int64_t taps = config_.conv_taps;
  const std::vector<float> stored =
      load_floats(source, ops_, prefix + "depthwise_conv1d.weight", {d, 1, taps});
  std::vector<float> kernel(stored.size());
  for (int64_t c = 0; c < d; ++c) {
    for (int64_t j = 0; j < taps; ++j) {
      kernel[static_cast<size_t>(j * d + c)] = stored[static_cast<size_t>(c * taps + j)];
    }
  }
  return {config_.conv_taps, upload_floats(ops_, kernel),
          source.vector(prefix + "conv_norm.weight", d), config_.rms_norm_eps};
}

std::vector<SoftTokens> ConformerEncoder::encode(std::span<const AudioInput> clips) {
  const auto tokens_of = [&](const AudioInput& clip) {
    return soft_tokens(static_cast<int64_t>(clip.features.size()) / kMelBins);
  };
  for (const AudioInput& clip : clips) {
    if (clip.features.empty() || clip.features.size() % kMelBins != 0) {
      throw Error(ErrorKind::kInput, "unusable audio", "the clip holds no whole frame");
    }
  }
  make_relative_keys();
  std::vector<SoftTokens> out;
  for (size_t first = 0; first < clips.size();) {
    size_t count = 0;
    int64_t tokens = 0;
    while (first + count < clips.size() &&
           (count == 0 || tokens + tokens_of(clips[first + count]) <= kBatchTokens)) {
      tokens += tokens_of(clips[first + count++]);
    }
    encode_batch(clips.subspan(first, count), out);
    first += count;
  }
  return out;
}

void ConformerEncoder::encode_batch(std::span<const AudioInput> clips,
                                    std::vector<SoftTokens>& out) {
  Batch batch(ops_, config_, clips);
  subsample(batch, clips);
  for (size_t l = 0; l < layers_.size(); ++l) run_layer(batch, l);
  const Matrix encoded = batch.memory.matrix(batch.x.rows, config_.output_size);
  const ClippedTarget target{&output_proj_, encoded};
  ops_.clipped_linear(batch.x, {&target, 1});
  show("tower_out", -1, encoded);
  for (const RowSpan clip : batch.clips) {
    out.push_back(projector_.project(rows_of(encoded, clip.begin, clip.end - clip.begin)));
  }
}

void ConformerEncoder::subsample(Batch& batch, std::span<const AudioInput> clips) {
  const int64_t channels = config_.conv_channels[1];
  const Matrix flat = batch.memory.matrix(batch.x.rows, kMelBins / 4 * channels);
  for (size_t i = 0; i < clips.size(); ++i) {
    Workspace memory(ops_);
    const int64_t frames = batch.frames[i];
    const Matrix mel = memory.matrix(frames, kMelBins, clips[i].features.data());
    const Matrix halved = memory.matrix((frames + 1) / 2, kMelBins / 2 * config_.conv_channels[0]);
    ops_.subsample(mel, stages_[0], halved);
    const RowSpan rows = batch.clips[i];
    ops_.subsample(halved, stages_[1], rows_of(flat, rows.begin, rows.end - rows.begin));
  }
  const LinearTarget target{&input_proj_, batch.x};
  ops_.linear(flat, {&target, 1});
  show("subsample_out", -1, batch.x);
}

void ConformerEncoder::run_layer(Batch& batch, size_t index) {
  const Layer& layer = layers_[index];
  const auto number = static_cast<int32_t>(index);
  const float eps = config_.rms_norm_eps;
  const auto linear = [&](Matrix x, const ClippedLinear& map, Matrix out) {
    const ClippedTarget target{&map, out};
    ops_.clipped_linear(x, {&target, 1});
  };
  ops_.rms_norm(batch.x, layer.feed_forward1.pre_layer_norm, eps, batch.normed);
  ops_.clipped_mlp(batch.normed, layer.feed_forward1.mlp, batch.branch);
  ops_.close_block(batch.x, batch.branch, layer.feed_forward1.post_layer_norm, eps, 1.0f,
                   layer.norm_pre_attn, batch.normed);
  show("ffw1_out", number, batch.x);

  const ClippedTarget inputs[] = {
      {&layer.q_proj, batch.q}, {&layer.k_proj, batch.k}, {&layer.v_proj, batch.v}};
  ops_.clipped_linear(batch.normed, inputs);
  ops_.relative_attention(batch.q, batch.k, batch.v, layer.attention, batch.clips, batch.heads);
  linear(batch.heads, layer.post, batch.branch);
  show("attn_out", number, batch.branch);
  ops_.close_block(batch.x, batch.branch, layer.norm_post_attn, eps, 1.0f, layer.conv_pre_norm,
                   batch.normed);

  linear(batch.normed, layer.linear_start, batch.wide);
  ops_.light_conv(batch.wide, layer.conv, batch.clips, batch.heads);
  linear(batch.heads, layer.linear_end, batch.branch);
  ops_.add_residual(batch.x, batch.branch, layer.feed_forward2.pre_layer_norm, eps, batch.normed);
  show("lconv_out", number, batch.x);

  ops_.clipped_mlp(batch.normed, layer.feed_forward2.mlp, batch.branch);
  ops_.close_block(batch.x, batch.branch, layer.feed_forward2.post_layer_norm, eps, 1.0f, {}, {});
  ops_.rms_norm(batch.x, layer.norm_out, eps, batch.x);
  show("out", number, batch.x);
}

}  // namespace gemma4
