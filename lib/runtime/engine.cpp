#include "lib/runtime/engine.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "kernels/backend.h"
#include "lib/base/error.h"
#include "lib/base/parallel.h"
#include "lib/model/checkpoint_tensors.h"
#include "lib/model/random_tensors.h"
#include "lib/model/tensor_check.h"
#include "lib/runtime/batch_runner.h"
#include "lib/runtime/device_choice.h"
#include "lib/runtime/token_traffic.h"

namespace gemma4 {
namespace {

double now_ms() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

class LoadedEngine : public Engine {
 public:
  LoadedEngine(const EngineOptions& options, const Progress& progress) : options_(options) {
    const double started = now_ms();
    set_num_threads(options.threads > 0 ? options.threads : physical_cores());
    ops_ = make_backend(choose_device(options), {.exact_activations = options.exact_activations});
    TextWeights weights =
        options.dummy_preset.empty() ? load_checkpoint(progress) : make_random(progress);
    context_ = options.context > 0
                   ? std::min<int64_t>(options.context, config_.text.max_position_embeddings)
                   : config_.text.max_position_embeddings;
    max_chunk_ = std::min(prompt_chunk(options, ops_->name()), context_);
    // A block of rows that see each other is never split.
    if (config_.text.bidirectional_vision) max_block_ = options.media.image_tokens;
    const int64_t rows = std::max(max_chunk_, max_block_);
    decoder_ = std::make_unique<TextDecoder>(*ops_, config_.text, std::move(weights),
                                             rows + options.max_sequences * kMaxTokensAtOnce);
    cache_ = std::make_unique<KvCache>(
        *ops_, config_.text,
        KvCacheOptions{options.kv_cache_dtype, options.max_sequences,
                       context_ * options.max_sequences, std::max(rows, kMaxTokensAtOnce),
                       std::move(kv_scales_)});
    load_ms_ = now_ms() - started;
  }

  const ModelConfig& config() const override { return config_; }
  std::string_view device() const override { return ops_->name(); }
  int64_t context() const override { return context_; }
  double load_ms() const override { return load_ms_; }
  int64_t encoded_media() const override { return media_.encoded(); }

  uint64_t weight_bytes_per_token() const override {
    return gemma4::weight_bytes_per_token(decoder_->weights());
  }
  uint64_t kv_bytes_per_token(int64_t position) const override {
    return gemma4::kv_bytes_per_token(config_.text, options_.kv_cache_dtype, position);
  }

  std::unique_ptr<Session> open_session() override {
    return std::make_unique<SessionState>(*cache_, config_.text.sliding_window);
  }

  std::vector<GenerationResult> generate(std::span<const GenerationRequest> requests,
                                         const GenerationCallbacks& callbacks) override {
    for (const GenerationRequest& request : requests) check(request);
    const RunnerContext context{*ops_,
                                *decoder_,
                                *cache_,
                                config_,
                                options_.tokenizer,
                                context_,
                                max_chunk_,
                                media_,
                                options_.model_options.image_mask_rule};
    return BatchRunner(context, requests, callbacks).run();
  }

 private:
  TextWeights load_checkpoint(const Progress& progress) {
    checkpoint_.emplace(Checkpoint::open(options_.directory));
    config_ = parse_model_config(checkpoint_->config(), checkpoint_->generation_config());
    CheckpointTensors source(*checkpoint_, *ops_);
    TextWeights weights =
        load_text_weights(source, config_.text, *ops_, options_.weights, progress);
    const auto reader = make_backend("reference", {});
    TensorCheck towers(source, *reader);
    const MediaEncoders checked = load_media_encoders(towers, config_, *reader);
    has_images_ = checked.image != nullptr;
    has_audio_ = checked.audio != nullptr;
    source.finish();
    if (options_.kv_cache_dtype == Dtype::kF8E4M3) {
      kv_scales_ = load_kv_scales(*checkpoint_, config_.text);
    }
    return weights;
  }

  MediaEncoders load_encoders() {
    CheckpointTensors source(*checkpoint_, *ops_);
    return load_media_encoders(source, config_, *ops_,
                               {.audio_left_keys = options_.model_options.audio_left_keys});
  }

  TextWeights make_random(const Progress& progress) {
    config_ = parse_model_config(read_json_file(options_.dummy_preset, ErrorKind::kModel),
                                 Json::object());
    RandomTensors source(*ops_);
    return load_text_weights(source, config_.text, *ops_, options_.weights, progress);
  }

  void check(const GenerationRequest& request) const {
    if (request.prompt.empty()) throw Error(ErrorKind::kUsage, "the prompt is empty");
    const auto length = static_cast<int64_t>(request.prompt.size());
    if (length > context_) {
      const bool model_limit = context_ == config_.text.max_position_embeddings;
      throw Error(ErrorKind::kInput, "the prompt does not fit the context",
                  std::to_string(length) + " tokens, context " + std::to_string(context_),
                  model_limit ? "this is the model's limit: shorten the prompt"
                              : "shorten the prompt or raise --context");
    }
    if (request.constraint && options_.tokenizer == nullptr) {
      throw Error(ErrorKind::kModel, "a grammar needs the checkpoint's tokenizer.json");
    }
    check_media(request);
    for (const TokenId id : request.prompt) {
      if (id < 0 || id >= config_.text.vocab_size) {
        throw Error(ErrorKind::kInput, "token id is out of range", std::to_string(id),
                    "ids are 0 to " + std::to_string(config_.text.vocab_size - 1));
      }
    }
  }

  void check_media(const GenerationRequest& request) const {
    int64_t end = 0;
    for (const MediaSpan& span : request.media) {
      const bool audio = span.input->kind == MediaKind::kAudio;
      if (!(audio ? has_audio_ : has_images_)) {
        throw Error(ErrorKind::kInput,
                    std::string("the model has no ") + (audio ? "audio" : "image") + " encoder");
      }
      if (span.first < end || span.end() <= span.first ||
          span.end() > static_cast<int64_t>(request.prompt.size())) {
        throw Error(ErrorKind::kInternal, "media lie outside of the prompt or on each other");
      }
      end = span.end();
    }
    const int64_t block = largest_block(config_, request.media);
    if (block > std::max(max_chunk_, max_block_)) {
      throw Error(ErrorKind::kInput, "an image is larger than what was planned for",
                  std::to_string(block) + " tokens", "give it fewer with --image-tokens");
    }
  }

  EngineOptions options_;
  std::optional<Checkpoint> checkpoint_;
  ModelConfig config_;
  std::vector<KvScales> kv_scales_;  // until the cache is made
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<TextDecoder> decoder_;
  std::unique_ptr<KvCache> cache_;
  int64_t context_ = 0;
  int64_t max_chunk_ = 0;
  int64_t max_block_ = 0;  // rows of the largest image block, where they see each other
  bool has_images_ = false;
  bool has_audio_ = false;
  MediaEncodings media_{[this] { return load_encoders(); }};
  double load_ms_ = 0.0;
};

}  // namespace

std::unique_ptr<Engine> Engine::load(const EngineOptions& options, const Progress& progress) {
  return std::make_unique<LoadedEngine>(options, progress);
}

}  // namespace gemma4
