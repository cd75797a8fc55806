#include "lib/quant/quantize_plan.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "lib/base/error.h"
#include "lib/quant/module_pattern.h"
#include "lib/quant/text_modules.h"

namespace gemma4 {
namespace {

/// Experts up to this width lose too much at 4 bits: that of the 26B-A4B, which is why it is not
/// published as w4a16 (spec checkpoints-quant.md, 3.7).
constexpr int64_t kNarrowExpert = 704;

bool is_float(Dtype dtype) {
  return dtype == Dtype::kF32 || dtype == Dtype::kBf16 || dtype == Dtype::kF16;
}

std::string module_name(const std::string& tensor_name) {
  constexpr std::string_view kWeight = ".weight";
  return tensor_name.ends_with(kWeight) ? tensor_name.substr(0, tensor_name.size() - kWeight.size())
                                        : tensor_name;
}

/// "*" for any text; "re:" patterns pass through.
ModulePattern keep_pattern(const std::string& text) {
  std::string regex = text;
  if (!text.starts_with("re:")) {
    regex = "re:";
    for (const char c : text) regex += c == '*' ? ".*" : regex_escaped(std::string_view(&c, 1));
    regex += "$";
  }
  return ModulePattern(regex, "--keep " + text, ErrorKind::kUsage);
}

/// A pattern that finds a kept module under the names of transformers and of vLLM, whose prefixes
/// differ.
std::string ignore_pattern(const TextModule& module) {
  if (module.layer < 0) return "re:.*" + regex_escaped(module.part) + "$";
  const std::string layer = "re:.*\\.layers\\." + std::to_string(module.layer) + "\\.";
  if (module.is_expert_stack()) return layer + "(moe\\.)?experts(\\..*)?$";
  return layer + regex_escaped(module.part) + "$";
}

/// One pattern for each kind of module, wide enough for vLLM's fused names (qkv_proj): a class
/// target would take these before their parts are looked at.
std::string target_of(const TextModule& module) {
  if (module.is_expert_stack()) return "re:.*\\.experts\\..*_proj$";
  if (module.part.starts_with("self_attn.")) return "re:.*\\.self_attn\\.(q|k|v|o|qkv)_proj$";
  if (module.part.starts_with("mlp.")) return "re:.*\\.mlp\\.(gate|up|down|gate_up)_proj$";
  return "re:.*\\.per_layer_(input_gate|projection|model_projection)$";
}

/// Modules that vLLM computes as one must share their scheme. Empty: alone.
std::string fused_set_of(const TextModule& module) {
  const std::string layer = module.prefix + "layers." + std::to_string(module.layer);
  const std::string& part = module.part;
  if (part == "self_attn.q_proj" || part == "self_attn.k_proj" || part == "self_attn.v_proj") {
    return layer + ".self_attn.{q,k,v}_proj";
  }
  if (part == "mlp.gate_proj" || part == "mlp.up_proj") return layer + ".mlp.{gate,up}_proj";
  return module.is_expert_stack() ? layer + ".experts" : "";
}

QuantizeFormat format_of(QuantizeScheme scheme, const QuantizeOptions& options) {
  if (scheme == QuantizeScheme::kInt8) return kInt8PerChannel;
  return {.bits = 4, .group_size = options.group_size, .rule = options.rule};
}

Json weights_json(const QuantizeFormat& format) {
  const bool grouped = format.group_size > 0;
  return {{"num_bits", format.bits},
          {"type", "int"},
          {"symmetric", true},
          {"group_size", grouped ? Json(format.group_size) : Json(nullptr)},
          {"strategy", grouped ? "group" : "channel"},
          {"dynamic", false},
          {"actorder", nullptr},
          {"block_structure", nullptr},
          {"observer", "memoryless_minmax"},
          {"observer_kwargs", Json::object()},
          {"scale_dtype", nullptr},
          {"zp_dtype", nullptr}};
}

Json group_json(const std::set<std::string>& targets, const QuantizeFormat& format) {
  return {{"targets", targets},
          {"format", "pack-quantized"},
          {"input_activations", nullptr},
          {"output_activations", nullptr},
          {"weights", weights_json(format)}};
}

class Planner {
 public:
  Planner(const Checkpoint& source, const QuantizeOptions& options)
      : source_(source), options_(options), format_(format_of(options.scheme, options)) {}

  QuantizePlan run() {
    check_options();
    for (const std::string& pattern : options_.keep) keep_.push_back(keep_pattern(pattern));
    kept_any_.resize(keep_.size());
    for (const std::string& name : source_.names()) plan_tensor(name);
    check_result();
    plan_head();
    for (PlannedTensor& tensor : plan_.tensors) {
      for (const TensorDeclaration& declaration : declarations_of(source_, tensor)) {
        tensor.output_bytes += Tensor{nullptr, declaration.dtype, declaration.shape}.bytes();
      }
      plan_.source_bytes += tensor.source_bytes;
      plan_.output_bytes += tensor.output_bytes;
      plan_.quantized_matrices += static_cast<int64_t>(tensor.matrices.size());
    }
    plan_.config = config();
    return std::move(plan_);
  }

 private:
  void check_options() const {
    for (const char* key : {"quantization_config", "compression_config"}) {
      const auto found = source_.config().find(key);
      if (found == source_.config().end() || found->is_null()) continue;
      throw Error(ErrorKind::kModel, "the checkpoint is already quantised",
                  source_.directory().string(), "start from its bfloat16 form");
    }
    const bool uses_groups =
        options_.scheme == QuantizeScheme::kW4A16 || options_.lm_head == QuantizeScheme::kW4A16;
    if (!uses_groups) {
      if (options_.rule == RoundingRule::kGrid) {
        throw Error(ErrorKind::kUsage, "--rule grid needs --scheme w4a16");
      }
      return;
    }
    if (options_.group_size <= 0 || options_.group_size % 8 != 0) {
      throw Error(ErrorKind::kUsage, "group size " + std::to_string(options_.group_size),
                  "--group-size", "a multiple of 8 is needed");
    }
    if (options_.rule == RoundingRule::kGrid && 32 % options_.group_size != 0) {
      throw Error(ErrorKind::kUsage, "the QAT grid has groups of 32", "--group-size",
                  "use 32, or --rule minmax");
    }
  }

  bool is_kept(const std::string& module) {
    bool kept = false;
    for (size_t i = 0; i < keep_.size(); ++i) {
      if (!keep_[i].matches(module)) continue;
      kept_any_[i] = true;
      kept = true;
    }
    return kept;
  }

  void plan_tensor(const std::string& name) {
    PlannedTensor tensor;
    tensor.source = name;
    tensor.copied = true;
    tensor.source_bytes = source_.find(name)->bytes();
    const auto module = text_module_of(name);
    if (module) {
      const bool kept = is_kept(module_name(name));
      const std::string set = fused_set_of(*module);
      if (!set.empty()) {
        const auto [entry, is_new] = fused_sets_.emplace(set, kept);
        if (!is_new && entry->second != kept) {
          throw Error(ErrorKind::kUsage, "--keep would keep only some of " + set, name,
                      "vLLM computes them as one: keep all or none");
        }
      }
      if (kept) {
        ignore_.insert(ignore_pattern(*module));
      } else {
        tensor.copied = false;
        targets_.insert(target_of(*module));
        if (module->is_expert_stack()) {
          plan_experts(*module, tensor);
        } else {
          plan_linear(module_name(name), format_, tensor);
        }
      }
    }
    plan_.tensors.push_back(std::move(tensor));
  }

  /// The shape of a source tensor of this rank in a dtype that can be quantised.
  const std::vector<int64_t>& checked_shape(const std::string& name, size_t rank) const {
    const Tensor& tensor = *source_.find(name);
    if (!is_float(tensor.dtype) || tensor.shape.size() != rank || tensor.elements() == 0) {
      throw Error(
          ErrorKind::kModel,
          "tensor is " + std::string(dtype_name(tensor.dtype)) + " " + shape_text(tensor.shape),
          name, "F32, BF16 or F16 of rank " + std::to_string(rank) + " is expected");
    }
    return tensor.shape;
  }

  static void check_groups(const std::string& name, int64_t cols, const QuantizeFormat& format) {
    if (format.group_size == 0 || cols < format.group_size || cols % format.group_size == 0) return;
    throw Error(ErrorKind::kModel,
                "groups of " + std::to_string(format.group_size) + " do not divide " +
                    std::to_string(cols) + " columns",
                name, "choose another --group-size, or --keep this module");
  }

  void plan_linear(const std::string& module, const QuantizeFormat& format,
                   PlannedTensor& tensor) const {
    const auto& shape = checked_shape(tensor.source, 2);
    check_groups(tensor.source, shape[1], format);
    tensor.matrices.push_back({module, tensor.source, 0, shape[0], shape[1], format});
  }

  /// A stack [experts, rows, cols] becomes a matrix an expert, and gate_up one for each half.
  void plan_experts(const TextModule& module, PlannedTensor& tensor) const {
    const auto& shape = checked_shape(tensor.source, 3);
    const int64_t count = shape[0];
    const int64_t rows = shape[1];
    const int64_t cols = shape[2];
    check_groups(tensor.source, cols, format_);
    const bool is_down = module.part == "experts.down_proj";
    const int64_t width = is_down ? cols : rows / 2;
    if (options_.scheme == QuantizeScheme::kW4A16 && width <= kNarrowExpert && !options_.force) {
      throw Error(ErrorKind::kModel,
                  "experts only " + std::to_string(width) + " wide lose too much at 4 bits",
                  tensor.source, "use --scheme int8, --keep '*.experts.*', or --force");
    }
    if (!is_down && rows % 2 != 0) {
      throw Error(ErrorKind::kModel, "gate and up are not of one size", tensor.source);
    }
    const std::string stem = module.prefix + "layers." + std::to_string(module.layer) + ".experts.";
    for (int64_t e = 0; e < count; ++e) {
      const std::string expert = stem + std::to_string(e);
      const auto add = [&](const char* part, int64_t first, int64_t size) {
        tensor.matrices.push_back(
            {expert + part, tensor.source, e * rows + first, size, cols, format_});
      };
      if (is_down) {
        add(".down_proj", 0, rows);
      } else {
        add(".gate_proj", 0, rows / 2);
        add(".up_proj", rows / 2, rows / 2);
      }
    }
  }

  void check_result() const {
    for (size_t i = 0; i < keep_.size(); ++i) {
      if (!kept_any_[i]) {
        throw Error(ErrorKind::kUsage, "no text linear has this name", "--keep " + options_.keep[i],
                    "names are like model.language_model.layers.0.mlp.up_proj");
      }
    }
    if (targets_.empty()) {
      throw Error(ErrorKind::kModel, "nothing to quantise: no linears of a text decoder",
                  source_.directory().string());
    }
  }

  /// A tied head gets tensors of its own beside the embedding, which readers need unpacked.
  void plan_head() {
    if (!options_.lm_head) return;
    constexpr std::string_view kHead = "lm_head.weight";
    const auto find = [&](std::string_view ending) {
      return std::find_if(plan_.tensors.begin(), plan_.tensors.end(),
                          [&](const auto& tensor) { return tensor.source.ends_with(ending); });
    };
    auto head = find(kHead);
    const bool tied = head == plan_.tensors.end();
    if (tied) head = find("embed_tokens.weight");
    if (head == plan_.tensors.end()) {
      throw Error(ErrorKind::kModel, "no output head and no embedding to quantise",
                  source_.directory().string());
    }
    head->copied = tied;
    plan_linear(tied ? "lm_head" : module_name(head->source),
                format_of(*options_.lm_head, options_), *head);
    untied_ = tied;
  }

  Json config() const {
    Json config = source_.config();
    if (untied_) {
      config["tie_word_embeddings"] = false;
      if (config.contains("text_config") && config["text_config"].is_object()) {
        config["text_config"]["tie_word_embeddings"] = false;
      }
    }
    Json ignore = {"re:.*vision_tower.*", "re:.*vision_embedder.*", "re:.*audio_tower.*",
                   "re:.*embed_vision.*", "re:.*embed_audio.*",     "re:.*router.*"};
    Json groups = {{"group_0", group_json(targets_, format_)}};
    if (options_.lm_head) {
      groups["group_1"] = group_json({"re:.*lm_head$"}, format_of(*options_.lm_head, options_));
    } else {
      ignore.insert(ignore.begin(), "lm_head");
    }
    for (const std::string& pattern : ignore_) ignore.push_back(pattern);
    config["quantization_config"] = {{"quant_method", "compressed-tensors"},
                                     {"format", "pack-quantized"},
                                     {"quantization_status", "compressed"},
                                     {"global_compression_ratio", nullptr},
                                     {"kv_cache_scheme", nullptr},
                                     {"ignore", ignore},
                                     {"config_groups", groups}};
    return config;
  }

  const Checkpoint& source_;
  const QuantizeOptions& options_;
  QuantizeFormat format_;
  std::vector<ModulePattern> keep_;
  std::vector<bool> kept_any_;              // which of keep_ matched something
  std::map<std::string, bool> fused_sets_;  // kept or not
  std::set<std::string> targets_;
  std::set<std::string> ignore_;
  bool untied_ = false;
  QuantizePlan plan_;
};

}  // namespace

QuantizePlan plan_quantization(const Checkpoint& source, const QuantizeOptions& options) {
  return Planner(source, options).run();
}

std::vector<TensorDeclaration> declarations_of(const Checkpoint& source,
                                               const PlannedTensor& tensor) {
  const Tensor& stored = *source.find(tensor.source);
  std::vector<TensorDeclaration> declarations;
  if (tensor.copied) declarations.push_back({tensor.source, stored.dtype, stored.shape});
  for (const PlannedMatrix& matrix : tensor.matrices) {
    for (TensorDeclaration& declaration : declarations_of(stored.dtype, matrix)) {
      declarations.push_back(std::move(declaration));
    }
  }
  return declarations;
}

std::vector<TensorDeclaration> declarations_of(Dtype dtype, const PlannedMatrix& matrix) {
  const int64_t group_size = matrix.format.group_size;
  const int64_t groups = group_size == 0 || matrix.cols < group_size ? 1 : matrix.cols / group_size;
  const int64_t words = (matrix.cols * matrix.format.bits + 31) / 32;
  return {{matrix.module + ".weight_packed", Dtype::kI32, {matrix.rows, words}},
          {matrix.module + ".weight_scale", dtype, {matrix.rows, groups}},
          {matrix.module + ".weight_shape", Dtype::kI64, {2}}};
}

}  // namespace gemma4
