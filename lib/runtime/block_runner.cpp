#include "lib/runtime/block_runner.h"

#include <algorithm>
#include <optional>

#include "lib/runtime/matrix_rows.h"

namespace gemma4 {
namespace {

constexpr int64_t kLogitRows = 64;  // logits of a vocabulary are a megabyte a row

}  // namespace

// The feed holds what is to be encoded: the prompt, later each finished block.
struct BlockRunner::Active : ActiveRequest {
  using ActiveRequest::ActiveRequest;

  int64_t encoding = 0;  // tokens of the feed in the step under way
  bool in_prompt = true;
  std::vector<TokenId> block;    // the last one finished
  std::optional<Canvas> canvas;  // the next one
  bool denoising = false;        // in the step under way
  std::unique_ptr<Buffer> mixture_memory;
  Matrix mixture;          // of the canvas, as CanvasRows has it
  int64_t num_blocks = 0;  // finished
  CanvasRandom random{request.seed};
  Clock::time_point prompt_done;

  int64_t prompt_fed() const {
    return in_prompt ? feed.fed() : static_cast<int64_t>(request.prompt.size());
  }
  bool greedy() const { return request.sampling.temperature < 1e-5f; }
};

BlockRunner::BlockRunner(const RunnerContext& context, int32_t canvas_context,
                         std::span<const GenerationRequest> requests,
                         const GenerationCallbacks& callbacks)
    : context_(context),
      canvas_context_(canvas_context),
      callbacks_(callbacks),
      queue_(context, requests, callbacks),
      logits_(context.ops.allocate(
          static_cast<size_t>(kLogitRows * context.config.text.vocab_size) * sizeof(float))) {}

BlockRunner::~BlockRunner() = default;

uint64_t BlockRunner::scratch_bytes(const ModelConfig& config, int64_t sequences) {
  const int64_t canvases = sequences * config.diffusion->canvas_length;
  const int64_t values = canvases * config.text.hidden_size + kLogitRows * config.text.vocab_size;
  return static_cast<uint64_t>(values) * sizeof(float);
}

std::vector<GenerationResult> BlockRunner::run() {
  // No logits of the prompt are wanted: all of it may be there already.
  return queue_.run([](Active& active) { active.reuse(active.feed.size()); }, [this] { step(); });
}

// A canvas of random tokens that begins at `position`, shorter where the context ends.
void BlockRunner::open_canvas(Active& active, int64_t position) {
  const int64_t length = std::min<int64_t>(diffusion().canvas_length, context_.context - position);
  if (length <= 0) return;
  std::vector<TokenId> start;
  for (int32_t place = 0; place < length; ++place) {
    start.push_back(active.random.token(CanvasRandom::Purpose::kStart, active.num_blocks, 0, place,
                                        context_.config.text.vocab_size));
  }
  active.canvas.emplace(diffusion(), std::move(start));
  const int64_t hidden = context_.config.text.hidden_size;
  const Dtype dtype = context_.ops.activation_dtype();
  const std::vector<std::byte> zeros(static_cast<size_t>(length * hidden * dtype_bits(dtype) / 8));
  if (active.mixture_memory == nullptr) {
    active.mixture_memory = context_.ops.allocate(zeros.size());  // later ones are not longer
  }
  active.mixture = {active.mixture_memory->data(), dtype, length, hidden};
  context_.ops.copy_from_host(active.mixture.data, zeros.data(), zeros.size());
}

// For each answer what it encodes, then its canvas.
std::vector<Segment> BlockRunner::compose(std::vector<CanvasRows>& canvases,
                                          std::vector<int32_t>& wanted) {
  std::vector<Segment> segments;
  int64_t budget = context_.max_chunk;
  int32_t row = 0;
  for (const auto& active : queue_.active()) {
    const int32_t sequence = active->session->sequence();
    int64_t position = active->session->cached_tokens();
    active->encoding =
        budget > 0 ? active->feed.next_chunk(budget, context_.max_chunk) : int64_t{0};
    if (active->encoding > 0) {
      Segment segment = active->feed.segment(active->encoding);
      segment.sequence = sequence;
      segment.first_position = static_cast<int32_t>(position);
      segments.push_back(segment);
      budget -= active->encoding;
      position += active->encoding;
      row += static_cast<int32_t>(active->encoding);
    }
    const bool all_encoded = active->feed.fed() + active->encoding == active->feed.size();
    if (all_encoded && !active->canvas && active->request.max_tokens != 0) {
      open_canvas(*active, position);
    }
    active->denoising = active->canvas && all_encoded;
    if (active->denoising) {
      const std::span<const TokenId> tokens = active->canvas->tokens();
      segments.push_back({.sequence = sequence,
                          .first_position = static_cast<int32_t>(position),
                          .tokens = tokens,
                          .canvas_context = canvas_context_});
      canvases.push_back({row, static_cast<int64_t>(tokens.size()), active->mixture});
      position += static_cast<int64_t>(tokens.size());
      for (size_t i = 0; i < tokens.size(); ++i) wanted.push_back(row++);
    }
    active->session->reserve(position - active->session->cached_tokens());
  }
  return segments;
}

void BlockRunner::step() {
  queue_.encode_media();
  std::vector<CanvasRows> canvases;
  std::vector<int32_t> wanted;
  const std::vector<Segment> segments = compose(canvases, wanted);
  const auto started = Clock::now();
  Matrix hidden;
  if (!segments.empty()) {
    Step step =
        build_step(context_.config.text, context_.cache, segments, context_.image_mask_rule);
    hidden = context_.decoder.forward(step, wanted, context_.cache.layers(), canvases);
  }
  store_encoded(ms_since(started));
  int64_t row = 0;
  for (const auto& active : queue_.active()) {
    if (!active->denoising) continue;
    const auto rows = static_cast<int64_t>(active->canvas->tokens().size());
    judge(*active, rows_of(hidden, row, rows));
    row += rows;
  }
}

void BlockRunner::store_encoded(double forward_ms) {
  bool prefilled = false;
  for (const auto& active : queue_.active()) {
    active->session->append(active->feed.keys(active->encoding));
    active->feed.advance(active->encoding);
    if (!active->in_prompt) continue;
    prefilled = true;
    active->answer.result().prefill_ms += forward_ms;
    if (!active->feed.done()) continue;
    active->in_prompt = false;
    active->prompt_done = Clock::now();
    if (active->request.session != nullptr) active->session->save_ring();
    if (!active->canvas) active->answer.end(FinishReason::kLength);  // nothing wanted, or no room
  }
  if (prefilled) queue_.report_prefill();
}

// Logits, choices and the next pass's mixture, a few rows at a time: all logits of a canvas would
// be hundreds of megabytes.
void BlockRunner::judge(Active& active, Matrix hidden) {
  using Purpose = CanvasRandom::Purpose;
  const TextConfig& text = context_.config.text;
  const int32_t step = active.canvas->steps();
  const bool last = step + 1 == diffusion().max_denoising_steps;
  std::vector<CanvasChoice> choices(static_cast<size_t>(hidden.rows));
  std::vector<TokenId> noise;
  std::vector<CanvasRow> rows;
  for (int32_t place = 0; place < hidden.rows; ++place) {
    rows.push_back({active.canvas->temperature(),
                    active.random.uniform(Purpose::kCandidate, active.num_blocks, step, place),
                    context_.config.generation.suppress_tokens});
    noise.push_back(
        active.random.token(Purpose::kRenoise, active.num_blocks, step, place, text.vocab_size));
  }
  for (int64_t first = 0; first < hidden.rows; first += kLogitRows) {
    const int64_t count = std::min(kLogitRows, hidden.rows - first);
    const Matrix logits{logits_->data(), Dtype::kF32, count, text.vocab_size};
    context_.decoder.logits(rows_of(hidden, first, count), logits);
    context_.ops.judge_canvas(
        logits, std::span(rows).subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
        choices.data() + first);
    if (last) continue;
    context_.ops.embed_mixture(logits, context_.decoder.weights().embed_tokens,
                               text.embedding_scale, rows_of(active.mixture, first, count));
  }
  if (active.greedy()) {
    for (CanvasChoice& choice : choices) choice.candidate = choice.best;
  }
  active.canvas->advance(choices, noise);
  ++active.answer.result().denoising_steps;
  if (callbacks_.on_canvas) {
    callbacks_.on_canvas(active.index, active.canvas->best(), active.canvas->settled());
  }
  if (active.canvas->settled()) finish_block(active);
}

void BlockRunner::finish_block(Active& active) {
  const std::span<const TokenId> best = active.canvas->best();
  active.block.assign(best.begin(), best.end());
  active.canvas.reset();
  ++active.num_blocks;
  GenerationResult& result = active.answer.result();
  if (active.num_blocks == 1) result.ttft_ms = ms_since(active.started);
  result.decode_ms = ms_since(active.prompt_done);
  int64_t room = context_.context - active.session->cached_tokens();
  for (const TokenId token : active.block) {
    active.answer.push(token, std::nullopt, --room);
    if (active.answer.ended()) return;
  }
  active.feed = PromptFeed(context_.config, active.block, {});
}

}  // namespace gemma4
