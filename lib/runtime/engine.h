// Engine: a model, ready to generate. The one face of the library that the tools see.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/base/tensor.h"
#include "lib/model/config.h"
#include "lib/model/weight_choice.h"
#include "lib/runtime/generation.h"
#include "lib/runtime/media_settings.h"
#include "lib/runtime/model_options.h"
#include "lib/text/chat_template.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {

/// Speculative decoding: whose drafts are verified.
struct DraftOptions {
  enum class Kind { kNone, kNgram, kModel };
  Kind kind = Kind::kNone;
  std::filesystem::path directory;  // of the assistant, for kModel
  std::optional<int64_t> tokens;    // drafted at a time, 1 to kMaxDraftTokens; nothing: what pays
};

struct EngineOptions {
  std::filesystem::path directory;  // of the checkpoint; see locate_model
  /// A preset (share/models/NAME.json): random weights of that shape instead of a checkpoint.
  std::filesystem::path dummy_preset;
  std::string device = "auto";          // auto, cpu, cuda, cuda:N, reference
  int threads = 0;                      // 0: one a physical core
  Dtype kv_cache_dtype = Dtype::kBf16;  // as KvLayer's
  bool exact_activations = false;
  WeightChoice weights;        // --weights, --lm-head
  bool cache_weights = false;  // what `weights` quantises is kept in a file beside the checkpoint
  DraftOptions draft;          // --draft, --draft-tokens
  int64_t context = 0;         // most positions of one sequence; 0: the model's own limit
  int64_t max_sequences = 1;   // decoded together
  int64_t max_chunk = 512;     // prompt tokens in one step
  MediaNeeds media;            // of the requests that will come
  bool keeps_media = true;     // encodings, for when the same media come again
  ModelOptions model_options;
  const Tokenizer* tokenizer = nullptr;  // outlives the engine; null: answers are ids only
};

/// Bytes that the engine needs, by purpose.
struct MemoryPlan {
  uint64_t weights = 0;
  uint64_t kv_full = 0;
  uint64_t kv_ring = 0;
  uint64_t scratch = 0;
  uint64_t media = 0;
  uint64_t available = 0;  // on the device now

  uint64_t total() const { return weights + kv_full + kv_ring + scratch + media; }
};

/// A checkpoint's texts: everything that prompts are made with. Loads no weights.
struct PromptTools {
  ModelConfig config;
  std::unique_ptr<Tokenizer> tokenizer;         // null: the checkpoint has none
  std::unique_ptr<ChatTemplate> chat_template;  // null without a tokenizer
  /// "chat_template.jinja", the --chat-template file, or a built-in one's name.
  std::string chat_template_origin;
  MediaSettings media;
};

/// `chat_template_file`: used instead of the checkpoint's own; empty: none given. A checkpoint
/// without a template gets one of share/chat_templates, by its family.
PromptTools load_prompt_tools(const std::filesystem::path& directory,
                              const std::filesystem::path& chat_template_file = {});

/// Ids that end an answer (ruling 5): those of the configs and, in a chat, the tokenizer's
/// <|tool_response>.
std::vector<TokenId> stop_ids(const PromptTools& tools, bool chat);

/// The keys and values of one conversation. A request that begins like the last one reuses them.
class Session {
 public:
  virtual ~Session() = default;
  /// Positions whose keys and values are kept.
  virtual int64_t cached_tokens() const = 0;
};

class Engine {
 public:
  using Progress = std::function<void(int64_t done, int64_t total)>;

  /// Loads the weights. Throws Error: kModel for a checkpoint that does not hold together,
  /// kResource for a device that is not there.
  static std::unique_ptr<Engine> load(const EngineOptions& options, const Progress& progress = {});

  virtual ~Engine() = default;

  virtual const ModelConfig& config() const = 0;
  virtual std::string_view device() const = 0;
  /// Most positions of one sequence.
  virtual int64_t context() const = 0;
  virtual double load_ms() const = 0;

  /// Whether requests from now on are drafted for, as EngineOptions::draft says; at the start: yes.
  virtual void enable_drafts(bool enabled) = 0;

  /// A conversation of its own; at most max_sequences at a time. Must not outlive the engine.
  virtual std::unique_ptr<Session> open_session() = 0;

  /// Images, frames and clips that went through an encoder so far: one that comes again is not
  /// encoded again.
  virtual int64_t encoded_media() const = 0;

  /// Bytes of weights that decoding one token reads: every matrix but the lookup tables, of the
  /// experts only those that a token is routed to.
  virtual uint64_t weight_bytes_per_token() const = 0;
  /// Bytes of keys and values that decoding one token at `position` reads.
  virtual uint64_t kv_bytes_per_token(int64_t position) const = 0;

  /// Runs all requests, as many at a time as there are sequences, and returns when all have ended.
  /// Throws Error(kInput) before any work for a prompt that does not fit the context (with the
  /// counts), holds an id that the model does not have, or media that it has no encoder for.
  virtual std::vector<GenerationResult> generate(std::span<const GenerationRequest> requests,
                                                 const GenerationCallbacks& callbacks) = 0;

  /// The logits that follow each of `ids`, after the final softcap, in order: row(logits) with
  /// vocab_size of them. Takes a sequence while it runs. Throws Error(kInput) as generate does.
  virtual void score(std::span<const TokenId> ids,
                     const std::function<void(std::span<const float> logits)>& row) = 0;
};

/// The plan for `sequences` sequences of `positions` positions each, from the file headers alone.
MemoryPlan plan_memory(const EngineOptions& options, int64_t positions);

/// Throws Error(kResource) with the numbers when the plan does not fit.
void require_memory(const MemoryPlan& plan);

/// Name and version of the build, backends, CPU features: what `--version` prints.
std::string version_text();

}  // namespace gemma4
