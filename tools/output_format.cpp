#include "tools/output_format.h"

#include "lib/base/error.h"
#include "tools/command_line.h"

namespace gemma4 {
namespace {

constexpr JsonLimits kSchemaLimits{.allow_duplicate_keys = false};

bool begins_with_brace(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != text.npos && text[first] == '{';
}

}  // namespace

void OutputFormatFlags::add_to(CLI::App& app) {
  const char* group = "Form of the answer (temperature 0 unless given)";
  add_value(app, "--json-schema", json_schema, "FILE|SCHEMA",
            "JSON that is valid by this schema; what cannot be\nenforced exactly is an error")
      ->group(group);
  add_switch(app, "--json-object", json_object, "any JSON object")->group(group);
  add_value(app, "--regex", regex, "EXPRESSION", "a text that matches as a whole")->group(group);
  add_value(app, "--grammar", grammar, "FILE|GRAMMAR", "a text of this GBNF grammar")->group(group);
}

void OutputFormatFlags::check() const {
  const int given = static_cast<int>(!json_schema.empty()) + static_cast<int>(json_object) +
                    static_cast<int>(!regex.empty()) + static_cast<int>(!grammar.empty());
  if (given > 1) {
    throw Error(ErrorKind::kUsage,
                "--json-schema, --json-object, --regex and --grammar exclude each other", {},
                "see gemma4 run --help");
  }
}

OutputFormat OutputFormatFlags::format(StandardInput& standard_input) const {
  OutputFormat format;
  if (!json_schema.empty()) {
    const bool given = begins_with_brace(json_schema);
    format = schema_format(parse_json(given ? json_schema : read_input(json_schema, standard_input),
                                      given ? "--json-schema" : json_schema, ErrorKind::kInput,
                                      kSchemaLimits));
  } else if (json_object) {
    format.kind = OutputFormat::Kind::kJsonObject;
  } else if (!regex.empty()) {
    format.kind = OutputFormat::Kind::kRegex;
    format.text = regex;
  } else if (!grammar.empty()) {
    const bool given = grammar.find("::=") != grammar.npos;
    format.kind = OutputFormat::Kind::kGrammar;
    format.text = given ? grammar : read_input(grammar, standard_input);
  }
  return format;
}

OutputFormat schema_format(Json schema) {
  OutputFormat format;
  format.kind = OutputFormat::Kind::kJsonSchema;
  format.schema = std::move(schema);
  return format;
}

void require_complete(const GenerationResult& result) {
  if (!result.complete || *result.complete || result.finish_reason != FinishReason::kLength) return;
  throw Error(ErrorKind::kAnswer, "the answer was cut before its form or tool call was complete",
              std::to_string(result.completion_tokens) + " tokens", "raise --max-tokens");
}

}  // namespace gemma4
