// The order of kernels on one device, and the graphs that steps become.
//
// Outside a step a launch runs at once. Inside a step of few rows launches are collected; when the
// step ends, the collected list is looked up among those that ran before, byte for byte: the same
// list is one graph launch. Sizes that change from token to token lie in device memory
// (StepTables), so that the lists of successive decode steps are equal.
#pragma once

#include <cstdint>
#include <list>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/kernel_handle.h"
#include "kernels/cuda/launch_log.h"

namespace gemma4::cuda {

class LaunchQueue {
 public:
  explicit LaunchQueue(const Device& device) : device_(device) {}
  ~LaunchQueue();
  LaunchQueue(const LaunchQueue&) = delete;
  LaunchQueue& operator=(const LaunchQueue&) = delete;

  const Device& device() const { return device_; }
  const Stream& stream() const { return stream_; }

  /// Runs kernel(arguments...), now or at the end of the step.
  template <typename... P>
  void launch(void (*kernel)(P...), const LaunchShape& shape,
              const std::type_identity_t<P>&... arguments) {
    if (shape.grid_x == 0 || shape.grid_y == 0 || shape.grid_z == 0) return;
    pending_.add(kernel_handle(kernel), shape, arguments...);
    if (!collecting_) run_pending();
  }

  /// From here launches are collected. May be nested; the outermost pair counts.
  void begin_collecting();
  /// Runs what was collected, as a graph when it has been seen before.
  void end_collecting();
  /// Forgets what was collected: the step failed.
  void abandon();

  /// Runs what is pending now, so that other work on the stream comes after it. A step that does
  /// this is not made a graph.
  void flush();
  /// flush() and wait.
  void synchronize();

 private:
  struct Graph {
    std::vector<uint64_t> words;
    cudaGraphExec_t executable = nullptr;
  };

  void run_pending();
  void grant_shared(const Launch& launch);
  void run(const Launch& launch);
  void run_as_graph();
  cudaGraphExec_t capture();

  const Device& device_;
  Stream stream_;
  LaunchLog pending_;
  int depth_ = 0;
  bool collecting_ = false;
  bool interrupted_ = false;         // by a flush, since collecting began
  std::list<Graph> graphs_;          // most recently used first
  std::vector<uint64_t> seen_once_;  // hashes of lists without a graph, the oldest overwritten
  size_t next_seen_ = 0;
  std::vector<std::pair<const void*, uint32_t>> granted_;  // shared memory of kernels that ask much
};

}  // namespace gemma4::cuda
