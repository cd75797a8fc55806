#include "lib/runtime/machine_limits.h"

#include <atomic>
#include <chrono>
#include <cstring>

#include "kernels/backend.h"
#include "kernels/host_buffer.h"
#include "lib/base/error.h"
#include "lib/base/parallel.h"
#include "lib/runtime/device_choice.h"

namespace gemma4 {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kBufferBytes = int64_t{1} << 30;
constexpr int kReadPasses = 7;
constexpr int kMatmulRuns = 3;

// A thread reads its part as two streams, which keeps more lines under way than one does. Their
// sums stay in registers: in memory they, and not the bus, would be the limit.
constexpr int kStreams = 2;
constexpr int64_t kLine = 64;
constexpr int64_t kAhead = 16 * kLine;

using Words = uint64_t __attribute__((vector_size(16)));

uint64_t sum_of(const std::byte* data, int64_t bytes) {
  const int64_t stride = bytes / kStreams / kLine * kLine;
  Words a = {}, b = {}, c = {}, d = {};
  for (int64_t offset = 0; offset < stride; offset += kLine) {
    for (int s = 0; s < kStreams; ++s) {
      const std::byte* line = data + s * stride + offset;
      __builtin_prefetch(line + kAhead, 0, 0);
      const auto* words = reinterpret_cast<const Words*>(line);
      a += words[0];
      b += words[1];
      c += words[2];
      d += words[3];
    }
  }
  const Words sum = (a + b) + (c + d);
  return sum[0] + sum[1];
}

Measured read_rate() {
  const auto buffer = allocate_host_buffer(static_cast<size_t>(kBufferBytes));
  auto* data = static_cast<std::byte*>(buffer->data());
  constexpr int64_t kGrain = int64_t{1} << 20;
  // Written by the thread that reads it later: that places the pages.
  parallel_ranges(kBufferBytes, kGrain, [&](int64_t begin, int64_t end) {
    std::memset(data + begin, 1, static_cast<size_t>(end - begin));
  });
  std::atomic<uint64_t> sum{0};  // read, so that nothing is optimised away
  std::vector<double> work;
  std::vector<double> seconds;
  for (int pass = 0; pass < kReadPasses; ++pass) {
    const auto started = Clock::now();
    parallel_ranges(kBufferBytes, kGrain,
                    [&](int64_t begin, int64_t end) { sum += sum_of(data + begin, end - begin); });
    seconds.push_back(std::chrono::duration<double>(Clock::now() - started).count());
    work.push_back(static_cast<double>(kBufferBytes) * 1e-9);
  }
  if (sum == 0) throw Error(ErrorKind::kInternal, "the bandwidth buffer reads as zero");
  return measured_rate(work, seconds);
}

}  // namespace

const Measured& MachineLimits::matmul(TimedFormat format) const {
  for (const auto& [name, rate] : matmul_gflop_per_s) {
    if (name == format) return rate;
  }
  throw Error(ErrorKind::kInternal, "no matrix rate was measured for", timed_format_name(format));
}

MachineLimits measure_machine_limits(const EngineOptions& options) {
  set_num_threads(options.threads > 0 ? options.threads : physical_cores());
  const auto ops =
      make_backend(choose_device(options), {.exact_activations = options.exact_activations});
  MachineLimits limits;
  limits.device = ops->name();
  limits.read_gb_per_s = read_rate();
  // The reference backend is plain loops: a product that takes the others 10 ms takes it minutes.
  const int64_t side = ops->name() == "reference" ? 256 : 4096;
  for (const TimedFormat format :
       {TimedFormat::kF32, TimedFormat::kBf16, TimedFormat::kInt8, TimedFormat::kInt4}) {
    const LinearTiming timing =
        time_linear(*ops, format, side, side, std::min<int64_t>(side, 512), kMatmulRuns);
    const std::vector<double> work(timing.seconds.size(), timing.operations * 1e-9);
    limits.matmul_gflop_per_s.emplace_back(format, measured_rate(work, timing.seconds));
  }
  return limits;
}

}  // namespace gemma4
