#include "lib/model/config_reader.h"

#include <cmath>

#include "lib/base/scalar_types.h"

namespace gemma4 {

ConfigReader::ConfigReader(const Json& object, std::string path)
    : object_(&object), path_(std::move(path)) {
  if (!object.is_object()) throw Error(ErrorKind::kModel, "must be a JSON object", path_);
}

void ConfigReader::fail(const std::string& key, const std::string& problem) const {
  throw Error(ErrorKind::kModel, "unusable config value", path_ + "." + key, problem);
}

bool ConfigReader::has(const char* key) const {
  const auto found = object_->find(key);
  return found != object_->end() && !found->is_null();
}

const Json& ConfigReader::value(const char* key) const {
  if (!has(key)) fail(key, "it is missing");
  return *object_->find(key);
}

ConfigReader ConfigReader::object(const char* key) const {
  return ConfigReader(value(key), path_ + "." + key);
}

int64_t ConfigReader::integer(const char* key, int64_t min, int64_t max) const {
  const Json& found = value(key);
  const std::string wanted =
      "must be an integer from " + std::to_string(min) + " to " + std::to_string(max);
  if (!found.is_number_integer()) fail(key, wanted);
  if (found.is_number_unsigned() && found.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    fail(key, wanted);
  }
  const auto number = found.get<int64_t>();
  if (number < min || number > max) fail(key, wanted + ", not " + std::to_string(number));
  return number;
}

int64_t ConfigReader::integer_or(const char* key, int64_t fallback, int64_t min,
                                 int64_t max) const {
  return has(key) ? integer(key, min, max) : fallback;
}

double ConfigReader::number(const char* key) const {
  const Json& found = value(key);
  if (!found.is_number() || !std::isfinite(found.get<double>())) fail(key, "must be a number");
  return found.get<double>();
}

double ConfigReader::number_or(const char* key, double fallback) const {
  return has(key) ? number(key) : fallback;
}

bool ConfigReader::boolean_or(const char* key, bool fallback) const {
  if (!has(key)) return fallback;
  const Json& found = value(key);
  if (!found.is_boolean()) fail(key, "must be true or false");
  return found.get<bool>();
}

std::string ConfigReader::text(const char* key) const {
  const Json& found = value(key);
  if (!found.is_string()) fail(key, "must be a string");
  return found.get<std::string>();
}

std::string ConfigReader::text_or(const char* key, const std::string& fallback) const {
  return has(key) ? text(key) : fallback;
}

Dtype config_dtype(const ConfigReader& top, const ConfigReader& part) {
  std::string name = top.text_or("torch_dtype", "bfloat16");
  name = part.text_or("dtype", top.text_or("dtype", name));
  if (name == "bfloat16") return Dtype::kBf16;
  if (name == "float16") return Dtype::kF16;
  if (name == "float32") return Dtype::kF32;
  (part.has("dtype") ? part : top).fail("dtype", "\"" + name + "\" is not supported");
}

float round_to_dtype(float value, Dtype dtype) {
  if (dtype == Dtype::kBf16) return round_to_bf16(value);
  if (dtype == Dtype::kF16) return to_float(to_f16(value));
  return value;
}

}  // namespace gemma4
