// Warnings and diagnostics on stderr. The level is the library's only global state.
#pragma once

#include <string_view>

namespace gemma4 {

enum class LogLevel : int { kQuiet = 0, kWarning = 1, kInfo = 2, kDebug = 3 };

void set_log_level(LogLevel level);
LogLevel log_level();

/// One line each, "gemma4: warning: ...". Thread-safe; nothing is written below the level.
void log_warning(std::string_view message);
void log_info(std::string_view message);
void log_debug(std::string_view message);

}  // namespace gemma4
