// Files that media tests make for themselves: in a folder that goes away, by small writers here
// or by the usual command-line tools where those are installed.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "lib/base/error.h"
#include "lib/io/safetensors.h"
#include "lib/media/media_source.h"

namespace gemma4 {

/// A fresh folder under the system's temporary folder, removed with its contents.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string path = (std::filesystem::temp_directory_path() / "gemma4-test-XXXXXX").string();
    REQUIRE(::mkdtemp(path.data()) != nullptr);
    path_ = path;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

/// Whether a program is installed; says visibly that the test is skipped when it is not.
inline bool has_program(const std::string& program) {
  if (std::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0) return true;
  MESSAGE("SKIPPED: needs the program " << program);
  return false;
}

inline void run_command(const std::string& command) {
  INFO(command);
  REQUIRE(std::system((command + " >/dev/null 2>&1").c_str()) == 0);
}

inline std::string file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

inline void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// The message of the Error that `action` throws; fails the test when it throws none.
inline std::string error_of(const std::function<void()>& action,
                            ErrorKind kind = ErrorKind::kInput) {
  try {
    action();
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    const std::string message = error.what();
    CHECK(message.find('\n') == std::string::npos);
    return message;
  }
  FAIL("no error was thrown");
  return {};
}

inline bool contains(const std::string& text, const std::string& part) {
  const bool found = text.find(part) != std::string::npos;
  if (!found) MESSAGE("not found in: " << text);
  return found;
}

/// A WAV file's bytes: any channels and rate, format tag 1 (integers) or 3 (float).
inline std::string wav_bytes(const std::string& data, int format, int channels, int rate,
                             int bits) {
  std::string out;
  const auto put = [&](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
  };
  const int frame = channels * bits / 8;
  out += "RIFF";
  put(static_cast<uint32_t>(36 + data.size()), 4);
  out += "WAVEfmt ";
  put(16, 4);
  put(static_cast<uint32_t>(format), 2);
  put(static_cast<uint32_t>(channels), 2);
  put(static_cast<uint32_t>(rate), 4);
  put(static_cast<uint32_t>(rate) * static_cast<uint32_t>(frame), 4);
  put(static_cast<uint32_t>(frame), 2);
  put(static_cast<uint32_t>(bits), 2);
  out += "data";
  put(static_cast<uint32_t>(data.size()), 4);
  return out + data;
}

inline std::string pcm_bytes(const std::vector<int16_t>& samples) {
  return {reinterpret_cast<const char*>(samples.data()), samples.size() * 2};
}

/// A tensor's values; the type must be the stored one.
template <typename T>
std::vector<T> tensor_values(const SafetensorsFile& file, const std::string& name) {
  INFO(name);
  const auto tensor = file.find(name);
  REQUIRE(tensor.has_value());
  REQUIRE(tensor->bytes() % sizeof(T) == 0);
  std::vector<T> values(tensor->bytes() / sizeof(T));
  REQUIRE(values.size() == static_cast<size_t>(tensor->elements()));
  std::memcpy(values.data(), tensor->data, tensor->bytes());
  return values;
}

}  // namespace gemma4
