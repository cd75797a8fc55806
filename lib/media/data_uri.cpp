#include "lib/media/data_uri.h"

#include <cstdint>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_ignoring_case(std::string_view text, std::string_view lower_case) {
  if (text.size() != lower_case.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (lower(text[i]) != lower_case[i]) return false;
  }
  return true;
}

/// The 6 bits of a base64 digit, or -1.
int digit_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

}  // namespace

bool is_data_uri(std::string_view text) { return equal_ignoring_case(text.substr(0, 5), "data:"); }

DataUri decode_data_uri(std::string_view uri, std::string_view origin) {
  const size_t comma = uri.find(',');
  if (!is_data_uri(uri) || comma == std::string_view::npos) {
    throw Error(ErrorKind::kInput, "not a data: URI", origin, "write data:TYPE;base64,DATA");
  }
  const std::string_view header = uri.substr(5, comma - 5);
  const size_t last = header.rfind(';');
  if (last == std::string_view::npos || !equal_ignoring_case(header.substr(last + 1), "base64")) {
    throw Error(ErrorKind::kInput, "the data: URI is not base64", origin,
                "write data:TYPE;base64,DATA");
  }
  return {std::string(header.substr(0, header.find(';'))),
          decode_base64(uri.substr(comma + 1), origin)};
}

std::string decode_base64(std::string_view text, std::string_view origin) {
  const auto fail = [&](const char* what) { throw Error(ErrorKind::kInput, what, origin); };
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  uint32_t buffer = 0;
  int digits = 0;
  int padding = 0;
  for (const char c : text) {
    if (c == '\r' || c == '\n') continue;
    if (c == '=') {
      ++padding;
      continue;
    }
    const int value = digit_value(c);
    if (value < 0 || padding > 0) fail("invalid character in base64 data");
    buffer = buffer << 6 | static_cast<uint32_t>(value);
    if (++digits == 4) {
      bytes.push_back(static_cast<char>(buffer >> 16));
      bytes.push_back(static_cast<char>(buffer >> 8));
      bytes.push_back(static_cast<char>(buffer));
      digits = 0;
      buffer = 0;
    }
  }
  if (digits == 1 || padding > 2 || (padding > 0 && digits + padding != 4)) {
    fail("base64 data of impossible length");
  }
  if (digits == 2) bytes.push_back(static_cast<char>(buffer >> 4));
  if (digits == 3) {
    bytes.push_back(static_cast<char>(buffer >> 10));
    bytes.push_back(static_cast<char>(buffer >> 2));
  }
  return bytes;
}

}  // namespace gemma4
