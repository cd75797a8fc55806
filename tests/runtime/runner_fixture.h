// A golden checkpoint behind a BatchRunner of its own, with whatever drafts a test gives it.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <vector>

#include "lib/base/parallel.h"
#include "lib/runtime/batch_runner.h"
#include "tests/support/decoder_fixture.h"

namespace gemma4 {

class RunnerFixture {
 public:
  RunnerFixture(const std::filesystem::path& checkpoint, int64_t sequences,
                Dtype kv_dtype = Dtype::kF32, const std::string& device = "cpu",
                int64_t context = 512)
      : context_(context),
        model_(checkpoint, device, kv_dtype, 2 * kMaxChunk, sequences),
        cache_(*model_.ops, model_.config.text,
               {kv_dtype, sequences, context * sequences, kMaxChunk}) {
    set_num_threads(1);  // these models are too small to share
  }

  std::vector<GenerationResult> run(std::span<const GenerationRequest> requests,
                                    Speculation* speculation = nullptr,
                                    const GenerationCallbacks& callbacks = {}) {
    const RunnerContext context{
        *model_.ops, *model_.decoder, cache_, model_.config,           tokenizer,
        context_,    kMaxChunk,       media_, ImageMaskRule::kSliding, speculation};
    return BatchRunner(context, requests, callbacks).run();
  }

  std::unique_ptr<SessionState> open_session() {
    return std::make_unique<SessionState>(cache_, model_.config.text.sliding_window);
  }
  DecoderFixture& model() { return model_; }
  KvCache& cache() { return cache_; }

  const Tokenizer* tokenizer = nullptr;

 private:
  static constexpr int64_t kMaxChunk = 32;

  int64_t context_;
  DecoderFixture model_;
  KvCache cache_;
  MediaEncodings media_{[] { return MediaEncoders(); }};
};

/// Knows the right answers and drafts them, each token right with probability `agreement`.
class ScriptedDraft : public DraftSource {
 public:
  struct Script {
    std::vector<TokenId> prompt;
    std::vector<TokenId> answer;
  };
  ScriptedDraft(std::vector<Script> scripts, double agreement)
      : scripts_(std::move(scripts)), agreement_(agreement) {}

  void draft(std::span<DraftTask> tasks, Matrix) override {
    for (DraftTask& task : tasks) {
      for (const Script& script : scripts_) {
        if (!std::equal(script.prompt.begin(), script.prompt.end(), task.prompt.begin(),
                        task.prompt.end())) {
          continue;
        }
        size_t at = task.answer.size();
        for (int64_t i = 0; i < task.count && at < script.answer.size(); ++i, ++at) {
          task.tokens.push_back(script.answer[at] + (agrees() ? 0 : 1));
        }
        break;
      }
    }
  }

 private:
  bool agrees() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state_ >> 11) * 0x1p-53 < agreement_;
  }

  std::vector<Script> scripts_;
  double agreement_;
  uint64_t state_ = 1;
};

inline Speculation speculate(std::unique_ptr<DraftSource> source, std::optional<int64_t> tokens) {
  return {std::move(source), DraftControl(tokens)};
}

inline GenerationRequest greedy_request(std::vector<TokenId> prompt, int64_t max_tokens) {
  GenerationRequest request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0.0f;
  request.max_tokens = max_tokens;
  request.ignore_eos = true;
  return request;
}

/// A prompt of `length` ids that no other seed shares.
inline std::vector<TokenId> prompt_of(int length, uint32_t seed) {
  std::vector<TokenId> ids = {2};
  uint32_t state = seed * 2654435761u + 1;
  while (static_cast<int>(ids.size()) < length) {
    state = state * 1664525u + 1013904223u;
    ids.push_back(static_cast<TokenId>(110 + (state >> 16) % 95));
  }
  return ids;
}

}  // namespace gemma4
