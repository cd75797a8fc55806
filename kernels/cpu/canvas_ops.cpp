#include "kernels/cpu/canvas_ops.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/base/error.h"
#include "lib/base/parallel.h"

namespace gemma4::cpu {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
// Terms below this, however many a vocabulary of 2^18 has, add up to less than the last bit of the
// float32 sum of a distribution.
constexpr float kNegligible = 0x1p-42f;
constexpr int64_t kVocabularyStep = 8192;  // ids whose terms are in memory at a time
constexpr int64_t kPiece = 512;            // ids that one thread gathers terms of

}  // namespace

void CanvasOps::judge(Matrix logits, std::span<const CanvasRow> rows, CanvasChoice* choices) {
  scratch_.reserve_threads();
  parallel_items(static_cast<int64_t>(rows.size()), [&](int64_t i) {
    choices[i] = judge_row(logits.row(i), logits.cols, rows[static_cast<size_t>(i)],
                           scratch_.mine().floats(logits.cols));
  });
}

CanvasChoice CanvasOps::judge_row(float* logits, int64_t vocab_size, const CanvasRow& row,
                                  float* weights) {
  bool finite = true;
  for (int64_t i = 0; i < vocab_size; ++i) finite &= std::isfinite(logits[i]);
  if (!finite) {
    throw Error(ErrorKind::kInternal, "the logits of a canvas are not finite", "denoising");
  }
  for (const int32_t id : row.suppressed) logits[id] = kNever;
  const float top = kernels_.largest(logits, vocab_size);
  const double total = kernels_.exp_sum(logits, top, 1.0f / row.temperature, vocab_size, weights);
  for (const int32_t id : row.suppressed) weights[id] = 0.0f;  // not just very small
  CanvasChoice choice;
  choice.best = static_cast<int32_t>(std::find(logits, logits + vocab_size, top) - logits);
  choice.candidate = -1;
  const double wanted = row.random * total;
  const auto shrink = static_cast<float>(1.0 / total);
  double mass = 0.0;
  double weighted = 0.0;  // sum of weight * (z - largest z)
  for (int64_t i = 0; i < vocab_size; ++i) {
    const double weight = weights[i];
    mass += weight;
    if (choice.candidate < 0 && wanted < mass) choice.candidate = static_cast<int32_t>(i);
    if (weight > 0.0) weighted += weight * (static_cast<double>(logits[i]) - top);
    logits[i] = weights[i] * shrink;
  }
  if (choice.candidate < 0) choice.candidate = choice.best;  // `mass` fell short by rounding
  choice.entropy = static_cast<float>(std::log(total) - weighted / (total * row.temperature));
  return choice;
}

void CanvasOps::embed_mixture(Matrix p, const Weight& table, float scale, Matrix out) {
  constexpr int64_t kColumns = 64;  // at least so many columns for a thread
  scratch_.reserve_threads();
  std::fill(out.f32(), out.f32() + out.rows * out.cols, 0.0f);
  for (int64_t first = 0; first < table.rows; first += kVocabularyStep) {
    gather_terms(p, first, std::min(kVocabularyStep, table.rows - first));
    // Every thread has columns of its own, so that sums are made in the order of ids.
    parallel_ranges(table.cols, kColumns, [&](int64_t begin, int64_t end) {
      add_terms(table, scale, begin, end - begin, scratch_.mine().floats(end - begin), out);
    });
  }
}

void CanvasOps::gather_terms(Matrix p, int64_t first, int64_t count) {
  const int64_t pieces = (count + kPiece - 1) / kPiece;
  terms_.resize(static_cast<size_t>(pieces));
  parallel_items(pieces, [&](int64_t piece) {
    std::vector<Term>& terms = terms_[static_cast<size_t>(piece)];
    terms.clear();
    const int64_t begin = first + piece * kPiece;
    const int64_t end = std::min(begin + kPiece, first + count);
    for (int64_t v = begin; v < end; ++v) {
      for (int64_t r = 0; r < p.rows; ++r) {
        const float weight = p.row(r)[v];
        if (weight < kNegligible) continue;
        terms.push_back({static_cast<int32_t>(v), static_cast<int32_t>(r), weight});
      }
    }
  });
}

void CanvasOps::add_terms(const Weight& table, float scale, int64_t first_column, int64_t columns,
                          float* embedding, Matrix out) const {
  int32_t id = -1;
  for (const std::vector<Term>& terms : terms_) {
    for (const Term& term : terms) {
      if (term.id != id) {
        id = term.id;
        products_.row(table, id, first_column, columns, scale, embedding);
      }
      kernels_.axpy(term.weight, embedding, columns, out.row(term.row) + first_column);
    }
  }
}

}  // namespace gemma4::cpu
