#include "lib/text/grammar/schema_objects.h"

#include <algorithm>

#include "lib/base/error.h"
#include "lib/text/grammar/limits.h"

namespace gemma4 {

ObjectMerger::ObjectMerger(SchemaShapes& shapes, const SchemaChoice& choice, Undeclared undeclared)
    : shapes_(shapes), document_(shapes.document()), choice_(choice), undeclared_(undeclared) {
  collect();
}

void ObjectMerger::collect() {
  std::set<std::string> seen;
  const auto add_name = [&](const std::string& name) {
    if (seen.insert(name).second) names_.push_back(name);
  };
  for (size_t e = 0; e < choice_.entries.size(); ++e) {
    const SchemaId id = choice_.entries[e].schema;
    for (const char* keyword :
         {"properties", "patternProperties", "additionalProperties", "unevaluatedProperties"}) {
      declares_ |= document_.keyword(id, keyword) != nullptr;
    }
    if (const Json* properties = document_.keyword(id, "properties")) {
      for (const auto& [name, unused] : properties->items()) add_name(name);
    }
    if (const Json* patterns = document_.keyword(id, "patternProperties")) {
      for (const auto& [pattern, unused] : patterns->items()) {
        patterns_.push_back({e, document_.child(id, "patternProperties", pattern),
                             shapes_.expression(id, "patternProperties", pattern)});
      }
    }
  }
  for (const auto& entry : choice_.entries) {
    if (const Json* names = document_.keyword(entry.schema, "required")) {
      for (const Json& name : *names) required_.insert(name.get<std::string>());
      for (const Json& name : *names) add_name(name.get<std::string>());
    }
  }
  for (const std::string& name : choice_.required) {
    required_.insert(name);
    add_name(name);
  }
  for (const std::string& name : choice_.absent) add_name(name);
  if (names_.size() > grammar_limits::kMaxProperties) {
    document_.fail(choice_.entries.front().schema, "properties", "too many properties",
                   "at most " + std::to_string(grammar_limits::kMaxProperties));
  }
  key_language_ = allowed_keys();
}

// The keys that every propertyNames allows.
std::shared_ptr<const Dfa> ObjectMerger::allowed_keys() {
  std::shared_ptr<const Dfa> all;
  for (const auto& entry : choice_.entries) {
    if (document_.keyword(entry.schema, "propertyNames") == nullptr) continue;
    Conjunction names;
    add_schema(document_, names, document_.child(entry.schema, "propertyNames"));
    const auto& shapes = shapes_.of(names, undeclared_);
    Dfa keys = dfa_of_texts({});
    try {
      for (const SchemaShape& shape : shapes) {
        if (shape.values) {
          std::vector<std::string> texts;
          for (const Json& value : *shape.values) {
            if (value.is_string()) texts.push_back(value.get<std::string>());
          }
          keys = set_union(keys, dfa_of_texts(texts));
        } else if ((shape.types & SchemaShape::kString) != 0) {
          keys = set_union(keys, shape.string.text ? *shape.string.text
                                                   : dfa_of_length(shape.string.min_length,
                                                                   shape.string.max_length));
        }
      }
      if (all) keys = intersection(*all, keys);
    } catch (const Error& error) {
      document_.fail(entry.schema, "propertyNames", error.what());
    }
    all = std::make_shared<const Dfa>(std::move(keys));
  }
  return all;
}

// `name`: a key by name; null: keys that have none. named[e]: entry e has the key in its
// "properties". matched[p]: patterns_[p] matches the key.
ObjectMerger::Verdict ObjectMerger::verdict(const std::vector<bool>& named, const std::string* name,
                                            const std::vector<bool>& matched) {
  const auto& entries = choice_.entries;
  Conjunction value;
  bool spoken = false;
  std::vector<bool> evaluated = named;
  for (size_t p = 0; p < patterns_.size(); ++p) {
    if (!matched[p]) continue;
    add_schema(document_, value, patterns_[p].schema);
    evaluated[patterns_[p].entry] = true;
    spoken = true;
  }
  for (size_t e = 0; e < entries.size(); ++e) {
    const SchemaId id = entries[e].schema;
    if (named[e]) {
      add_schema(document_, value, document_.child(id, "properties", *name));
      spoken = true;
    }
    if (!evaluated[e] && document_.keyword(id, "additionalProperties") != nullptr) {
      add_schema(document_, value, document_.child(id, "additionalProperties"));
      evaluated[e] = spoken = true;
    }
  }
  // From the inside out: an inner unevaluatedProperties evaluates the key for an outer one.
  for (size_t e = entries.size(); e-- > 0;) {
    const SchemaId id = entries[e].schema;
    if (document_.keyword(id, "unevaluatedProperties") == nullptr) continue;
    bool known = false;
    for (size_t other = e; other < entries.size() && !known; ++other) {
      known = evaluated[other] && choice_.is_within(other, e);
    }
    if (known) continue;
    add_schema(document_, value, document_.child(id, "unevaluatedProperties"));
    evaluated[e] = spoken = true;
  }
  if (!spoken) return {};
  return {std::move(value)};
}

ObjectSpec ObjectMerger::merge() {
  ObjectSpec spec;
  for (const auto& entry : choice_.entries) {
    const SchemaId id = entry.schema;
    const uint32_t least = shapes_.count_of(id, "minProperties", 0);
    if (least > spec.min_properties) {
      spec.min_properties = least;
      spec.schema = id;
    }
    spec.max_properties =
        std::min(spec.max_properties, shapes_.count_of(id, "maxProperties", UINT32_MAX));
  }
  add_properties(spec);
  add_others(spec);
  return spec;
}

void ObjectMerger::add_properties(ObjectSpec& spec) {
  const auto& entries = choice_.entries;
  const std::set<std::string> absent(choice_.absent.begin(), choice_.absent.end());
  std::optional<SchemaId> nothing;
  for (const std::string& name : names_) {
    std::vector<bool> named(entries.size(), false), matched(patterns_.size(), false);
    for (size_t e = 0; e < entries.size(); ++e) {
      const Json* properties = document_.keyword(entries[e].schema, "properties");
      named[e] = properties != nullptr && properties->contains(name);
    }
    for (size_t p = 0; p < patterns_.size(); ++p) matched[p] = patterns_[p].keys->matches(name);
    // A key that is only "required" is declared by that: it may have any value.
    Conjunction value = verdict(named, &name, matched).value.value_or(Conjunction{});
    if (absent.contains(name) || (key_language_ && !key_language_->matches(name))) {
      if (!nothing) nothing = document_.nothing();
      value = {*nothing};
    }
    spec.properties.push_back({name, std::move(value), required_.contains(name)});
  }
}

void ObjectMerger::add_others(ObjectSpec& spec) {
  const std::vector<bool> unnamed(choice_.entries.size(), false);
  const bool open = !declares_ || undeclared_ == Undeclared::kOpen;
  const auto add = [&](std::shared_ptr<const Dfa> keys, const std::vector<bool>& matched) {
    Verdict said = verdict(unnamed, nullptr, matched);
    if (!said.value && !open) return;
    spec.others.push_back({std::move(keys), std::move(said.value).value_or(Conjunction{})});
  };
  if (names_.empty() && patterns_.empty() && !key_language_) {
    add(nullptr, {});
    return;
  }
  // Without patterns, keys that nobody speaks of need no automaton.
  if (patterns_.empty() && !open && !verdict(unnamed, nullptr, {}).value) return;
  struct Class {
    Dfa keys;
    std::vector<bool> matched;
  };
  std::vector<Class> classes;
  try {
    Dfa rest = key_language_ ? *key_language_ : dfa_of_length(0, UINT32_MAX);
    rest = difference(rest, dfa_of_texts(names_));
    classes.push_back({std::move(rest), {}});
    for (const Pattern& pattern : patterns_) {
      std::vector<Class> finer;
      for (Class& one : classes) {
        for (const bool matches : {true, false}) {
          Dfa keys =
              matches ? intersection(one.keys, *pattern.keys) : difference(one.keys, *pattern.keys);
          if (keys.empty()) continue;
          finer.push_back({std::move(keys), one.matched});
          finer.back().matched.push_back(matches);
        }
      }
      classes = std::move(finer);
      if (classes.size() > grammar_limits::kMaxKeyClasses) {
        throw Error(ErrorKind::kUsage, "too many patterns of keys overlap");
      }
    }
  } catch (const Error& error) {
    document_.fail(choice_.entries.front().schema, "patternProperties", error.what());
  }
  for (Class& one : classes) {
    if (!one.keys.empty()) add(std::make_shared<const Dfa>(std::move(one.keys)), one.matched);
  }
}

}  // namespace gemma4
