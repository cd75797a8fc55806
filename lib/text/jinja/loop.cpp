#include "lib/text/jinja/loop.h"

namespace gemma4::jinja {
namespace {

Value count(size_t number) { return Value::integer(static_cast<Integer>(number)); }

}  // namespace

Value loop_attribute(const LoopState& loop, std::string_view name) {
  const size_t size = loop.items.size();
  const size_t index0 = loop.index0;
  if (name == "index") return count(index0 + 1);
  if (name == "index0") return count(index0);
  if (name == "first") return Value::boolean(index0 == 0);
  if (name == "last") return Value::boolean(index0 + 1 == size);
  if (name == "length") return count(size);
  if (name == "revindex") return count(size - index0);
  if (name == "revindex0") return count(size - index0 - 1);
  // Depth is that of recursive loops, which there are none of.
  if (name == "depth") return count(1);
  if (name == "depth0") return count(0);
  if (name == "previtem") {
    return index0 > 0 ? loop.items.at(index0 - 1) : Value::undefined("there is no previous item");
  }
  if (name == "nextitem") {
    return index0 + 1 < size ? loop.items.at(index0 + 1)
                             : Value::undefined("there is no next item");
  }
  return Value::undefined(name);
}

}  // namespace gemma4::jinja
