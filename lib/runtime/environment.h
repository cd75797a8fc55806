// What a measurement was made on, and whether anything else is running there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace gemma4 {

struct Environment {
  std::string version;   // of gemma4
  std::string compiler;  // that built it
  std::string system;    // kernel and architecture
  std::string cpu;
  std::string cpu_features;   // that the backends look for
  double clock_mhz = 0.0;     // of the first core, now; 0: the system does not tell
  int cores = 0;              // physical, that this process may use
  double load_average = 0.0;  // of the last minute
  double busy_cores = 0.0;    // kept busy by others while this was made (see below)
};

/// Waits half a second, in which this process does nothing, and sees how busy the cores are.
Environment read_environment();

/// Others use more than a tenth of the cores that `threads` threads need: times mean little.
bool is_busy(const Environment& environment, int threads);

/// Names a model's content without reading all of it: 16 hex digits over config.json and, of every
/// weight file, name, size and first MiB. A file (a preset) is hashed whole.
std::string model_fingerprint(const std::filesystem::path& model);

/// Most memory that this process has held since reset_peak_memory(), or since its start where the
/// system does not allow to reset: anonymous pages and file pages mapped in.
uint64_t peak_memory_bytes();
void reset_peak_memory();

}  // namespace gemma4
