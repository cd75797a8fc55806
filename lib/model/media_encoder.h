// What turns images and audio into soft tokens: rows that take the place of looked-up embeddings in
// the text decoder (Step::soft_embeddings). One interface for the towers and the encoder-free 12B.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "lib/model/config.h"
#include "lib/model/tensor_source.h"

namespace gemma4 {

/// One image, or one frame of a video, as its patches, row by row.
struct ImageInput {
  std::span<const float> patches;      // [n, patch_size (y), patch_size (x), 3], in [0, 1]
  std::span<const int32_t> positions;  // [n, 2]: (x, y) in patches
};

/// One clip: log-mel frames that hold real samples, or the waveform cut into frames.
struct AudioInput {
  std::span<const float> features;  // [n, frame_values]
};

struct SoftTokens {
  int64_t rows = 0;
  std::vector<float> values;  // [rows, the decoder's hidden_size]
};

/// An encoder is used by one thread at a time.
class ImageEncoder {
 public:
  virtual ~ImageEncoder() = default;
  /// Side of a patch in pixels: 16 for towers, 48 for the 12B.
  virtual int32_t patch_size() const = 0;
  /// Patches along each axis, at most.
  virtual int32_t max_grid() const = 0;
  /// One result an image, in order; images do not see each other. Throws Error(kInput) for patches
  /// that are no grid, or one larger than the model's position table.
  virtual std::vector<SoftTokens> encode(std::span<const ImageInput> images) = 0;
};

enum class AudioFeatures { kLogMel, kSamples };

class AudioEncoder {
 public:
  virtual ~AudioEncoder() = default;
  virtual AudioFeatures features() const = 0;
  /// Values of one frame: 128 mel bins, or 640 samples.
  virtual int32_t frame_values() const = 0;
  /// Soft tokens of a clip of so many frames.
  virtual int64_t soft_tokens(int64_t frames) const = 0;
  /// One result a clip, in order. Throws Error(kInput) for an empty clip.
  virtual std::vector<SoftTokens> encode(std::span<const AudioInput> clips) = 0;
};

struct MediaEncoderOptions {
  int32_t audio_left_keys = 0;  // 0: as the checkpoint says (ruling 8)
};

/// What the model lacks is null.
struct MediaEncoders {
  std::unique_ptr<ImageEncoder> image;
  std::unique_ptr<AudioEncoder> audio;
};

/// Takes the towers' tensors out of `source`. `ops` and the checkpoint must outlive the encoders.
/// Throws Error(kModel) naming the key or tensor.
MediaEncoders load_media_encoders(TensorSource& source, const ModelConfig& config, Ops& ops,
                                  const MediaEncoderOptions& options = {});

}  // namespace gemma4
