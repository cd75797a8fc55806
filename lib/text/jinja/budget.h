// How much a template may do: what bounds time and memory when a hostile template, or a hostile
// conversation, is rendered.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace gemma4::jinja {

struct Limits {
  uint64_t source_bytes = uint64_t{1} << 20;
  int parse_depth = 100;       // nested statements, brackets and prefix operators
  int expression_depth = 500;  // operators on top of each other, as in a + b + c + ...
  int call_depth = 2500;       // nested evaluation: about ten of these a macro call
  int value_depth = 250;       // lists in lists, dictionaries in dictionaries
  uint64_t steps = 200'000'000;
  uint64_t allocated_bytes = uint64_t{2} << 30;  // all strings and lists made while rendering
  uint64_t output_bytes = uint64_t{256} << 20;
};

/// A template that fails while it runs. Becomes an Error that names the template and the line.
class Failure : public std::runtime_error {
 public:
  explicit Failure(const std::string& message, bool raised_by_template = false)
      : std::runtime_error(message), raised_by_template_(raised_by_template) {}
  /// raise_exception(...) was called: the template refuses its input.
  bool raised_by_template() const { return raised_by_template_; }

 private:
  bool raised_by_template_;
};

/// What is left of the limits during one rendering.
class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}

  void step(uint64_t count = 1) {
    steps_ += count;
    if (steps_ > limits_.steps) throw Failure("takes too many steps");
  }
  /// Bytes of a value that is made; looking at them counts as work too.
  void allocate(uint64_t bytes) {
    step(bytes / 64);
    allocated_ += bytes;
    if (allocated_ > limits_.allocated_bytes) throw Failure("needs too much memory");
  }
  const Limits& limits() const { return limits_; }

 private:
  Limits limits_;
  uint64_t steps_ = 0;
  uint64_t allocated_ = 0;
};

}  // namespace gemma4::jinja
