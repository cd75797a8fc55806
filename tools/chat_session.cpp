#include "tools/chat_session.h"

#include <fmt/format.h>

#include "tools/answer_json.h"
#include "tools/canvas_view.h"
#include "tools/progress.h"
#include "tools/stats.h"
#include "tools/stop_signals.h"

namespace gemma4 {

ChatSession::ChatSession(const PromptTools& model, Engine& engine, const SamplingFlags& sampling,
                         const ThinkingFlags& thinking, const MediaFlags& media,
                         const OutputFlags& output_flags, Output& output, bool show_denoising)
    : model_(model),
      engine_(engine),
      sampling_(sampling),
      output_flags_(output_flags),
      output_(output),
      printer_(output, thinking, output_flags.color),
      loader_(model.media, media.options()),
      media_{loader_, {}, media.video_audio},
      session_(engine.open_session()),
      thinking_(thinking.think),
      show_denoising_(show_denoising),
      seed_(sampling.seed ? *sampling.seed : random_seed()) {}

std::string ChatSession::attach(const MediaReference& file) {
  loader_.forget(file);
  const PreparedMedia& media = loader_.load(file);
  std::string text = media.name + ": ";
  if (media.width > 0) text += fmt::format("{}x{}, ", media.width, media.height);
  if (media.kind != MediaKind::kImage) text += fmt::format("{:.1f} s, ", media.seconds);
  return text + fmt::format("{} tokens", media.soft_tokens());
}

GenerationResult ChatSession::answer(Conversation& conversation) {
  const Prompt prompt =
      chat_prompt(model_, conversation.messages(), Json::array(), thinking_, &media_);
  check_fits(prompt, engine_.context(), model_.config);
  GenerationRequest request = request_for(prompt, model_);
  request.sampling = sampling_.params(model_.config.generation);
  request.seed = seed_++;  // another try is another answer
  request.max_tokens = sampling_.max_tokens;
  request.stop = sampling_.stop;
  request.session = session_.get();

  Progress reading("reading the conversation", !output_flags_.quiet);
  Progress thinking("thinking, tokens:", !output_flags_.quiet && printer_.hides_reasoning());
  CanvasView canvas(show_denoising_, model_.tokenizer.get());
  int64_t reasoning_events = 0;
  printer_.begin();
  GenerationCallbacks callbacks;
  callbacks.on_event = [&](size_t, const OutputEvent& event) {
    reading.clear();
    canvas.clear();
    if (event.kind == OutputEvent::Kind::kReasoning) {
      thinking.update(++reasoning_events, 0);
    } else {
      thinking.clear();
    }
    printer_.event(event);
  };
  callbacks.on_canvas = [&](size_t, std::span<const TokenId> tokens, bool) {
    reading.clear();
    thinking.clear();
    canvas.draw(tokens);
  };
  callbacks.on_prefill = [&](int64_t done, int64_t total) { reading.update(done, total); };
  const StopSignals signals;
  callbacks.should_stop = [&]() -> std::optional<FinishReason> {
    if (output_.closed()) return FinishReason::kInterrupted;
    return signals.requested();
  };
  GenerationResult result = engine_.generate({&request, 1}, callbacks).front();
  reading.clear();
  thinking.clear();
  canvas.clear();
  if (output_.closed()) throw ClosedPipe();
  printer_.finish();
  const ParsedOutput& output = result.output;
  const bool stopped = exit_code_of(result.finish_reason) != 0;
  if (!stopped || output.has_content || !output.tool_calls.empty()) {
    conversation.add(answer_message(result));
  }
  last_ = result;
  return result;
}

std::string ChatSession::stats() const {
  if (!last_) return "no answer yet\n";
  return stats_text(engine_.load_ms(), {&*last_, 1}) +
         fmt::format("context: {} of {} tokens\n", session_->cached_tokens(), engine_.context());
}

}  // namespace gemma4
