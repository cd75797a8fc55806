#include "lib/text/grammar/json_schema.h"

#include "lib/base/error.h"
#include "lib/text/grammar/schema_writer.h"

namespace gemma4 {

Grammar json_schema_grammar(const Json& schema) {
  GrammarBuilder builder;
  const GrammarNode root = write_json(builder, schema);
  try {
    return std::move(builder).finish(root);
  } catch (const Error& error) {
    throw Error(ErrorKind::kUsage, error.what(), "schema /");
  }
}

Grammar json_object_grammar() { return json_schema_grammar(Json::object({{"type", "object"}})); }

}  // namespace gemma4
