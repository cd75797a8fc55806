#include "kernels/cuda/step_slots.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/cuda/row_kernels.h"
#include "lib/base/error.h"

namespace gemma4::cuda {
namespace {

constexpr int64_t kGraphRows = 64;  // larger steps are not made graphs: launches cost them little
constexpr size_t kMostTables = 8;

}  // namespace

void StepSlot::fill(const Step& step) {
  arrays_.pack(step);
  const size_t bytes = arrays_.bytes();
  if (bytes > device_.size()) {
    queue_.synchronize();
    device_.reset();
    device_ = DeviceMemory(std::bit_ceil(std::max<size_t>(bytes, 64 * 1024)));
  }
  Staging& staging = staging_[next_staging_++ % staging_.size()];
  staging.copied.wait();
  if (staging.memory.size() < bytes) staging.memory = PinnedMemory(device_.size());
  std::memcpy(staging.memory.data(), arrays_.words().data(), bytes);
  check(cudaMemcpyAsync(device_.data(), staging.memory.data(), bytes, cudaMemcpyHostToDevice,
                        queue_.stream().get()),
        "copying a step");
  staging.copied.record(queue_.stream());
  view_ = arrays_.view(device_.as<int32_t>());
  for (Table& table : tables_) table.ready = false;
}

StepSlot::Rotation StepSlot::rotation(const float* frequency, int32_t pairs) {
  auto known = std::find_if(tables_.begin(), tables_.end(), [&](const Table& table) {
    return table.frequency == frequency && table.pairs == pairs;
  });
  if (known == tables_.end()) {
    if (tables_.size() >= kMostTables) {
      queue_.synchronize();
      tables_.clear();
    }
    known = tables_.insert(tables_.end(), Table{frequency, pairs, 0, {}, false});
  }
  const int64_t rows = arrays_.rows();
  if (known->row_capacity < rows) {
    queue_.synchronize();
    known->row_capacity =
        static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(rows, 64))));
    known->memory =
        DeviceMemory(static_cast<size_t>(known->row_capacity * pairs) * 2 * sizeof(float));
  }
  auto* cosine = known->memory.as<float>();
  float* sine = cosine + known->row_capacity * pairs;
  if (!known->ready) {
    gemma4::cuda::rotation(queue_, view_.positions, rows, frequency, pairs, cosine, sine);
    known->ready = true;
  }
  return {cosine, sine};
}

struct StepSlots::State : StepState {
  State(StepSlots& all, StepSlot& own) : slots(all), slot(own) {}
  ~State() override {
    if (!ended) slots.abandon();
  }
  StepSlots& slots;
  StepSlot& slot;
  bool ended = false;
};

void StepSlots::begin(Step& step) {
  if (depth_ == 0) {
    used_.assign(slots_.size(), false);
    collecting_ = step.rows() <= kGraphRows && step.soft_rows.empty();
    if (collecting_) queue_.begin_collecting();
  }
  if (depth_ == slots_.size()) {
    slots_.push_back(std::make_unique<StepSlot>(queue_));
    used_.push_back(false);
  }
  // The copy below does not wait for collected kernels of an earlier step of this slot.
  if (used_[depth_]) queue_.flush();
  used_[depth_] = true;
  StepSlot& slot = *slots_[depth_];
  ++depth_;
  step.state = std::make_unique<State>(*this, slot);
  slot.fill(step);
}

void StepSlots::end(Step& step) {
  auto* state = dynamic_cast<State*>(step.state.get());
  if (state == nullptr || depth_ == 0) {
    throw Error(ErrorKind::kInternal, "a step ended that had not begun", "CUDA");
  }
  --depth_;
  if (depth_ == 0 && collecting_) queue_.end_collecting();
  state->ended = true;
  step.state.reset();
}

StepSlot& StepSlots::of(const Step& step) {
  auto* state = dynamic_cast<State*>(step.state.get());
  if (state == nullptr) throw Error(ErrorKind::kInternal, "the step was not announced", "CUDA");
  return state->slot;
}

void StepSlots::abandon() {
  depth_ = 0;
  queue_.abandon();
}

}  // namespace gemma4::cuda
