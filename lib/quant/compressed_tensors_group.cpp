#include "lib/quant/compressed_tensors_group.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

/// The arguments of one tensor's quantisation with their defaults (quant_args.py).
struct QuantArgs {
  int64_t num_bits = 8;
  std::string type = "int";
  bool symmetric = true;
  int64_t group_size = 0;  // 0: not given
  std::string strategy;
  bool dynamic = false;
};

[[noreturn]] void refuse(const std::string& what, const std::string& where) {
  throw Error(ErrorKind::kModel, what + " is not supported", "quantization_config " + where,
              "compressed-tensors with int 2, 4 and 8 bit weights is");
}

/// A value for a message: long ones are cut.
std::string shown(const Json& value) {
  return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 80);
}

bool boolean(const Json& value, const std::string& key, const std::string& where) {
  if (!value.is_boolean()) refuse(key + " " + shown(value), where);
  return value.get<bool>();
}

int64_t integer(const Json& value, const std::string& key, const std::string& where) {
  if (!value.is_number_integer()) refuse(key + " " + shown(value), where);
  return value.get<int64_t>();
}

std::string text(const Json& value, const std::string& key, const std::string& where) {
  if (!value.is_string()) refuse(key + " " + shown(value), where);
  return value.get<std::string>();
}

/// Without `strategy` the group size implies it (quant_args.py).
std::string implied_strategy(const QuantArgs& args) {
  if (args.group_size > 0) return "group";
  return args.group_size == -1 ? "channel" : "tensor";
}

QuantArgs parse_args(const Json& object, const std::string& where) {
  if (!object.is_object()) refuse(shown(object), where);
  QuantArgs args;
  for (const auto& [key, value] : object.items()) {
    if (key == "observer" || key == "observer_kwargs" || key == "scale_dtype" ||
        key == "zp_dtype") {
      continue;  // how the writer found the values; the tensors say their own dtype
    }
    if (key == "num_bits") {
      args.num_bits = integer(value, key, where);
    } else if (key == "type") {
      args.type = text(value, key, where);
    } else if (key == "symmetric") {
      args.symmetric = boolean(value, key, where);
    } else if (key == "dynamic") {
      args.dynamic = boolean(value, key, where);  // refuses "local"
    } else if (key == "group_size") {
      if (!value.is_null()) args.group_size = integer(value, key, where);
    } else if (key == "strategy") {
      if (!value.is_null()) args.strategy = text(value, key, where);
    } else if (key == "actorder") {
      // A static order is already applied to the weights; "group" comes with weight_g_idx, which
      // the weight reader looks at.
      if (!value.is_null() && !value.is_boolean()) text(value, key, where);
    } else if (key == "block_structure") {
      if (!value.is_null()) refuse(key + " " + shown(value), where);
    } else {
      refuse("key \"" + printable(key, 80) + "\"", where);
    }
  }
  if (args.group_size < -1) refuse("group_size " + std::to_string(args.group_size), where);
  if (args.strategy.empty()) args.strategy = implied_strategy(args);
  return args;
}

void set_weights(const Json& object, const std::string& where, ModuleScheme& scheme) {
  const QuantArgs args = parse_args(object, where);
  if (args.type != "int") refuse("type \"" + printable(args.type, 80) + "\"", where);
  if (args.num_bits != 2 && args.num_bits != 4 && args.num_bits != 8) {
    refuse("num_bits " + std::to_string(args.num_bits), where);
  }
  if (args.dynamic) refuse("dynamic true", where);
  if (args.strategy == "group") {
    if (args.group_size <= 0) refuse("strategy \"group\" without a group_size", where);
    scheme.group_size = args.group_size;
  } else if (args.strategy != "channel") {
    refuse("strategy \"" + printable(args.strategy, 80) + "\"", where);
  }
  scheme.bits = static_cast<int>(args.num_bits);
  scheme.symmetric = args.symmetric;
}

ActivationScheme parse_activation(const Json& object, const std::string& where) {
  if (object.is_null()) return ActivationScheme::kNone;
  const QuantArgs args = parse_args(object, where);
  if (args.type != "int" || args.num_bits != 8) {
    refuse(printable(args.type, 80) + " of " + std::to_string(args.num_bits) + " bits", where);
  }
  if (!args.symmetric) refuse("symmetric false", where);
  if (args.dynamic && args.strategy == "token") return ActivationScheme::kDynamicInt8;
  if (!args.dynamic && args.strategy == "tensor") return ActivationScheme::kStaticInt8;
  refuse("strategy \"" + printable(args.strategy, 80) + "\" with dynamic " +
             (args.dynamic ? "true" : "false"),
         where);
}

std::vector<std::string> parse_targets(const Json& targets, const std::string& where) {
  if (!targets.is_array()) refuse("targets " + shown(targets), where);
  std::vector<std::string> result;
  for (const Json& target : targets) result.push_back(text(target, "target", where));
  return result;
}

void require_format(const std::string& format, const std::string& where) {
  if (format != "pack-quantized" && format != "int-quantized") {
    refuse("format \"" + printable(format, 80) + "\"", where);
  }
}

/// compressed-tensors' presets (quant_scheme.py) of integer weights.
ModuleScheme preset(const std::string& name, const std::string& where) {
  struct Preset {
    std::string_view name;
    ModuleScheme scheme;
  };
  static constexpr auto kDynamic = ActivationScheme::kDynamicInt8;
  static constexpr std::array kPresets = {
      Preset{"W8A16", {.bits = 8}},
      Preset{"W4A16", {.bits = 4, .group_size = 128}},
      Preset{"W4A16_ASYM", {.bits = 4, .symmetric = false, .group_size = 128}},
      Preset{"W4A8", {.bits = 4, .group_size = 128, .activation = kDynamic}},
      Preset{"W8A8", {.bits = 8, .activation = kDynamic}},
      Preset{"INT8", {.bits = 8, .activation = kDynamic}},
  };
  for (const Preset& preset : kPresets) {
    if (preset.name == name) return preset.scheme;
  }
  refuse("preset \"" + printable(name, 80) + "\"", where);
}

}  // namespace

CompressedTensorsGroup parse_compressed_tensors_group(const std::string& name, const Json& group,
                                                      const std::string& file_format) {
  const std::string where = "config_groups \"" + printable(name, 80) + "\"";
  CompressedTensorsGroup result;
  if (group.is_array()) {
    result.targets = parse_targets(group, where);
    result.scheme = preset(name, where);
    require_format(file_format, where);
    return result;
  }
  if (!group.is_object()) refuse(shown(group), where);
  std::string format = file_format;
  bool has_weights = false;
  ActivationScheme output = ActivationScheme::kNone;
  for (const auto& [key, value] : group.items()) {
    const std::string place = where + " " + printable(key, 80);
    if (key == "targets") {
      result.targets = parse_targets(value, where);
    } else if (key == "weights" && !value.is_null()) {
      set_weights(value, place, result.scheme);
      has_weights = true;
    } else if (key == "input_activations") {
      result.scheme.activation = parse_activation(value, place);
    } else if (key == "output_activations") {
      output = parse_activation(value, place);
    } else if (key == "format") {
      if (!value.is_null()) format = text(value, key, where);
    } else if (key != "weights") {
      refuse("key \"" + printable(key, 80) + "\"", where);
    }
  }
  if (!has_weights) refuse("a group without weights", where);
  if (output != ActivationScheme::kNone) {
    if (output != ActivationScheme::kStaticInt8 || result.scheme.activation != output) {
      refuse("output_activations other than static int8 beside static int8 inputs", where);
    }
    result.scheme.quantizes_output = true;
  }
  require_format(format, where);
  return result;
}

}  // namespace gemma4
