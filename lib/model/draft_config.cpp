#include "lib/model/draft_config.h"

#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/model/config_reader.h"

namespace gemma4 {
namespace {

const char* kind_name(LayerKind kind) { return kind == LayerKind::kFull ? "full" : "sliding"; }

void require_equal(const std::string& what, double draft, double target) {
  if (draft == target) return;
  throw Error(ErrorKind::kModel, "the draft model does not fit the model",
              fmt::format("{} is {}, the model's is {}", what, draft, target),
              "use the assistant that belongs to the model");
}

int32_t source_layer(const TextConfig& target, LayerKind kind) {
  for (int32_t l = target.num_layers() - 1; l >= 0; --l) {
    const LayerConfig& layer = target.layers[static_cast<size_t>(l)];
    if (layer.kind == kind && layer.owns_kv) return l;
  }
  throw Error(ErrorKind::kModel, "the draft model does not fit the model",
              std::string("it has ") + kind_name(kind) + " attention layers, the model has none",
              "use the assistant that belongs to the model");
}

}  // namespace

DraftConfig parse_draft_config(const Json& config) {
  const ConfigReader top(config, "config.json");
  const std::string type = top.text("model_type");
  if (type != "gemma4_assistant" && type != "gemma4_unified_assistant") {
    throw Error(ErrorKind::kModel, "not a draft model", "model_type \"" + type + "\"",
                "give a gemma4_assistant checkpoint, or --draft ngram");
  }
  DraftConfig out;
  const ConfigReader text = top.object("text_config");
  if (text.integer_or("hidden_size_per_layer_input", 0, 0, int64_t{1} << 24) != 0) {
    text.fail("hidden_size_per_layer_input", "an assistant has no per-layer inputs");
  }
  out.text = parse_text_config(top, text, KvOwner::kAnotherModel);
  if (out.text.num_experts > 0) text.fail("enable_moe_block", "an assistant has no experts");
  if (text.boolean_or("use_double_wide_mlp", false)) {
    text.fail("use_double_wide_mlp", "is not supported in an assistant");
  }
  out.backbone_hidden_size =
      static_cast<int32_t>(top.integer("backbone_hidden_size", 1, int64_t{1} << 24));
  // The larger assistants carry num_centroids without using it.
  if (top.boolean_or("use_ordered_embeddings", false)) {
    out.num_centroids =
        static_cast<int32_t>(top.integer_or("num_centroids", 2048, 1, out.text.vocab_size));
    if (out.text.vocab_size % out.num_centroids != 0) {
      top.fail("num_centroids", "does not divide vocab_size");
    }
    out.centroid_top_k = static_cast<int32_t>(
        top.integer_or("centroid_intermediate_top_k", 32, 1, out.num_centroids));
  }
  return out;
}

void bind_to_target(DraftConfig& draft, const TextConfig& target) {
  require_equal("backbone_hidden_size", draft.backbone_hidden_size, target.hidden_size);
  require_equal("vocab_size", draft.text.vocab_size, target.vocab_size);
  require_equal("sliding_window", draft.text.sliding_window, target.sliding_window);
  for (LayerConfig& layer : draft.text.layers) {
    layer.kv_layer = source_layer(target, layer.kind);
    const LayerConfig& source = target.layers[static_cast<size_t>(layer.kv_layer)];
    const std::string kind = kind_name(layer.kind);
    require_equal("head_dim of " + kind + " layers", layer.head_dim, source.head_dim);
    require_equal("num_key_value_heads of " + kind + " layers", layer.num_kv_heads,
                  source.num_kv_heads);
    const RopeConfig& own = draft.text.rope[static_cast<size_t>(layer.kind)];
    const RopeConfig& theirs = target.rope[static_cast<size_t>(layer.kind)];
    require_equal("rope_theta of " + kind + " layers", own.theta, theirs.theta);
    require_equal("partial_rotary_factor of " + kind + " layers", own.partial_rotary_factor,
                  theirs.partial_rotary_factor);
  }
}

}  // namespace gemma4
