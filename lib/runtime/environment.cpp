#include "lib/runtime/environment.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <thread>

#include "lib/base/cpu_features.h"
#include "lib/base/error.h"
#include "lib/base/parallel.h"
#include "lib/io/json.h"
#include "lib/io/weight_files.h"
#include "lib/text/content_hash.h"

namespace gemma4 {
namespace {

struct CpuTicks {
  double busy = 0.0;
  double all = 0.0;
};

// The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; all cores.
CpuTicks read_ticks() {
  std::ifstream file("/proc/stat");
  std::string name;
  file >> name;
  CpuTicks ticks;
  double value = 0.0;
  for (int field = 0; field < 8 && file >> value; ++field) {
    ticks.all += value;
    if (field != 3 && field != 4) ticks.busy += value;
  }
  return ticks;
}

double busy_cores() {
  const CpuTicks before = read_ticks();
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  const CpuTicks after = read_ticks();
  if (after.all <= before.all) return 0.0;
  return (after.busy - before.busy) / (after.all - before.all) *
         std::max(1u, std::thread::hardware_concurrency());
}

// The number in the first line that begins with `key`; 0 when there is none.
double number_after(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const size_t digit = line.find_first_of("0123456789", key.size());
    return digit == std::string::npos ? 0.0 : std::strtod(line.c_str() + digit, nullptr);
  }
  return 0.0;
}

std::string first_mib(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes(size_t{1} << 20, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<size_t>(file.gcount()));
  return bytes;
}

}  // namespace

Environment read_environment() {
  Environment environment;
  environment.version = GEMMA4_VERSION;
  environment.compiler = __VERSION__;
  utsname name = {};
  if (::uname(&name) == 0) {
    environment.system = fmt::format("{} {} {}", name.sysname, name.release, name.machine);
  }
  environment.cpu = cpu_features().brand;
  environment.cpu_features = cpu_features().text();
  environment.clock_mhz = number_after("/proc/cpuinfo", "cpu MHz");
  environment.cores = physical_cores();
  environment.load_average = number_after("/proc/loadavg", "");
  environment.busy_cores = busy_cores();
  return environment;
}

bool is_busy(const Environment& environment, int threads) {
  return environment.busy_cores > 0.1 * threads;
}

std::string model_fingerprint(const std::filesystem::path& model) {
  std::string parts;
  if (std::filesystem::is_directory(model)) {
    parts = read_file(model / "config.json", ErrorKind::kModel);
    for (const std::string& file : find_weight_files(model).files) {
      parts += fmt::format("\n{} {}\n", file, std::filesystem::file_size(model / file));
      parts += first_mib(model / file);
    }
  } else {
    parts = read_file(model, ErrorKind::kModel);
  }
  return fmt::format("{:016x}", content_hash(parts));
}

uint64_t peak_memory_bytes() {
  return static_cast<uint64_t>(number_after("/proc/self/status", "VmHWM:")) << 10;
}

void reset_peak_memory() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
}

}  // namespace gemma4
