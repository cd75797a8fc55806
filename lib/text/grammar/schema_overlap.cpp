#include "lib/text/grammar/schema_overlap.h"

#include <algorithm>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

constexpr int kMaxDepth = 8;          // of members of members
constexpr size_t kMaxWork = 2000000;  // shapes compared and states looked at, for one oneOf

class Overlap {
 public:
  explicit Overlap(SchemaShapes& shapes) : shapes_(shapes) {}

  // No value that is written for `written` fits `other`. May say false where it is true.
  bool apart(const Conjunction& written, const Conjunction& other, int depth) {
    if (depth > kMaxDepth) return false;
    const auto& left = shapes_.of(written, Undeclared::kClosed);
    const auto& right = shapes_.of(other, Undeclared::kOpen);
    for (const SchemaShape& a : left) {
      for (const SchemaShape& b : right) {
        if (++work_ > kMaxWork || !apart(a, b, depth)) return false;
      }
    }
    return true;
  }

 private:
  bool apart(const SchemaShape& a, const SchemaShape& b, int depth) {
    if (a.values) {
      return std::none_of(a.values->begin(), a.values->end(), [&](const Json& value) {
        return shapes_.accepts(b, value, Undeclared::kOpen);
      });
    }
    if (b.values) {
      return std::none_of(b.values->begin(), b.values->end(), [&](const Json& value) {
        return shapes_.accepts(a, value, Undeclared::kClosed);
      });
    }
    const unsigned common = a.types & b.types;
    using Type = SchemaShape::Type;
    if ((common & (Type::kNull | Type::kBoolean)) != 0) return false;
    if ((common & (Type::kInteger | Type::kFraction)) != 0 && !apart(a.number, b.number)) {
      return false;
    }
    if ((common & Type::kString) != 0 && !apart(a.string, b.string)) return false;
    if ((common & Type::kArray) != 0 && !apart(a.array, b.array, depth)) return false;
    return (common & Type::kObject) == 0 || apart(a.object, b.object, depth);
  }

  static bool below(const std::optional<NumberBound>& high, const std::optional<NumberBound>& low) {
    if (!high || !low) return false;
    return high->value < low->value ||
           (high->value == low->value && (high->exclusive || low->exclusive));
  }
  static bool apart(const NumberSpec& a, const NumberSpec& b) {
    return below(a.high, b.low) || below(b.high, a.low);
  }

  bool apart(const StringSpec& a, const StringSpec& b) {
    const auto lengths = [](const StringSpec& spec) {
      LengthRange range{spec.min_length, spec.max_length};
      if (spec.text) {
        const LengthRange own = length_range(*spec.text);
        range = {std::max(range.least, own.least), std::min(range.most, own.most)};
      }
      return range;
    };
    const LengthRange left = lengths(a), right = lengths(b);
    if (left.most < right.least || right.most < left.least) return true;
    if (!a.text || !b.text) return false;
    work_ += a.text->size() * b.text->size();
    if (work_ > kMaxWork) return false;
    try {
      return intersection(*a.text, *b.text).empty();
    } catch (const Error&) {
      return false;  // too large to tell
    }
  }

  bool apart(const ArraySpec& a, const ArraySpec& b, int depth) {
    if (a.max_items < b.min_items || b.max_items < a.min_items) return true;
    const auto item = [](const ArraySpec& spec, size_t i) {
      return i < spec.prefix.size() ? &spec.prefix[i] : spec.rest ? &*spec.rest : nullptr;
    };
    const size_t both_have = std::max(a.min_items, b.min_items);
    const size_t different = std::max(a.prefix.size(), b.prefix.size()) + 1;
    for (size_t i = 0; i < std::min(both_have, different); ++i) {
      const Conjunction* left = item(a, i);
      const Conjunction* right = item(b, i);
      if (left == nullptr || right == nullptr || apart(*left, *right, depth + 1)) return true;
    }
    return false;
  }

  // What a key's value must fit; null: the key cannot be there.
  const Conjunction* member(const ObjectSpec& spec, const std::string& name) {
    for (const auto& property : spec.properties) {
      if (property.name == name) return &property.value;
    }
    for (const auto& others : spec.others) {
      if (!others.keys || others.keys->matches(name)) return &others.value;
    }
    return nullptr;
  }

  bool apart(const ObjectSpec& a, const ObjectSpec& b, int depth) {
    if (a.max_properties < b.min_properties || b.max_properties < a.min_properties) return true;
    const auto excludes = [&](const ObjectSpec::Property& property) {
      if (!property.required) return false;
      const Conjunction* left = member(a, property.name);
      const Conjunction* right = member(b, property.name);
      return left == nullptr || right == nullptr || apart(*left, *right, depth + 1);
    };
    return std::any_of(a.properties.begin(), a.properties.end(), excludes) ||
           std::any_of(b.properties.begin(), b.properties.end(), excludes);
  }

  SchemaShapes& shapes_;
  size_t work_ = 0;
};

}  // namespace

void require_exclusive_branches(SchemaShapes& shapes, SchemaId schema) {
  SchemaDocument& document = shapes.document();
  // What stands beside oneOf holds for every branch.
  const SchemaId beside = document.without(schema, "oneOf");
  const size_t count = document.keyword(schema, "oneOf")->size();
  std::vector<Conjunction> branches(count);
  for (size_t i = 0; i < count; ++i) {
    add_schema(document, branches[i], beside);
    add_schema(document, branches[i], document.child(schema, "oneOf", i));
  }
  Overlap overlap(shapes);
  for (size_t i = 0; i < count; ++i) {
    for (size_t j = 0; j < count; ++j) {
      if (i == j || overlap.apart(branches[i], branches[j], 0)) continue;
      document.fail(schema, "oneOf",
                    "branches " + std::to_string(std::min(i, j)) + " and " +
                        std::to_string(std::max(i, j)) + " cannot be shown to exclude each other",
                    "use anyOf, or tell them apart by a required property with \"const\"");
    }
  }
}

}  // namespace gemma4
