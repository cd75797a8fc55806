// Attachments written inside JSON: data: URIs (RFC 2397) and plain base64 (RFC 4648).
#pragma once

#include <string>
#include <string_view>

namespace gemma4 {

struct DataUri {
  std::string media_type;  // as written, e.g. "image/png"; may be empty
  std::string bytes;
};

/// Whether the text starts with "data:" in any case.
bool is_data_uri(std::string_view text);

/// Decodes "data:[<type>][;parameter=value]*;base64,<data>". Only base64 is accepted: it is what
/// chat APIs send. Throws Error(kInput) on anything else; `origin` is named in the error.
DataUri decode_data_uri(std::string_view uri, std::string_view origin);

/// Standard or URL-safe alphabet, padding optional, line breaks skipped.
/// Throws Error(kInput) on any other character or an impossible length.
std::string decode_base64(std::string_view text, std::string_view origin);

}  // namespace gemma4
