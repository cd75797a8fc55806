#include "lib/model/media_encoder.h"

#include "lib/model/audio_encoder.h"
#include "lib/model/unified_embedder.h"
#include "lib/model/vision_encoder.h"

namespace gemma4 {

MediaEncoders load_media_encoders(TensorSource& source, const ModelConfig& config, Ops& ops,
                                  const MediaEncoderOptions& options) {
  // Old exports carry the embeddings of a vocabulary that the model does not use (spec 2.9).
  source.ignore_prefix("model.embed_vision.embedding.");
  source.ignore_prefix("model.embed_audio.embedding.");
  const int32_t hidden = config.text.hidden_size;
  MediaEncoders out;
  if (config.model_type == "gemma4" || config.diffusion) {
    if (const auto vision = parse_vision_tower_config(config.json)) {
      out.image = std::make_unique<VisionEncoder>(source, *vision, hidden, ops);
    }
    if (auto audio = parse_audio_tower_config(config.json)) {
      if (options.audio_left_keys > 0) audio->left_keys = options.audio_left_keys;
      out.audio = std::make_unique<ConformerEncoder>(source, *audio, hidden, ops);
    }
  } else if (config.model_type == "gemma4_unified") {
    if (const auto vision = parse_unified_vision_config(config.json)) {
      out.image = std::make_unique<UnifiedImageEmbedder>(source, *vision, hidden, ops);
    }
    if (const auto audio = parse_unified_audio_config(config.json)) {
      out.audio = std::make_unique<UnifiedAudioEmbedder>(source, *audio, hidden, ops);
    }
  }
  return out;
}

}  // namespace gemma4
