#include "lib/runtime/media_encodings.h"

#include <string>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

size_t bytes_of(const SoftTokens& tokens) { return tokens.values.size() * sizeof(float); }

}  // namespace

SoftTokensPtr MediaEncodings::find(const MediaInput& input) {
  const auto place = places_.find(input.key);
  if (place == places_.end()) return nullptr;
  kept_.splice(kept_.begin(), kept_, place->second);
  return place->second->tokens;
}

std::vector<SoftTokensPtr> MediaEncodings::encode(std::span<const MediaInputPtr> inputs) {
  if (!encoders_ && !inputs.empty()) encoders_.emplace(loader_());
  std::unordered_map<uint64_t, SoftTokensPtr> results;
  for (const MediaInputPtr& input : inputs) {
    if (SoftTokensPtr tokens = find(*input)) results[input->key] = std::move(tokens);
  }
  for (const bool audio : {false, true}) {
    std::vector<MediaInputPtr> missing;
    for (const MediaInputPtr& input : inputs) {
      if ((input->kind == MediaKind::kAudio) != audio || results.contains(input->key)) continue;
      results[input->key] = nullptr;
      missing.push_back(input);
    }
    if (!missing.empty()) encode_kind(missing, audio, results);
  }
  std::vector<SoftTokensPtr> out;
  for (const MediaInputPtr& input : inputs) out.push_back(results[input->key]);
  return out;
}

void MediaEncodings::encode_kind(std::span<const MediaInputPtr> inputs, bool audio,
                                 std::unordered_map<uint64_t, SoftTokensPtr>& results) {
  std::vector<SoftTokens> encoded;
  if (audio) {
    if (!encoders_->audio) throw Error(ErrorKind::kInput, "the model has no audio encoder");
    std::vector<AudioInput> clips;
    for (const MediaInputPtr& input : inputs) clips.push_back({input->features});
    encoded = encoders_->audio->encode(clips);
  } else {
    if (!encoders_->image) throw Error(ErrorKind::kInput, "the model has no image encoder");
    std::vector<std::vector<float>> values;
    std::vector<ImageInput> images;
    for (const MediaInputPtr& input : inputs) values.push_back(patch_values(input->patches));
    for (size_t i = 0; i < inputs.size(); ++i) {
      images.push_back({values[i], inputs[i]->patches.positions});
    }
    encoded = encoders_->image->encode(images);
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (encoded[i].rows != inputs[i]->soft_tokens) {
      throw Error(
          ErrorKind::kInternal, "an encoder gave another number of soft tokens",
          std::to_string(encoded[i].rows) + " for " + std::to_string(inputs[i]->soft_tokens));
    }
    ++encoded_;
    auto tokens = std::make_shared<const SoftTokens>(std::move(encoded[i]));
    results[inputs[i]->key] = tokens;
    keep(inputs[i]->key, tokens);
  }
}

void MediaEncodings::keep(uint64_t key, const SoftTokensPtr& tokens) {
  kept_.push_front({key, tokens});
  places_[key] = kept_.begin();
  bytes_ += bytes_of(*tokens);
  while (bytes_ > max_bytes_ && kept_.size() > 1) {
    bytes_ -= bytes_of(*kept_.back().tokens);
    places_.erase(kept_.back().key);
    kept_.pop_back();
  }
}

}  // namespace gemma4
