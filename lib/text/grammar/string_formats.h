// The values of JSON Schema's "format" for texts, as automata.
#pragma once

#include <optional>
#include <string_view>

#include "lib/text/grammar/dfa.h"

namespace gemma4 {

/// The texts of a format: date, time, date-time, duration (RFC 3339), email (RFC 5321 without
/// quoted names), hostname (RFC 1123), ipv4, ipv6, uuid, uri, uri-reference (RFC 3986),
/// uri-template (RFC 6570), json-pointer, relative-json-pointer. Every text is valid; forms that
/// validators disagree about (leap seconds, the year 0, lower-case T and Z) are left out. Nothing:
/// no such format.
std::optional<Dfa> format_text(std::string_view format);

}  // namespace gemma4
