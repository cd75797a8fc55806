#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "tests/cuda_emulator/cuda_runtime_api.h"
#include "tests/cuda_emulator/emulator.h"

struct CudaEmulatorGraph {
  struct Node {
    std::function<void()> thread;
    cuda_emulator::Index grid;
    unsigned threads;
    size_t shared_bytes;
  };
  std::vector<Node> nodes;
};
struct CudaEmulatorStream {
  CudaEmulatorGraph* capturing = nullptr;
};

namespace {

struct Memory {
  std::map<void*, size_t> blocks;
  std::map<const void*, size_t> granted;  // shared memory of kernels
  size_t used = 0;
  size_t limit = 0;
  int64_t graph_launches = 0;
  cudaError_t last = cudaSuccess;
};
Memory& memory() {
  static Memory m;
  return m;
}

constexpr size_t kPlainShared = 48 * 1024;
constexpr size_t kMostShared = 99 * 1024;  // of the smallest GPU that is supported

void run(const CudaEmulatorGraph::Node& node) {
  cuda_emulator::run_kernel(node.thread, node.grid, node.threads, node.shared_bytes);
}

void not_while_capturing(cudaStream_t stream) {
  if (stream != nullptr && stream->capturing != nullptr) {
    cuda_emulator::fail("this call is not allowed while a stream is captured");
  }
}

}  // namespace

namespace cuda_emulator {
int64_t graph_launches() { return memory().graph_launches; }
void set_memory_limit(size_t bytes) { memory().limit = bytes; }
size_t memory_in_use() { return memory().used; }
}  // namespace cuda_emulator

cudaError_t cudaGetLastError() { return std::exchange(memory().last, cudaSuccess); }
const char* cudaGetErrorName(cudaError_t) { return "cudaError"; }
const char* cudaGetErrorString(cudaError_t) { return "emulated"; }
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = {"emulated", 9, 0, 4, kMostShared};
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total) {
  *total = memory().limit > 0 ? memory().limit : size_t{1} << 40;
  *free_bytes = *total - std::min(*total, memory().used);
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** data, size_t bytes) {
  Memory& m = memory();
  if (m.limit > 0 && m.used + bytes > m.limit) return m.last = cudaErrorMemoryAllocation;
  *data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  std::memset(*data, 0xFF, bytes);  // not a number, and no index
  m.blocks[*data] = bytes;
  m.used += bytes;
  return cudaSuccess;
}
cudaError_t cudaFree(void* data) {
  Memory& m = memory();
  const auto block = m.blocks.find(data);
  if (block == m.blocks.end()) cuda_emulator::fail("cudaFree of what was not allocated");
  std::memset(data, 0xFF, block->second);
  m.used -= block->second;
  m.blocks.erase(block);
  std::free(data);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** data, size_t bytes) {
  *data = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  return cudaSuccess;
}
cudaError_t cudaFreeHost(void* data) {
  std::free(data);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t stream) {
  not_while_capturing(stream);
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = new CudaEmulatorStream;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  not_while_capturing(stream);
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int value) {
  memory().granted[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel,
                                void** arguments) {
  const size_t shared = config->dynamicSmemBytes;
  if (shared > kMostShared) cuda_emulator::fail("more shared memory than the smallest GPU has");
  if (shared > kPlainShared && memory().granted[kernel] < shared) {
    cuda_emulator::fail("shared memory was not granted");
  }
  if (config->gridDim.y > 65535 || config->gridDim.z > 65535 || config->blockDim.x > 1024 ||
      config->blockDim.x % 32 != 0) {
    cuda_emulator::fail("a launch of this shape is not possible");
  }
  const CudaEmulatorGraph::Node node{cuda_emulator::bind_kernel(kernel, arguments),
                                     {config->gridDim.x, config->gridDim.y, config->gridDim.z},
                                     config->blockDim.x,
                                     shared};
  if (config->stream->capturing != nullptr) {
    config->stream->capturing->nodes.push_back(node);
  } else {
    run(node);
  }
  return cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  stream->capturing = new CudaEmulatorGraph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = std::exchange(stream->capturing, nullptr);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long) {
  *executable = new CudaEmulatorGraph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  not_while_capturing(stream);
  ++memory().graph_launches;
  for (const CudaEmulatorGraph::Node& node : executable->nodes) run(node);
  return cudaSuccess;
}
