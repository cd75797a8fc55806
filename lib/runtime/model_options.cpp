#include "lib/runtime/model_options.h"

#include <charconv>
#include <string>
#include <utility>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

[[noreturn]] void refuse(std::string_view what, std::string_view text, std::string_view hint) {
  throw Error(ErrorKind::kUsage, what, "--model-option " + printable(text, 80), hint);
}

ImageMaskRule mask_rule(std::string_view value, std::string_view text) {
  for (const auto& [name, rule] : {std::pair{"sliding", ImageMaskRule::kSliding},
                                   {"all_layers", ImageMaskRule::kAllLayers},
                                   {"all_layers_unbounded", ImageMaskRule::kAllLayersUnbounded}}) {
    if (value == name) return rule;
  }
  refuse("unknown value", text, "use sliding, all_layers or all_layers_unbounded");
}

int32_t whole_number(std::string_view value, int32_t min, int32_t max, std::string_view text) {
  int32_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < min || number > max) {
    refuse("unknown value", text,
           "use a whole number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return number;
}

}  // namespace

void set_model_option(ModelOptions& options, std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == text.npos) refuse("no value", text, "write KEY=VALUE");
  const std::string_view key = text.substr(0, equals);
  const std::string_view value = text.substr(equals + 1);
  if (key == "image_mask_rule") {
    options.image_mask_rule = mask_rule(value, text);
  } else if (key == "audio_left_keys") {
    options.audio_left_keys = whole_number(value, 1, 1024, text);
  } else if (key == "mtp_query_offset") {
    options.mtp_query_offset = whole_number(value, -1, 0, text);
  } else if (key == "diffusion_sliding_context") {
    options.diffusion_sliding_context = whole_number(value, 1, 1 << 20, text);
  } else {
    refuse("unknown model option", text,
           "there are image_mask_rule, audio_left_keys, mtp_query_offset and "
           "diffusion_sliding_context");
  }
}

}  // namespace gemma4
