// The filters that look at every element of a sequence: map, select, sort and their like.
#pragma once

#include <string_view>
#include <vector>

#include "lib/text/jinja/filters.h"

namespace gemma4::jinja {

/// Null when there is none of that name.
FilterFunction find_selection_filter(std::string_view name);

/// The elements as a loop sees them.
std::vector<Value> all_elements(const Value& value, Budget& budget);

/// item.a.b for the path "a.b"; numbers in it are indices. An integer is one index.
Value item_by_path(const Value& item, const Value& path, Budget& budget);

}  // namespace gemma4::jinja
