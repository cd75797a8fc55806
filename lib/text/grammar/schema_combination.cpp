#include "lib/text/grammar/schema_combination.h"

#include <algorithm>
#include <deque>

#include "lib/text/grammar/limits.h"

namespace gemma4 {
namespace {

using Entry = SchemaChoice::Entry;

// One of the ways that a keyword leaves open.
struct Branch {
  std::vector<Entry> schemas;
  std::vector<std::string> required, absent;
};

struct Partial {
  SchemaChoice choice;
  std::deque<Entry> to_add;
  std::deque<std::vector<Branch>> open;
};

class Expander {
 public:
  Expander(SchemaDocument& document, std::set<SchemaId>& one_ofs)
      : document_(document), one_ofs_(one_ofs) {}

  std::vector<SchemaChoice> run(const Conjunction& conjunction) {
    std::vector<SchemaChoice> done;
    std::vector<Partial> work(1);
    for (const SchemaId id : conjunction) work.front().to_add.push_back({id, -1});
    size_t made = 1;
    while (!work.empty()) {
      Partial partial = std::move(work.back());
      work.pop_back();
      if (!add_all(partial)) continue;
      if (partial.open.empty()) {
        done.push_back(std::move(partial.choice));
        continue;
      }
      const std::vector<Branch> branches = std::move(partial.open.front());
      partial.open.pop_front();
      made += branches.size();
      if (made > grammar_limits::kMaxAlternatives) {
        document_.fail(conjunction.front(), {}, "too many choices multiply",
                       "at most " + std::to_string(grammar_limits::kMaxAlternatives));
      }
      // The stack turns the order round.
      for (auto branch = branches.rbegin(); branch != branches.rend(); ++branch) {
        Partial next = partial;
        next.to_add.assign(branch->schemas.begin(), branch->schemas.end());
        auto& choice = next.choice;
        choice.required.insert(choice.required.end(), branch->required.begin(),
                               branch->required.end());
        choice.absent.insert(choice.absent.end(), branch->absent.begin(), branch->absent.end());
        work.push_back(std::move(next));
      }
    }
    return done;
  }

 private:
  // False: a schema is false.
  bool add_all(Partial& partial) {
    auto& entries = partial.choice.entries;
    while (!partial.to_add.empty()) {
      const Entry entry = partial.to_add.front();
      partial.to_add.pop_front();
      if (!document_.is_object(entry.schema)) {
        if (!document_.json(entry.schema).get<bool>()) return false;
        continue;
      }
      for (int up = entry.parent; up >= 0; up = entries[static_cast<size_t>(up)].parent) {
        if (entries[static_cast<size_t>(up)].schema == entry.schema) {
          document_.fail(entry.schema, {}, "references lead in a circle without an end");
        }
      }
      const bool known = std::any_of(entries.begin(), entries.end(), [&](const Entry& other) {
        return other.schema == entry.schema;
      });
      if (known) continue;
      if (entries.size() >= grammar_limits::kMaxCombined) {
        document_.fail(entry.schema, {}, "too many schemas apply together",
                       "at most " + std::to_string(grammar_limits::kMaxCombined));
      }
      entries.push_back(entry);
      follow(partial, entry.schema, static_cast<int>(entries.size()) - 1);
    }
    return true;
  }

  void follow(Partial& partial, SchemaId id, int index) {
    if (document_.keyword(id, "$ref") != nullptr) {
      partial.to_add.push_back({document_.target_of_ref(id), index});
    }
    for (const Entry& entry : list(id, "allOf", index)) partial.to_add.push_back(entry);
    for (const char* keyword : {"anyOf", "oneOf"}) {
      std::vector<Branch> branches;
      for (const Entry& entry : list(id, keyword, index)) branches.push_back({{entry}, {}, {}});
      if (branches.empty()) continue;
      if (keyword == std::string_view("oneOf") && branches.size() > 1) one_ofs_.insert(id);
      partial.open.push_back(std::move(branches));
    }
    if (const Json* names = document_.keyword(id, "dependentRequired")) {
      for (const auto& [key, needed] : names->items()) {
        Branch with;
        with.required = needed.get<std::vector<std::string>>();
        with.required.push_back(key);
        partial.open.push_back({std::move(with), {{}, {}, {key}}});
      }
    }
    if (const Json* schemas = document_.keyword(id, "dependentSchemas")) {
      for (const auto& [key, unused] : schemas->items()) {
        const SchemaId schema = document_.child(id, "dependentSchemas", key);
        partial.open.push_back({Branch{{{schema, index}}, {key}, {}}, Branch{{}, {}, {key}}});
      }
    }
  }

  std::vector<Entry> list(SchemaId id, const char* keyword, int parent) {
    std::vector<Entry> entries;
    const Json* schemas = document_.keyword(id, keyword);
    for (size_t i = 0; schemas != nullptr && i < schemas->size(); ++i) {
      entries.push_back({document_.child(id, keyword, i), parent});
    }
    return entries;
  }

  SchemaDocument& document_;
  std::set<SchemaId>& one_ofs_;
};

}  // namespace

void add_schema(const SchemaDocument& document, Conjunction& conjunction, SchemaId id) {
  if (document.allows_all(id)) return;
  const auto at = std::lower_bound(conjunction.begin(), conjunction.end(), id);
  if (at == conjunction.end() || *at != id) conjunction.insert(at, id);
}

bool SchemaChoice::is_within(size_t entry, size_t ancestor) const {
  for (int at = static_cast<int>(entry); at >= 0; at = entries[static_cast<size_t>(at)].parent) {
    if (static_cast<size_t>(at) == ancestor) return true;
  }
  return false;
}

std::vector<SchemaChoice> expand(SchemaDocument& document, const Conjunction& conjunction,
                                 std::set<SchemaId>& one_ofs) {
  return Expander(document, one_ofs).run(conjunction);
}

}  // namespace gemma4
