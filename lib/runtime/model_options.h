// Details of the model on which public implementations differ, as options: --model-option KEY=VALUE
// (rulings 7 and 8). For research; the defaults are what released checkpoints want.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace gemma4 {

/// How rows of one image (a run of soft tokens) see each other (ruling 7).
enum class ImageMaskRule {
  kSliding,             // both ways inside an image, on sliding layers, limited by the window
  kAllLayers,           // on full layers too
  kAllLayersUnbounded,  // and not cut by the window
};

struct ModelOptions {
  /// Default: kSliding; of a diffusion model kAllLayers.
  std::optional<ImageMaskRule> image_mask_rule;
  int32_t audio_left_keys = 0;  // keys that a frame of audio sees; 0: as the checkpoint says
  /// Where a draft's query stands, relative to the position of the newest token: -1 or 0.
  int32_t mtp_query_offset = -1;
  /// Encoded tokens that a diffusion canvas sees on sliding layers; 0: the window less one.
  int32_t diffusion_sliding_context = 0;
};

/// Sets the option that "KEY=VALUE" names. Throws Error(kUsage) naming what is unknown.
void set_model_option(ModelOptions& options, std::string_view text);

}  // namespace gemma4
