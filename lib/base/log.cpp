#include "lib/base/log.h"

#include <atomic>
#include <cstdio>
#include <string>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

std::atomic<int> g_level{static_cast<int>(LogLevel::kWarning)};

void write_line(LogLevel level, const char* label, std::string_view message) {
  if (g_level.load(std::memory_order_relaxed) < static_cast<int>(level)) return;
  const std::string line = std::string("gemma4: ") + label + printable(message, 4000) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

void set_log_level(LogLevel level) { g_level.store(static_cast<int>(level)); }
LogLevel log_level() { return static_cast<LogLevel>(g_level.load()); }
void log_warning(std::string_view message) { write_line(LogLevel::kWarning, "warning: ", message); }
void log_info(std::string_view message) { write_line(LogLevel::kInfo, "", message); }
void log_debug(std::string_view message) { write_line(LogLevel::kDebug, "debug: ", message); }

}  // namespace gemma4
