// The model's media encoders at work: loaded when the first picture or clip comes, and each input
// encoded once.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "lib/model/media_encoder.h"
#include "lib/runtime/media_input.h"

namespace gemma4 {

/// Encodings that are kept for later requests, in bytes.
inline constexpr size_t kMaxKeptMediaBytes = size_t{256} << 20;

using SoftTokensPtr = std::shared_ptr<const SoftTokens>;

class MediaEncodings {
 public:
  using Loader = std::function<MediaEncoders()>;

  /// `loader` is called once, before the first encoding. Encodings of up to `max_bytes` are kept
  /// for later requests, the latest used ones.
  explicit MediaEncodings(Loader loader, size_t max_bytes = kMaxKeptMediaBytes)
      : loader_(std::move(loader)), max_bytes_(max_bytes) {}

  /// What was kept of an input; null: nothing.
  SoftTokensPtr find(const MediaInput& input);

  /// The soft tokens of each input, in order; those not kept from before are encoded, together.
  /// Throws Error(kInput) when the model has no encoder for one of them.
  std::vector<SoftTokensPtr> encode(std::span<const MediaInputPtr> inputs);

  /// Inputs that went through an encoder so far.
  int64_t encoded() const { return encoded_; }

 private:
  struct Entry {
    uint64_t key;
    SoftTokensPtr tokens;
  };

  void encode_kind(std::span<const MediaInputPtr> inputs, bool audio,
                   std::unordered_map<uint64_t, SoftTokensPtr>& results);
  void keep(uint64_t key, const SoftTokensPtr& tokens);

  Loader loader_;
  size_t max_bytes_;
  std::optional<MediaEncoders> encoders_;
  std::list<Entry> kept_;  // latest used first
  std::unordered_map<uint64_t, std::list<Entry>::iterator> places_;
  size_t bytes_ = 0;
  int64_t encoded_ = 0;
};

}  // namespace gemma4
