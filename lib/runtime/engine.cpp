#include "lib/runtime/engine.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "kernels/backend.h"
#include "lib/base/error.h"
#include "lib/base/parallel.h"
#include "lib/model/checkpoint_tensors.h"
#include "lib/model/diffusion_tensors.h"
#include "lib/model/random_tensors.h"
#include "lib/model/tensor_check.h"
#include "lib/runtime/batch_runner.h"
#include "lib/runtime/block_runner.h"
#include "lib/runtime/device_choice.h"
#include "lib/runtime/model_draft.h"
#include "lib/runtime/ngram_draft.h"
#include "lib/runtime/score_prompt.h"
#include "lib/runtime/step_rows.h"
#include "lib/runtime/token_traffic.h"
#include "lib/runtime/weight_cache.h"

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
    check_model_options();
    // A block of rows that see each other is never split.
    if (config_.text.bidirectional_vision) max_block_ = options.media.image_tokens;
    const StepRows rows =
        step_rows(config_, std::max(max_chunk_, max_block_), options.max_sequences);
    decoder_ = std::make_unique<TextDecoder>(*ops_, config_.text, std::move(weights), rows.all);
    cache_ = std::make_unique<KvCache>(
        *ops_, config_.text,
        KvCacheOptions{options.kv_cache_dtype, options.max_sequences,
                       context_ * options.max_sequences, rows.one_sequence, std::move(kv_scales_)});
    load_draft();
    load_ms_ = now_ms() - started;
  }

  const ModelConfig& config() const override { return config_; }
  std::string_view device() const override { return ops_->name(); }
  int64_t context() const override { return context_; }
  double load_ms() const override { return load_ms_; }
  int64_t encoded_media() const override { return media_.encoded(); }

  void enable_drafts(bool enabled) override { drafts_ = enabled; }

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
    const RunnerContext context = runner_context();
    if (config_.diffusion) {
      const int32_t chosen = options_.model_options.diffusion_sliding_context;
      return BlockRunner(context, chosen > 0 ? chosen : config_.text.sliding_window - 1, requests,
                         callbacks)
          .run();
    }
    return BatchRunner(context, requests, callbacks).run();
  }

  void score(std::span<const TokenId> ids,
             const std::function<void(std::span<const float> logits)>& row) override {
    check_ids(ids);
    score_prompt(runner_context(), ids, row);
  }

 private:
  RunnerContext runner_context() {
    const ImageMaskRule default_rule =
        config_.diffusion ? ImageMaskRule::kAllLayers : ImageMaskRule::kSliding;
    return {*ops_,
            *decoder_,
            *cache_,
            config_,
            options_.tokenizer,
            context_,
            max_chunk_,
            media_,
            options_.model_options.image_mask_rule.value_or(default_rule),
            drafts_ ? speculation_.get() : nullptr};
  }

  TextWeights load_checkpoint(const Progress& progress) {
    checkpoint_.emplace(Checkpoint::open(options_.directory));
    config_ = parse_model_config(checkpoint_->config(), checkpoint_->generation_config());
    CheckpointTensors file(*checkpoint_, *ops_);
    DiffusionTensors renamed(file);
    TensorSource& source = named(file, renamed);
    TextWeights weights = load_weights(source, progress);
    const auto reader = make_backend("reference", {});
    TensorCheck towers(source, *reader);
    const MediaEncoders checked = load_media_encoders(towers, config_, *reader);
    has_images_ = checked.image != nullptr;
    has_audio_ = checked.audio != nullptr;
    file.finish();
    if (options_.kv_cache_dtype == Dtype::kF8E4M3) {
      kv_scales_ = load_kv_scales(*checkpoint_, config_.text);
    }
    return weights;
  }

  // The names of a diffusion checkpoint are its own.
  TensorSource& named(TensorSource& file, DiffusionTensors& renamed) const {
    if (config_.diffusion) return renamed;
    return file;
  }

  TextWeights load_decoder(TensorSource& source, const Progress& progress) {
    if (!options_.cache_weights) {
      return load_text_weights(source, config_.text, *ops_, options_.weights, progress);
    }
    weight_cache_.emplace(options_.directory, options_.weights);
    CachedTensors cached(source, *weight_cache_);
    TextWeights weights =
        load_text_weights(cached, config_.text, *ops_, options_.weights, progress);
    if (!weight_cache_->usable()) weight_cache_->save(weights, text_prefix(source));
    return weights;
  }

  TextWeights load_weights(TensorSource& source, const Progress& progress) {
    TextWeights weights = load_decoder(source, progress);
    if (config_.diffusion) {
      weights.canvas = load_canvas_weights(source, config_, *ops_, options_.weights);
    }
    return weights;
  }

  MediaEncoders load_encoders() {
    CheckpointTensors file(*checkpoint_, *ops_);
    DiffusionTensors renamed(file);
    return load_media_encoders(named(file, renamed), config_, *ops_,
                               {.audio_left_keys = options_.model_options.audio_left_keys});
  }

  void load_draft() {
    const DraftOptions& draft = options_.draft;
    std::unique_ptr<DraftSource> source;
    if (draft.kind == DraftOptions::Kind::kNone) return;
    if (config_.diffusion) {
      throw Error(ErrorKind::kUsage, "drafts cannot take effect on a diffusion model", {},
                  "it writes whole blocks; leave --draft away");
    }
    if (draft.kind == DraftOptions::Kind::kNgram) {
      source = std::make_unique<NgramDraft>();
    } else {
      source = std::make_unique<ModelDraft>(draft.directory, *ops_, *decoder_, *cache_,
                                            options_.model_options.mtp_query_offset,
                                            options_.max_sequences);
    }
    speculation_ =
        std::make_unique<Speculation>(Speculation{std::move(source), DraftControl(draft.tokens)});
  }

  TextWeights make_random(const Progress& progress) {
    config_ = parse_model_config(read_json_file(options_.dummy_preset, ErrorKind::kModel),
                                 Json::object());
    RandomTensors source(*ops_);
    return load_weights(source, progress);
  }

  void check_model_options() const {
    const int32_t context = options_.model_options.diffusion_sliding_context;
    if (context == 0) return;
    if (!config_.diffusion) {
      throw Error(ErrorKind::kUsage, "the model option is for diffusion models only",
                  "diffusion_sliding_context");
    }
    if (context > config_.text.sliding_window) {
      throw Error(ErrorKind::kUsage, "the model option is out of range",
                  "diffusion_sliding_context",
                  "give at most " + std::to_string(config_.text.sliding_window));
    }
  }

  void check(const GenerationRequest& request) const {
    check_ids(request.prompt);
    if ((request.constraint || request.tool_calls) && options_.tokenizer == nullptr) {
      throw Error(ErrorKind::kModel, "a grammar needs the checkpoint's tokenizer.json");
    }
    check_media(request);
    if (config_.diffusion &&
        (request.constraint || request.tool_calls || request.logprobs || request.prompt_logprobs)) {
      throw Error(ErrorKind::kUsage,
                  "a diffusion model writes blocks: it has no log probabilities and cannot be held "
                  "to a grammar");
    }
  }

  void check_ids(std::span<const TokenId> prompt) const {
    if (prompt.empty()) throw Error(ErrorKind::kUsage, "the prompt is empty");
    const auto length = static_cast<int64_t>(prompt.size());
    if (length > context_) {
      const bool model_limit = context_ == config_.text.max_position_embeddings;
      throw Error(ErrorKind::kInput, "the prompt does not fit the context",
                  std::to_string(length) + " tokens, context " + std::to_string(context_),
                  model_limit ? "this is the model's limit: shorten the prompt"
                              : "shorten the prompt or raise --context");
    }
    for (const TokenId id : prompt) {
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
  std::optional<WeightCache> weight_cache_;
  ModelConfig config_;
  std::vector<KvScales> kv_scales_;  // until the cache is made
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<TextDecoder> decoder_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<Speculation> speculation_;  // null: no drafts
  bool drafts_ = true;
  int64_t context_ = 0;
  int64_t max_chunk_ = 0;
  int64_t max_block_ = 0;  // rows of the largest image block, where they see each other
  bool has_images_ = false;
  bool has_audio_ = false;
  MediaEncodings media_{[this] { return load_encoders(); },
                        options_.keeps_media ? kMaxKeptMediaBytes : 0};
  double load_ms_ = 0.0;
};

}  // namespace

std::unique_ptr<Engine> Engine::load(const EngineOptions& options, const Progress& progress) {
  return std::make_unique<LoadedEngine>(options, progress);
}

}  // namespace gemma4
