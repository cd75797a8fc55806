// A compiled template of the Jinja language, the subset that chat templates use.
//
// What a template can do is bounded (Limits), and nothing of the host can be reached from it.
// Tags: if, for, set, macro, call, filter, with, raw, break, continue, generation (which prints
// what is inside). Functions: range, namespace, dict, raise_exception. Filters, tests and methods:
// the tables in filters.cpp, selection.cpp, value_tests.cpp and methods.cpp.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/io/json.h"
#include "lib/text/jinja/budget.h"
#include "lib/text/jinja/text.h"

namespace gemma4::jinja {

/// A global of a template. Strings in it are data: untrusted, unless `trusted`.
struct Variable {
  std::string name;
  Json value;
  bool trusted = false;
};

class Template {
 public:
  /// `origin` is named in errors. Throws Error(kModel) naming what is not valid or not supported,
  /// and its line.
  static Template compile(std::string_view source, std::string_view origin,
                          const Limits& limits = {});

  /// The output. Throws Error(kInput) when the template itself raises an exception, Error(kModel)
  /// when it fails or exceeds a limit. May run in several threads at once.
  Text render(const std::vector<Variable>& variables) const;

  ~Template();
  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;

 private:
  struct Impl;
  explicit Template(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gemma4::jinja
