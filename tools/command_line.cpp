#include "tools/command_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>

namespace gemma4 {
namespace {

constexpr char kMark = '\0';  // cannot come from the command line

class HelpStyle : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    if (is_positional) return option->get_name(true, false);
    const std::vector<std::string>& names = option->get_lnames();
    std::string text;
    for (const std::string& name : option->get_snames()) text += "-" + name + ", ";
    if (text.empty()) text = "    ";
    bool first = true;
    for (const std::string& name : names) {
      if (is_twin(name, names)) continue;
      const bool has_twin = std::count(names.begin(), names.end(), "no-" + name) > 0;
      text += (first ? "--" : ", --") + std::string(has_twin ? "[no-]" : "") + name;
      first = false;
    }
    return text;
  }

  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override {
    const std::string page = Formatter::make_help(app, std::move(name), mode);
    return CLI::detail::find_and_replace(page, "\n\n\n", "\n\n");
  }
  std::string make_description(const CLI::App* app) const override {
    return app->get_description() + "\n\n";
  }

 private:
  static bool is_twin(const std::string& name, const std::vector<std::string>& names) {
    return name.starts_with("no-") && std::count(names.begin(), names.end(), name.substr(3)) > 0;
  }
};

}  // namespace

std::vector<std::string> protect_arguments(int argc, char** argv) {
  std::vector<std::string> arguments;
  for (int i = argc - 1; i > 0; --i) {  // CLI11 takes a vector last one first
    std::string argument = argv[i];
    if (argument.starts_with('[') && argument.ends_with(']')) argument += kMark;
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

void accept_words(CLI::Option& option) {
  option.transform(CLI::Validator(
      [](std::string& word) {
        if (!word.empty() && word.back() == kMark) word.pop_back();
        return std::string();
      },
      ""));
}

CLI::Option* add_switch(CLI::App& app, const std::string& names, bool& value,
                        const std::string& help) {
  const std::string name = names.substr(names.find("--") + 2);
  return app.add_flag(names + ",!--no-" + name, value, help)->take_last();
}

CLI::Option* add_list(CLI::App& app, const std::string& names, std::vector<std::string>& values,
                      const std::string& shown, const std::string& help) {
  CLI::Option* option = app.add_option(names, values, help);
  option->allow_extra_args(false)->option_text(shown);
  accept_words(*option);
  return option;
}

CLI::Option* add_words(CLI::App& app, const std::string& name, std::vector<std::string>& words,
                       const std::string& help) {
  CLI::Option* option = app.add_option(name, words, help);
  option->option_text(" ");
  accept_words(*option);
  return option;
}

CLI::Validator count_between(int64_t minimum, int64_t maximum) {
  return CLI::Validator(
      [minimum, maximum](std::string& text) -> std::string {
        const std::string problem =
            fmt::format("{} is not a whole number from {} to {}", text, minimum, maximum);
        int64_t count = 0;
        const char* end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, count);
        if (error != std::errc() || end - stop > 1) return problem;
        if (stop != end) {
          const size_t power = std::string_view("kmg").find(static_cast<char>(*stop | 0x20));
          if (power == std::string_view::npos) return problem;
          const int64_t unit = int64_t{1} << (10 * (power + 1));
          if (__builtin_mul_overflow(count, unit, &count)) return problem;
        }
        if (count < minimum || count > maximum) return problem;
        text = std::to_string(count);
        return {};
      },
      "");
}

CLI::Validator number_between(double minimum, double maximum) {
  return CLI::Validator(
      [minimum, maximum](std::string& text) -> std::string {
        double number = 0.0;
        const char* end = text.data() + text.size();
        const auto [stop, error] = std::from_chars(text.data(), end, number);
        const bool whole = error == std::errc() && stop == end && std::isfinite(number);
        if (whole && number >= minimum && number <= maximum) return {};
        return fmt::format("{} is not a number from {} to {}", text, minimum, maximum);
      },
      "");
}

CLI::Validator seconds_between(double minimum, double maximum) {
  return CLI::Validator(
      [minimum, maximum](std::string& text) -> std::string {
        const std::string problem =
            fmt::format("{} is not a time from {:g} to {:g} s: write 90s, 1.5m, 2h or 1:02:03",
                        text, minimum, maximum);
        double seconds = 0.0;
        std::string_view rest = text;
        for (int parts = 1;; ++parts) {
          const char* end = rest.data() + rest.size();
          double number = 0.0;
          const auto [stop, error] = std::from_chars(rest.data(), end, number);
          if (error != std::errc() || !std::isfinite(number) || number < 0) return problem;
          if (parts > 1 && number >= 60) return problem;
          seconds = 60 * seconds + number;
          rest.remove_prefix(static_cast<size_t>(stop - rest.data()));
          if (!rest.starts_with(':')) {
            if (parts == 1 && rest == "m") seconds *= 60;
            if (parts == 1 && rest == "h") seconds *= 3600;
            const bool is_unit = rest == "s" || rest == "m" || rest == "h";
            if (!rest.empty() && !(parts == 1 && is_unit)) return problem;
            break;
          }
          if (parts == 3 || number != std::floor(number)) return problem;
          rest.remove_prefix(1);
        }
        if (seconds < minimum || seconds > maximum) return problem;
        text = fmt::format("{}", seconds);
        return {};
      },
      "");
}

void use_help_style(CLI::App& app) {
  auto style = std::make_shared<HelpStyle>();
  style->column_width(36);
  style->label("Positionals", "Arguments");
  app.formatter(style);
}

}  // namespace gemma4
