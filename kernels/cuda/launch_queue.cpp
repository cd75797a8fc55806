#include "kernels/cuda/launch_queue.h"

#include <algorithm>

#include "lib/base/error.h"

namespace gemma4::cuda {
namespace {

constexpr size_t kMaxGraphs = 64;
constexpr size_t kMaxSeen = 256;
constexpr uint32_t kPlainSharedBytes = 48 * 1024;  // above it a kernel must be told

}  // namespace

LaunchQueue::~LaunchQueue() {
  cudaStreamSynchronize(stream_.get());
  for (const Graph& graph : graphs_) cudaGraphExecDestroy(graph.executable);
}

void LaunchQueue::begin_collecting() {
  if (depth_++ > 0) return;
  collecting_ = true;
  interrupted_ = false;
}

void LaunchQueue::end_collecting() {
  if (depth_ == 0) throw Error(ErrorKind::kInternal, "a step ended that had not begun", "CUDA");
  if (--depth_ > 0) return;
  collecting_ = false;
  if (interrupted_) {
    run_pending();
  } else {
    run_as_graph();
  }
}

void LaunchQueue::abandon() {
  depth_ = 0;
  collecting_ = false;
  pending_.clear();
}

void LaunchQueue::flush() {
  if (collecting_) interrupted_ = true;
  run_pending();
}

void LaunchQueue::synchronize() {
  flush();
  stream_.synchronize();
}

void LaunchQueue::run_pending() {
  if (pending_.empty()) return;
  try {
    pending_.for_each([&](const Launch& launch) { run(launch); });
  } catch (...) {
    pending_.clear();
    throw;
  }
  pending_.clear();
}

void LaunchQueue::grant_shared(const Launch& launch) {
  const uint32_t bytes = launch.shape.shared_bytes;
  if (bytes <= kPlainSharedBytes) return;
  auto known = std::find_if(granted_.begin(), granted_.end(),
                            [&](const auto& entry) { return entry.first == launch.kernel; });
  if (known == granted_.end()) known = granted_.insert(granted_.end(), {launch.kernel, 0});
  if (known->second >= bytes) return;
  check(cudaFuncSetAttribute(launch.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(bytes)),
        "shared memory of a kernel");
  known->second = bytes;
}

void LaunchQueue::run(const Launch& launch) {
  grant_shared(launch);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(launch.shape.grid_x, launch.shape.grid_y, launch.shape.grid_z);
  config.blockDim = dim3(launch.shape.threads);
  config.dynamicSmemBytes = launch.shape.shared_bytes;
  config.stream = stream_.get();
  // The kernel may be started while the one before it ends: see wait_for_previous().
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &early;
  config.numAttrs = device_.capability() >= 90 ? 1 : 0;
  auto arguments = launch.arguments;
  check(cudaLaunchKernelExC(&config, launch.kernel, arguments.data()), "launching a kernel");
}

void LaunchQueue::run_as_graph() {
  if (pending_.empty()) return;
  const auto same = [&](const Graph& graph) {
    return std::ranges::equal(graph.words, pending_.words());
  };
  auto known = std::find_if(graphs_.begin(), graphs_.end(), same);
  if (known == graphs_.end()) {
    const uint64_t hash = pending_.hash();
    if (std::find(seen_once_.begin(), seen_once_.end(), hash) == seen_once_.end()) {
      if (seen_once_.size() < kMaxSeen) {
        seen_once_.push_back(hash);
      } else {
        seen_once_[next_seen_++ % kMaxSeen] = hash;
      }
      run_pending();
      return;
    }
    if (graphs_.size() == kMaxGraphs) {
      stream_.synchronize();
      cudaGraphExecDestroy(graphs_.back().executable);
      graphs_.pop_back();
    }
    Graph graph;
    graph.words.assign(pending_.words().begin(), pending_.words().end());
    graph.executable = capture();
    graphs_.push_front(std::move(graph));
    known = graphs_.begin();
  }
  graphs_.splice(graphs_.begin(), graphs_, known);
  pending_.clear();
  check(cudaGraphLaunch(graphs_.front().executable, stream_.get()), "launching a graph");
}

cudaGraphExec_t LaunchQueue::capture() {
  check(cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal), "capturing");
  cudaGraph_t graph = nullptr;
  try {
    pending_.for_each([&](const Launch& launch) { run(launch); });
  } catch (...) {
    cudaStreamEndCapture(stream_.get(), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    cudaGetLastError();
    pending_.clear();
    throw;
  }
  check(cudaStreamEndCapture(stream_.get(), &graph), "capturing a step");
  cudaGraphExec_t executable = nullptr;
  const cudaError_t status = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(status, "making a graph");
  return executable;
}

}  // namespace gemma4::cuda
