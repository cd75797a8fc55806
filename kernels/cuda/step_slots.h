// Steps under way: their tables on the device, and what is computed once a step.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "kernels/cuda/launch_queue.h"
#include "kernels/cuda/step_tables.h"

namespace gemma4::cuda {

/// Memory of one step. The same memory serves the steps that follow, so that their kernels have the
/// same arguments.
class StepSlot {
 public:
  explicit StepSlot(LaunchQueue& queue) : queue_(queue) {}

  /// Packs the step and starts its copy.
  void fill(const Step& step);

  const StepArrays& arrays() const { return arrays_; }
  const StepView& view() const { return view_; }

  struct Rotation {
    const float* cosine = nullptr;  // [rows, pairs]
    const float* sine = nullptr;
  };
  /// Cosines and sines of the step's positions, computed by the first who asks.
  Rotation rotation(const float* frequency, int32_t pairs);

 private:
  struct Staging {
    PinnedMemory memory;
    Event copied;
  };
  struct Table {
    const float* frequency = nullptr;
    int32_t pairs = 0;
    int64_t row_capacity = 0;
    DeviceMemory memory;
    bool ready = false;
  };

  LaunchQueue& queue_;
  StepArrays arrays_;
  StepView view_;
  DeviceMemory device_;
  std::array<Staging, 2> staging_;
  size_t next_staging_ = 0;
  std::vector<Table> tables_;
};

/// The slots of steps that lie inside each other (a step, and its rows that go on further).
class StepSlots {
 public:
  explicit StepSlots(LaunchQueue& queue) : queue_(queue) {}

  void begin(Step& step);
  void end(Step& step);
  /// Throws Error(kInternal) for a step that was not begun.
  static StepSlot& of(const Step& step);

 private:
  struct State;
  void abandon();

  LaunchQueue& queue_;
  std::vector<std::unique_ptr<StepSlot>> slots_;
  std::vector<bool> used_;  // since the outermost step began
  size_t depth_ = 0;
  bool collecting_ = false;
};

}  // namespace gemma4::cuda
