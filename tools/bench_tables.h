// The readable formats of a bench report. All figures are medians unless a heading says otherwise.
#pragma once

#include <string>

#include "tools/bench_report.h"

namespace gemma4 {

/// For a terminal, or as Markdown tables and lists.
std::string report_table(const BenchReport& report, bool markdown);
/// The layout of vLLM's `bench serve`, one block a cell.
std::string report_vllm(const BenchReport& report);

}  // namespace gemma4
