#include "lib/quant/module_pattern.h"

namespace gemma4 {
namespace {

constexpr size_t kMaxPatternBytes = 1000;
constexpr size_t kMaxNameBytes = 1000;

std::regex compile(const std::string& pattern, std::string_view origin, ErrorKind kind) {
  const auto refuse = [&](const std::string& reason) {
    throw Error(kind, "cannot use pattern \"" + printable(pattern, 100) + "\"", origin, reason);
  };
  if (pattern.size() > kMaxPatternBytes) refuse("it is longer than 1000 bytes");
  // libstdc++ unrolls {n,m}: nested, they would make automata of any size.
  if (pattern.find('{') != std::string::npos) refuse("counted repetition is not supported");
  try {
    // __polynomial: the breadth-first matcher, whose time does not explode with nested repetition.
    return std::regex(pattern, std::regex::ECMAScript | std::regex_constants::__polynomial);
  } catch (const std::regex_error& error) {
    refuse(error.what());
  }
  return {};
}

}  // namespace

BoundedRegex::BoundedRegex(const std::string& pattern, std::string_view origin, ErrorKind kind)
    : regex_(compile(pattern, origin, kind)) {}

bool BoundedRegex::matches_start(std::string_view name) const {
  return name.size() <= kMaxNameBytes && std::regex_search(name.begin(), name.end(), regex_,
                                                           std::regex_constants::match_continuous);
}

std::optional<size_t> BoundedRegex::search(std::string_view name) const {
  std::match_results<std::string_view::const_iterator> match;
  if (name.size() > kMaxNameBytes || !std::regex_search(name.begin(), name.end(), match, regex_)) {
    return std::nullopt;
  }
  return static_cast<size_t>(match.position(0));
}

ModulePattern::ModulePattern(std::string text, std::string_view origin, ErrorKind kind)
    : text_(std::move(text)) {
  if (!text_.starts_with("re:")) return;
  regex_.emplace(text_.substr(3), origin, kind);
  const std::string_view pattern = std::string_view(text_).substr(3);
  if (pattern.size() > 4 && pattern.starts_with(".*") && pattern.ends_with(".*")) {
    const std::string_view inner = pattern.substr(2, pattern.size() - 4);
    if (regex_escaped(inner) == inner) contained_ = inner;
  }
}

bool ModulePattern::matches(std::string_view module) const {
  if (!contained_.empty()) return module.find(contained_) != std::string_view::npos;
  return regex_ ? regex_->matches_start(module) : module == text_;
}

std::string regex_escaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view(".*+?()[]{}^$|\\").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace gemma4
