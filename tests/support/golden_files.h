// Where tests find their data: golden checkpoints in tests/goldens, vectors in tests/vectors, and
// the shared folder beside the repository, which is not there on every machine.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace gemma4 {

inline std::filesystem::path source_dir() { return GEMMA4_SOURCE_DIR; }

/// A golden checkpoint folder, e.g. "text-e".
inline std::filesystem::path golden_dir(const std::string& name) {
  return source_dir() / "tests/goldens" / name;
}

/// A test vector file or folder, e.g. "chat/chat_cases.json".
inline std::filesystem::path vector_path(const std::string& name) {
  return source_dir() / "tests/vectors" / name;
}

/// A file of the shared folder, e.g. "data/tokenizer/tokenizer.json". Empty, with a visible
/// message, when the folder is not beside the repository: the test then counts as skipped.
inline std::filesystem::path shared_path(const std::string& name) {
  const char* given = std::getenv("GEMMA4_SHARED");
  const std::filesystem::path path =
      std::filesystem::path(given != nullptr ? given : GEMMA4_SHARED_DIR) / name;
  if (std::filesystem::exists(path)) return path;
  MESSAGE("SKIPPED: needs " << path.string());
  return {};
}

}  // namespace gemma4
