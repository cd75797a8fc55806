// JSON from outside: parsed with limits, so that a hostile file costs an error and nothing else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lib/base/error.h"

namespace gemma4 {

/// Keeps the order of keys: tool schemas and answers are shown as they were written.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  int max_depth = 64;
  bool allow_duplicate_keys = true;  // the last one wins
  size_t max_object_keys = 16384;    // objects that keep their order look keys up one by one
};

/// Parses one JSON document. `origin` (a file name, "--tools") is named in the error; `kind` is
/// the kind of error: kModel for a checkpoint's files, kInput for a user's.
/// Throws Error on invalid UTF-8, invalid JSON, trailing text, or a limit that is passed.
Json parse_json(std::string_view text, std::string_view origin, ErrorKind kind,
                const JsonLimits& limits = {});

/// Reads and parses a file of at most `max_bytes`.
Json read_json_file(const std::filesystem::path& path, ErrorKind kind,
                    uint64_t max_bytes = uint64_t{256} << 20, const JsonLimits& limits = {});

/// The whole of a regular file as bytes. Throws Error(kind) when it cannot be read or is larger.
std::string read_file(const std::filesystem::path& path, ErrorKind kind,
                      uint64_t max_bytes = uint64_t{256} << 20);

}  // namespace gemma4
