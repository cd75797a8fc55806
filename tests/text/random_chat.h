// Random conversations with tools, calls, results, media and thoughts, from a seed.
#pragma once

#include <cstdint>

#include "lib/io/json.h"
#include "tests/text/chat_formatter.h"

namespace gemma4 {

struct RandomChat {
  Json messages;
  Json tools;
  FormatOptions options;
};

RandomChat random_chat(uint64_t seed);

}  // namespace gemma4
