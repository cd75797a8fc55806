#include "lib/text/grammar/schema_writer.h"

#include <algorithm>
#include <deque>
#include <map>

#include "lib/base/error.h"
#include "lib/text/grammar/limits.h"
#include "lib/text/grammar/regex_parser.h"
#include "lib/text/grammar/schema_overlap.h"
#include "lib/text/grammar/schema_shapes.h"
#include "lib/text/tool_arguments.h"

namespace gemma4 {
namespace {

constexpr uint32_t kEndless = Grammar::kEndless;

// RFC 8259, 7; \u escapes of surrogates in pairs.
constexpr std::string_view kStringCharacter =
    R"((?:[^"\\\u0000-\u001f]|\\["\\/bfnrt])"
    R"(|\\u(?:[0-9a-cA-CefEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))"
    R"(|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))";

// How the elements of values are spelled.
class Spelling {
 public:
  virtual ~Spelling() = default;

  GrammarNode blanks = 0;  // that may stand between elements
  GrammarNode comma = 0;
  GrammarNode colon = 0;

  virtual GrammarNode scalar(const Json& value) = 0;
  /// Any of several scalars.
  virtual GrammarNode scalars(const std::vector<Json>& values) = 0;
  virtual GrammarNode string(const StringSpec& spec) = 0;
  virtual GrammarNode key(const std::string& name) = 0;
  /// Any key that `keys` takes; null: any key.
  virtual GrammarNode other_key(const Dfa* keys) = 0;
  virtual std::vector<ObjectSpec::Property> ordered(std::vector<ObjectSpec::Property> members) = 0;
};

class JsonSpelling : public Spelling {
 public:
  explicit JsonSpelling(GrammarBuilder& builder) : builder_(builder) {
    const std::string character(kStringCharacter);
    character_ = builder_.dfa(parse_regex(character, RegexMatch::kWhole));
    string_ = builder_.dfa(parse_regex("\"" + character + "*\"", RegexMatch::kWhole));
    blanks = builder_.repeat(builder_.dfa(parse_regex("[ \\t\\n\\r]", RegexMatch::kWhole)), 0,
                             grammar_limits::kWhitespaceCap);
    comma = builder_.sequence({builder_.literal(","), blanks});
    colon = builder_.sequence({blanks, builder_.literal(":"), blanks});
  }

  GrammarNode scalar(const Json& value) override { return builder_.literal(value.dump()); }

  GrammarNode scalars(const std::vector<Json>& values) override {
    std::vector<std::string> texts;
    for (const Json& value : values) texts.push_back(value.dump());
    return builder_.dfa(dfa_of_texts(texts));
  }

  GrammarNode string(const StringSpec& spec) override {
    if (spec.text) return builder_.dfa(json_string_of(*spec.text));
    if (spec.min_length == 0 && spec.max_length == kEndless) return string_;
    const GrammarNode quote = builder_.literal("\"");
    return builder_.sequence(
        {quote, builder_.repeat(character_, spec.min_length, spec.max_length), quote});
  }

  GrammarNode key(const std::string& name) override { return builder_.literal(Json(name).dump()); }

  GrammarNode other_key(const Dfa* keys) override {
    return keys != nullptr ? builder_.dfa(json_string_of(*keys)) : string_;
  }

  std::vector<ObjectSpec::Property> ordered(std::vector<ObjectSpec::Property> members) override {
    return members;
  }

 private:
  GrammarBuilder& builder_;
  GrammarNode character_, string_;
};

// Gemma's arguments: spec tokenizer-chat.md, 4.5 and 5.1.
class ToolCallSpelling : public Spelling {
 public:
  explicit ToolCallSpelling(GrammarBuilder& builder)
      : builder_(builder),
        character_(builder.dfa(parse_regex("[\\s\\S]", RegexMatch::kWhole))),
        text_(builder.dfa(parse_regex("[\\s\\S]*", RegexMatch::kWhole))),
        delimiter_(builder.literal(std::string(1, kStringDelimiter))),
        bare_keys_(parse_regex(R"([^:,{}\[\]\s\u0000-\u001f]+)", RegexMatch::kWhole)) {
    blanks = builder_.sequence({});
    comma = builder_.literal(",");
    colon = builder_.literal(":");
  }

  GrammarNode scalar(const Json& value) override { return builder_.literal(spelled(value)); }

  GrammarNode scalars(const std::vector<Json>& values) override {
    std::vector<std::string> texts;
    for (const Json& value : values) texts.push_back(spelled(value));
    return builder_.dfa(dfa_of_texts(texts));
  }

  GrammarNode string(const StringSpec& spec) override {
    GrammarNode text = text_;
    if (spec.text) {
      text = builder_.dfa(*spec.text);
    } else if (spec.min_length != 0 || spec.max_length != kEndless) {
      text = builder_.repeat(character_, spec.min_length, spec.max_length);
    }
    return builder_.sequence({delimiter_, text, delimiter_});
  }

  GrammarNode key(const std::string& name) override {
    if (!bare_keys_.matches(name)) {
      throw Error(ErrorKind::kUsage, "a tool call cannot spell this property's name",
                  Json(name).dump(), "use letters, digits, \"_\", \"-\" and \".\"");
    }
    return builder_.literal(name);
  }

  GrammarNode other_key(const Dfa* keys) override {
    return builder_.dfa(keys != nullptr ? intersection(*keys, bare_keys_) : bare_keys_);
  }

  // As the chat template orders them (Jinja's dictsort), which is how the model knows calls.
  std::vector<ObjectSpec::Property> ordered(std::vector<ObjectSpec::Property> members) override {
    const auto lower = [](std::string text) {
      for (char& c : text) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
      }
      return text;
    };
    std::stable_sort(members.begin(), members.end(),
                     [&](const auto& a, const auto& b) { return lower(a.name) < lower(b.name); });
    return members;
  }

 private:
  static std::string spelled(const Json& value) {
    if (!value.is_string()) return value.dump();
    return kStringDelimiter + value.get<std::string>() + kStringDelimiter;
  }

  GrammarBuilder& builder_;
  GrammarNode character_, text_, delimiter_;
  Dfa bare_keys_;
};

class SchemaWriter {
 public:
  SchemaWriter(GrammarBuilder& builder, const Json& schema, Spelling& spelling)
      : document_(schema), shapes_(document_), builder_(builder), spell_(spelling) {}

  GrammarNode write() && {
    Conjunction root;
    add_schema(document_, root, SchemaDocument::kRoot);
    const GrammarNode start = value(root);
    while (!to_write_.empty()) {
      const auto [conjunction, rule] = std::move(to_write_.front());
      to_write_.pop_front();
      std::vector<GrammarNode> choices;
      for (const SchemaShape& shape : shapes_.of(conjunction, Undeclared::kClosed)) {
        for (const GrammarNode choice : write_shape(shape)) choices.push_back(choice);
      }
      builder_.define(rule, builder_.alternatives(std::move(choices)));
      check_one_ofs();
    }
    return start;
  }

 private:
  // A value that fits these schemas: a rule, written when its turn comes.
  GrammarNode value(const Conjunction& conjunction) {
    const auto [it, is_new] = rules_.try_emplace(conjunction, 0);
    if (is_new) {
      it->second = builder_.declare_rule();
      to_write_.emplace_back(conjunction, it->second);
    }
    return builder_.rule(it->second);
  }

  // Each oneOf once; the proof may meet more of them.
  void check_one_ofs() {
    for (auto open = shapes_.take_one_ofs(); !open.empty(); open = shapes_.take_one_ofs()) {
      for (const SchemaId schema : open) {
        if (proven_.insert(schema).second) require_exclusive_branches(shapes_, schema);
      }
    }
  }

  std::vector<GrammarNode> write_shape(const SchemaShape& shape) {
    using Type = SchemaShape::Type;
    if (shape.values) return write_values(*shape.values);
    std::vector<GrammarNode> choices;
    const auto has = [&](Type type) { return (shape.types & type) != 0; };
    if (has(Type::kNull)) choices.push_back(builder_.literal("null"));
    if (has(Type::kBoolean)) {
      choices.push_back(builder_.literal("true"));
      choices.push_back(builder_.literal("false"));
    }
    if (has(Type::kInteger) || has(Type::kFraction)) {
      choices.push_back(builder_.dfa(number_text(shape.number)));
    }
    if (has(Type::kString)) choices.push_back(spell_.string(shape.string));
    if (has(Type::kArray)) choices.push_back(write_array(shape.array));
    if (has(Type::kObject)) choices.push_back(write_object(shape.object));
    return choices;
  }

  std::vector<GrammarNode> write_values(const std::vector<Json>& values) {
    std::vector<GrammarNode> choices;
    std::vector<Json> scalars;
    for (const Json& value : values) {
      if (value.is_structured()) {
        choices.push_back(write_constant(value));
      } else {
        scalars.push_back(value);
      }
    }
    if (!scalars.empty()) choices.push_back(spell_.scalars(scalars));
    return choices;
  }

  GrammarNode write_constant(const Json& value) {
    if (!value.is_structured()) return spell_.scalar(value);
    std::vector<GrammarNode> parts = {builder_.literal(value.is_object() ? "{" : "["),
                                      spell_.blanks};
    bool first = true;
    for (const auto& [key, member] : value.items()) {
      if (!first) parts.push_back(spell_.comma);
      first = false;
      if (value.is_object()) {
        parts.push_back(spell_.key(key));
        parts.push_back(spell_.colon);
      }
      parts.push_back(write_constant(member));
      parts.push_back(spell_.blanks);
    }
    parts.push_back(builder_.literal(value.is_object() ? "}" : "]"));
    return builder_.sequence(std::move(parts));
  }

  // From the last item to the first: after[i] is what follows item i - 1 and its blanks.
  GrammarNode write_array(const ArraySpec& spec) {
    const GrammarNode close = builder_.literal("]");
    const uint32_t length = std::min(static_cast<uint32_t>(spec.prefix.size()), spec.max_items);
    std::vector<GrammarNode> choices;  // of what follows the prefix
    GrammarNode begin_of_rest = 0;     // the same without a comma
    const bool more = spec.rest && spec.max_items > length;
    if (more) {
      const GrammarNode item = builder_.sequence({value(*spec.rest), spell_.blanks});
      const uint32_t least = spec.min_items > length ? spec.min_items - length : 0;
      const uint32_t most = spec.max_items == kEndless ? kEndless : spec.max_items - length;
      const GrammarNode further =
          builder_.repeat(builder_.sequence({spell_.comma, item}), least == 0 ? 0 : least - 1,
                          most == kEndless ? kEndless : most - 1);
      begin_of_rest = builder_.sequence({item, further, close});
      choices.push_back(builder_.sequence({spell_.comma, begin_of_rest}));
    }
    if (spec.min_items <= length) choices.push_back(close);
    GrammarNode after = builder_.alternatives(std::move(choices));
    std::vector<GrammarNode> first;  // choices behind the bracket
    if (length == 0) {
      if (more) first.push_back(begin_of_rest);
      if (spec.min_items == 0) first.push_back(close);
    }
    for (uint32_t i = length; i-- > 0;) {
      const GrammarNode item = builder_.sequence({value(spec.prefix[i]), spell_.blanks, after});
      if (i == 0) first.push_back(item);
      choices = {builder_.sequence({spell_.comma, item})};
      if (i >= spec.min_items) choices.push_back(close);
      after = builder_.alternatives(std::move(choices));
      if (i == 0 && spec.min_items == 0) first.push_back(close);
    }
    return builder_.sequence(
        {builder_.literal("["), spell_.blanks, builder_.alternatives(std::move(first))});
  }

  GrammarNode write_object(const ObjectSpec& spec) {
    const auto n = static_cast<uint32_t>(spec.properties.size());
    const std::vector<ObjectSpec::Property> properties = spell_.ordered(spec.properties);
    const GrammarNode close = builder_.literal("}");
    const auto needed =
        static_cast<uint32_t>(std::count_if(spec.properties.begin(), spec.properties.end(),
                                            [](const auto& one) { return one.required; }));
    if (!spec.others.empty() && spec.min_properties > n + 1) {
      document_.fail(spec.schema, "minProperties",
                     "keys that the schema does not name may repeat, so that more than one of "
                     "them cannot be counted on",
                     "name the properties, or ask for fewer");
    }
    // Members are counted only where a bound depends on it.
    const bool counted = spec.min_properties > needed || spec.max_properties != kEndless;
    const uint32_t columns = counted ? std::min(n, spec.max_properties) + 1 : 1;
    if (uint64_t{columns} * n > grammar_limits::kMaxCountedMembers) {
      document_.fail(spec.schema, "maxProperties", "too many properties to count",
                     "ask for fewer, or leave the bound out");
    }
    const auto enough = [&](uint32_t count) { return !counted || count >= spec.min_properties; };

    GrammarNode other = 0;  // a member with a key of its own
    if (!spec.others.empty()) {
      std::vector<GrammarNode> choices;
      for (const auto& others : spec.others) {
        choices.push_back(builder_.sequence({spell_.other_key(others.keys.get()), spell_.colon,
                                             value(others.value), spell_.blanks}));
      }
      other = builder_.alternatives(std::move(choices));
    }
    // begin[c]: a next member and all that follows it, when c members are there and the next
    // property may be the i-th or a later one; after[c]: what follows a member.
    std::vector<GrammarNode> begin(columns), after(columns);
    for (uint32_t c = 0; c < columns; ++c) {
      std::vector<GrammarNode> first;
      const bool room = !counted || c < spec.max_properties;
      if (!spec.others.empty() && room && enough(c + 1)) {
        const uint32_t further =
            spec.max_properties == kEndless ? kEndless : spec.max_properties - c - 1;
        first.push_back(builder_.sequence(
            {other, builder_.repeat(builder_.sequence({spell_.comma, other}), 0, further), close}));
      }
      begin[c] = builder_.alternatives(std::move(first));
      after[c] = after_member(begin[c], enough(c), close);
    }
    bool all_optional = true;  // from the i-th property on
    for (uint32_t i = n; i-- > 0;) {
      const auto& property = properties[i];
      all_optional &= !property.required;
      const GrammarNode member = builder_.sequence(
          {spell_.key(property.name), spell_.colon, value(property.value), spell_.blanks});
      std::vector<GrammarNode> next_begin(columns), next_after(columns);
      for (uint32_t c = 0; c < columns; ++c) {
        std::vector<GrammarNode> choices;
        const bool room = !counted || c + 1 < columns;
        if (room) choices.push_back(builder_.sequence({member, after[counted ? c + 1 : c]}));
        if (!property.required) choices.push_back(begin[c]);
        next_begin[c] = builder_.alternatives(std::move(choices));
        next_after[c] = after_member(next_begin[c], all_optional && enough(c), close);
      }
      begin = std::move(next_begin);
      after = std::move(next_after);
    }
    std::vector<GrammarNode> choices = {begin[0]};
    if (all_optional && enough(0)) choices.push_back(close);
    return builder_.sequence(
        {builder_.literal("{"), spell_.blanks, builder_.alternatives(std::move(choices))});
  }

  GrammarNode after_member(GrammarNode next, bool may_close, GrammarNode close) {
    std::vector<GrammarNode> choices = {builder_.sequence({spell_.comma, next})};
    if (may_close) choices.push_back(close);
    return builder_.alternatives(std::move(choices));
  }

  SchemaDocument document_;
  SchemaShapes shapes_;
  GrammarBuilder& builder_;
  Spelling& spell_;
  std::map<Conjunction, uint32_t> rules_;
  std::deque<std::pair<Conjunction, uint32_t>> to_write_;
  std::set<SchemaId> proven_;
};

}  // namespace

GrammarNode write_json(GrammarBuilder& builder, const Json& schema) {
  JsonSpelling spelling(builder);
  return SchemaWriter(builder, schema, spelling).write();
}

GrammarNode write_tool_arguments(GrammarBuilder& builder, const Json& schema) {
  ToolCallSpelling spelling(builder);
  return SchemaWriter(builder, schema, spelling).write();
}

}  // namespace gemma4
