// The flags that fix the form of an answer: --json-schema, --json-object, --regex, --grammar.
#pragma once

#include <string>

#include "lib/runtime/constraints.h"
#include "lib/runtime/generation.h"
#include "tools/text_input.h"

namespace CLI {
class App;
}

namespace gemma4 {

struct OutputFormatFlags {
  std::string json_schema;  // a file, or the schema itself
  bool json_object = false;
  std::string regex;
  std::string grammar;  // a file, or the grammar itself

  void add_to(CLI::App& app);
  /// At most one was given; Error(kUsage) otherwise.
  void check() const;
  bool any() const {
    return json_object || !json_schema.empty() || !regex.empty() || !grammar.empty();
  }
  /// Reads the file that was named. Throws Error(kInput) for one that cannot be read.
  OutputFormat format(StandardInput& standard_input) const;
};

/// The schema of a request, as JSON.
OutputFormat schema_format(Json schema);

/// Throws Error(kAnswer) when the answer was cut before its form was complete (ruling 17).
void require_complete(const GenerationResult& result);

}  // namespace gemma4
