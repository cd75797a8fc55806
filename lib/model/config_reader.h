// Typed, checked access to the keys of a JSON config.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lib/base/tensor.h"
#include "lib/io/json.h"

namespace gemma4 {

/// A JSON object of a config file, with its path for error messages ("config.json: text_config").
/// null counts as absent. Every error is Error(kModel) and names the key.
class ConfigReader {
 public:
  ConfigReader(const Json& object, std::string path);

  bool has(const char* key) const;
  /// A sub-object; an error when it is missing or no object.
  ConfigReader object(const char* key) const;
  const Json& value(const char* key) const;

  int64_t integer(const char* key, int64_t min, int64_t max) const;
  int64_t integer_or(const char* key, int64_t fallback, int64_t min, int64_t max) const;
  double number(const char* key) const;
  double number_or(const char* key, double fallback) const;
  bool boolean_or(const char* key, bool fallback) const;
  std::string text(const char* key) const;
  std::string text_or(const char* key, const std::string& fallback) const;

  /// Throws Error(kModel): "<path>.<key>: problem".
  [[noreturn]] void fail(const std::string& key, const std::string& problem) const;
  const std::string& path() const { return path_; }

 private:
  const Json* object_;
  std::string path_;
};

/// The dtype that the config names for `part` of the model: its own "dtype", else that of the
/// whole, else bfloat16. One of kF32, kBf16 and kF16; an error for others.
Dtype config_dtype(const ConfigReader& top, const ConfigReader& part);

/// A number as a constant of that dtype has it.
float round_to_dtype(float value, Dtype dtype);

}  // namespace gemma4
