#include "lib/text/jinja/template.h"

#include "lib/base/utf8.h"
#include "lib/text/jinja/interpreter.h"
#include "lib/text/jinja/lexer.h"
#include "lib/text/jinja/parser.h"

namespace gemma4::jinja {
namespace {

Text text_of(const std::string& text, bool trusted) {
  return Text(is_valid_utf8(text) ? text : replace_invalid_utf8(text), trusted);
}

// Depth is bounded by `depth_left`, since values of the caller's making may be nested at will.
Value from_json(const Json& json, bool trusted, Budget& budget, int depth_left) {
  if (depth_left < 0) throw Failure("the data is nested too deeply", true);
  switch (json.type()) {
    case Json::value_t::boolean:
      return Value::boolean(json.get<bool>());
    case Json::value_t::number_integer:
      return Value::integer(json.get<int64_t>());
    case Json::value_t::number_unsigned:
      return Value::integer(json.get<uint64_t>());
    case Json::value_t::number_float:
      return Value::real(json.get<double>());
    case Json::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      budget.allocate(text.size());
      return Value::string(text_of(text, trusted));
    }
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) {
        items.push_back(from_json(item, trusted, budget, depth_left - 1));
      }
      return Value::list(std::move(items), budget);
    }
    case Json::value_t::object: {
      Map map;
      for (const auto& [key, value] : json.items()) {
        map.set(text_of(key, trusted), from_json(value, trusted, budget, depth_left - 1));
      }
      return Value::map(std::move(map), budget);
    }
    default:
      return Value::none();
  }
}

}  // namespace

struct Template::Impl {
  Program program;
  std::string origin;
  Limits limits;

  Error error(ErrorKind kind, int line, const std::string& message, std::string_view hint) const {
    return Error(kind, "chat template failed",
                 origin + " line " + std::to_string(line) + ": " + message, hint);
  }
};

Template::Template(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Template::~Template() = default;
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;

Template Template::compile(std::string_view source, std::string_view origin, const Limits& limits) {
  if (!is_valid_utf8(source)) {
    throw Error(ErrorKind::kModel, "chat template is not valid UTF-8", origin,
                "save the file as UTF-8");
  }
  auto impl = std::make_unique<Impl>();
  impl->origin = origin;
  impl->limits = limits;
  try {
    impl->program = parse(source, limits);
  } catch (const SyntaxFailure& failure) {
    throw Error(
        ErrorKind::kModel, "cannot compile the chat template",
        std::string(origin) + " line " + std::to_string(failure.line()) + ": " + failure.what(),
        "give another one with --chat-template");
  }
  return Template(std::move(impl));
}

Text Template::render(const std::vector<Variable>& variables) const {
  Interpreter interpreter(impl_->program, impl_->limits);
  try {
    for (const Variable& variable : variables) {
      interpreter.define(variable.name, from_json(variable.value, variable.trusted,
                                                  interpreter.budget(), impl_->limits.value_depth));
    }
    return interpreter.run();
  } catch (const Failure& failure) {
    if (failure.raised_by_template()) {
      throw impl_->error(ErrorKind::kInput, interpreter.line(), failure.what(),
                         "change the messages to what the template accepts");
    }
    throw impl_->error(ErrorKind::kModel, interpreter.line(), failure.what(),
                       "check the messages and tools, or give another template with "
                       "--chat-template");
  }
}

}  // namespace gemma4::jinja
