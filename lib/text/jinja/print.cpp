#include "lib/text/jinja/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "lib/base/utf8.h"

namespace gemma4::jinja {
namespace {

constexpr bool kUntrusted = false;

void write(TextBuilder& out, std::string_view text, Budget& budget) {
  budget.allocate(text.size());
  out.append(text, kUntrusted);
}

// Code points that Python's repr writes as escapes: controls, separators, formats, private use.
bool is_printable(char32_t c) {
  if (c < 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0xAD) return false;
  if (c == 0x1680 || c == 0x180E || c == 0x3000 || c == 0xFEFF || c == 0x61C) return false;
  if ((c >= 0x2000 && c <= 0x200F) || (c >= 0x2028 && c <= 0x202F)) return false;
  if (c >= 0x205F && c <= 0x206F) return false;
  if ((c >= 0xE000 && c <= 0xF8FF) || (c >= 0xFFF9 && c <= 0xFFFB)) return false;
  return c < 0xE0000 || (c >= 0xE0100 && c <= 0xE01EF);
}

void write_repr_character(TextBuilder& out, std::string_view bytes, char32_t c, char quote,
                          bool trusted) {
  if (c == static_cast<char32_t>(quote) || c == '\\') {
    out.append("\\", trusted);
    out.append(bytes, trusted);
  } else if (c == '\n') {
    out.append("\\n", trusted);
  } else if (c == '\r') {
    out.append("\\r", trusted);
  } else if (c == '\t') {
    out.append("\\t", trusted);
  } else if (is_printable(c)) {
    out.append(bytes, trusted);
  } else if (c < 0x100) {
    out.append(fmt::format("\\x{:02x}", static_cast<uint32_t>(c)), trusted);
  } else if (c < 0x10000) {
    out.append(fmt::format("\\u{:04x}", static_cast<uint32_t>(c)), trusted);
  } else {
    out.append(fmt::format("\\U{:08x}", static_cast<uint32_t>(c)), trusted);
  }
}

// Calls use(bytes, code_point, trusted) for every character.
template <typename Use>
void for_each_character(const Text& text, Use use) {
  text.for_each_run([&](std::string_view run, bool trusted) {
    while (!run.empty()) {
      const CodePoint next = decode_utf8(run);
      const size_t length = std::max<size_t>(next.length, 1);
      use(run.substr(0, length), next.value, trusted);
      run.remove_prefix(length);
    }
  });
}

void print_repr_string(const Text& text, TextBuilder& out, Budget& budget) {
  budget.allocate(text.size() + 2);
  const bool has_single = text.view().find('\'') != std::string_view::npos;
  const bool has_double = text.view().find('"') != std::string_view::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  out.append(std::string_view(&quote, 1), kUntrusted);
  for_each_character(text, [&](std::string_view bytes, char32_t c, bool trusted) {
    write_repr_character(out, bytes, c, quote, trusted);
  });
  out.append(std::string_view(&quote, 1), kUntrusted);
}

void print_repr(const Value& value, TextBuilder& out, Budget& budget) {
  budget.step();
  switch (value.kind()) {
    case Kind::kString:
      print_repr_string(value.as_text(), out, budget);
      return;
    case Kind::kUndefined:
      write(out, "Undefined", budget);
      return;
    case Kind::kList: {
      const List& list = value.as_list();
      write(out, list.tuple ? "(" : "[", budget);
      for (size_t i = 0; i < list.items.size(); ++i) {
        if (i > 0) write(out, ", ", budget);
        print_repr(list.items[i], out, budget);
      }
      if (list.tuple && list.items.size() == 1) write(out, ",", budget);
      write(out, list.tuple ? ")" : "]", budget);
      return;
    }
    case Kind::kMap: {
      write(out, "{", budget);
      bool first = true;
      for (const auto& [key, item] : value.as_map().entries()) {
        if (!first) write(out, ", ", budget);
        first = false;
        print_repr_string(key, out, budget);
        write(out, ": ", budget);
        print_repr(item, out, budget);
      }
      write(out, "}", budget);
      return;
    }
    default:
      print(value, out, budget);
  }
}

std::string range_text(const Range& range) {
  const Integer stop = Integer{range.start} + Integer{range.step} * range.count;
  std::string text = "range(" + std::to_string(range.start) + ", " + integer_text(stop);
  if (range.step != 1) text += ", " + std::to_string(range.step);
  return text + ")";
}

class JsonWriter {
 public:
  JsonWriter(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget) {
    if (style_.item_separator.empty()) style_.item_separator = style_.indent < 0 ? ", " : ",";
  }

  void write_value(const Value& value, int level) {
    budget_.step();
    switch (value.kind()) {
      case Kind::kNone:
        return put("null");
      case Kind::kBoolean:
        return put(value.as_boolean() ? "true" : "false");
      case Kind::kInteger:
        return put(integer_text(value.as_integer()));
      case Kind::kFloat:
        return put(number_text(value.as_double()));
      case Kind::kString:
        return write_string(value.as_text());
      case Kind::kList:
        return write_list(value.as_list(), level);
      case Kind::kMap:
        return write_map(value.as_map(), level);
      default:
        throw Failure("tojson cannot write " + std::string(kind_name(value)));
    }
  }

  Text take() { return out_.take(); }

 private:
  void put(std::string_view text) { write(out_, text, budget_); }

  static std::string number_text(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return float_text(value);
  }

  void new_line(int level) {
    if (style_.indent < 0) return;
    put("\n" + std::string(static_cast<size_t>(style_.indent) * static_cast<size_t>(level), ' '));
  }

  void write_list(const List& list, int level) {
    if (list.items.empty()) return put("[]");
    put("[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) put(style_.item_separator);
      new_line(level + 1);
      write_value(list.items[i], level + 1);
    }
    new_line(level);
    put("]");
  }

  void write_map(const Map& map, int level) {
    if (map.entries().empty()) return put("{}");
    std::vector<const std::pair<Text, Value>*> entries;
    for (const auto& entry : map.entries()) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [](const auto* a, const auto* b) {
        return a->first.view() < b->first.view();
      });
    }
    put("{");
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) put(style_.item_separator);
      new_line(level + 1);
      write_string(entries[i]->first);
      put(style_.key_separator);
      write_value(entries[i]->second, level + 1);
    }
    new_line(level);
    put("}");
  }

  void write_string(const Text& text) {
    budget_.allocate(text.size() + 2);
    out_.append("\"", kUntrusted);
    for_each_character(text, [&](std::string_view bytes, char32_t c, bool trusted) {
      write_character(bytes, c, trusted);
    });
    out_.append("\"", kUntrusted);
  }

  void write_character(std::string_view bytes, char32_t c, bool trusted) {
    constexpr std::string_view kEscaped = "\"\\\n\r\t\b\f";
    constexpr std::string_view kLetters = "\"\\nrtbf";
    const size_t known = c < 0x80 ? kEscaped.find(static_cast<char>(c)) : std::string_view::npos;
    if (known != std::string_view::npos) {
      out_.append("\\", trusted);
      out_.append(kLetters.substr(known, 1), trusted);
    } else if (c < 0x20 || (style_.ensure_ascii && c > 0x7F && c < 0x10000)) {
      out_.append(fmt::format("\\u{:04x}", static_cast<uint32_t>(c)), trusted);
    } else if (style_.ensure_ascii && c >= 0x10000) {
      const uint32_t rest = static_cast<uint32_t>(c) - 0x10000;
      out_.append(fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF)),
                  trusted);
    } else {
      out_.append(bytes, trusted);
    }
  }

  JsonStyle style_;
  Budget& budget_;
  TextBuilder out_;
};

}  // namespace

std::string integer_text(Integer value) { return fmt::format("{}", value); }

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[40];
  const auto written =
      std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific);
  std::string text(buffer, written.ptr);
  // d.ddde[+-]xx -> sign, digits, exponent
  std::string sign;
  if (text[0] == '-') {
    sign = "-";
    text.erase(0, 1);
  }
  const size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  std::string digits = text.substr(0, e);
  std::erase(digits, '.');
  if (exponent < -4 || exponent >= 16) {
    if (digits.size() > 1) digits.insert(1, ".");
    return fmt::format("{}{}e{}{:02}", sign, digits, exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  }
  const size_t whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

void print(const Value& value, TextBuilder& out, Budget& budget) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return;
    case Kind::kNone:
      return write(out, "None", budget);
    case Kind::kBoolean:
      return write(out, value.as_boolean() ? "True" : "False", budget);
    case Kind::kInteger:
      return write(out, integer_text(value.as_integer()), budget);
    case Kind::kFloat:
      return write(out, float_text(value.as_double()), budget);
    case Kind::kString:
      budget.allocate(value.as_text().size());
      return out.append(value.as_text());
    case Kind::kList:
    case Kind::kMap:
      return print_repr(value, out, budget);
    case Kind::kRange:
      return write(out, range_text(value.as_range()), budget);
    default:
      throw Failure("cannot print a " + std::string(kind_name(value)));
  }
}

Text to_text(const Value& value, Budget& budget) {
  if (value.is(Kind::kString)) return value.as_text();
  TextBuilder out;
  print(value, out, budget);
  return out.take();
}

Text to_json(const Value& value, const JsonStyle& style, Budget& budget) {
  JsonWriter writer(style, budget);
  writer.write_value(value, 0);
  return writer.take();
}

}  // namespace gemma4::jinja
