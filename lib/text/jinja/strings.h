// Operations on texts that keep the origin of every character; filters and methods share them.
#pragma once

#include <optional>
#include <vector>

#include "lib/text/jinja/value.h"

namespace gemma4::jinja {

enum class Side { kBoth, kLeft, kRight };

/// Without white space at the ends; with `characters`, without those instead.
Text strip(const Text& text, const std::optional<Text>& characters, Side side);

/// Parts between occurrences of `separator`; without one, the words between white space. At most
/// `limit` cuts when it is not negative.
std::vector<Value> split(const Text& text, const std::optional<Text>& separator, int64_t limit,
                         Budget& budget);

/// `count` < 0: every occurrence.
Text replace(const Text& text, const Text& from, const Text& to, int64_t count, Budget& budget);

Text join(const Value& items, const Text& separator, Budget& budget);

enum class LetterCase { kUpper, kLower, kTitle, kCapitalized };
Text change_case(const Text& text, LetterCase letter_case, Budget& budget);

/// Every line but the first (with `first` also that one), if not empty (with `blank` also then),
/// begins with `prefix`.
Text indent(const Text& text, const Text& prefix, bool first, bool blank, Budget& budget);

}  // namespace gemma4::jinja
