#include "lib/text/grammar/string_formats.h"

#include <string>

#include "lib/text/grammar/regex_parser.h"

namespace gemma4 {
namespace {

std::string any_of(std::initializer_list<std::string> choices) {
  std::string text = "(?:";
  for (const std::string& choice : choices) {
    if (text.size() > 3) text += '|';
    text += choice;
  }
  return text + ")";
}

// RFC 3339, 5.6; days as the month has them.
std::string date() {
  const std::string year = "(?:[1-9]\\d{3}|0[1-9]\\d\\d|00[1-9]\\d|000[1-9])";
  const std::string fourth = "(?:0[48]|[2468][048]|[13579][26])";  // of a century, but not 00
  const std::string leap_year = "(?:\\d\\d" + fourth + "|" + fourth + "00)";
  return any_of({year + "-(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])",
                 year + "-(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)", year + "-02-(?:0[1-9]|1\\d|2[0-8])",
                 leap_year + "-02-29"});
}

std::string time() {
  const std::string hour_minute = "(?:[01]\\d|2[0-3]):[0-5]\\d";
  return hour_minute + ":[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+-]" + hour_minute + ")";
}

// RFC 3339, appendix A.
std::string duration() {
  const std::string n = "\\d{1,9}";
  const std::string seconds = n + "S";
  const std::string minutes = n + "M(?:" + seconds + ")?";
  const std::string hours = n + "H(?:" + minutes + ")?";
  const std::string clock = "T" + any_of({hours, minutes, seconds});
  const std::string days = n + "D";
  const std::string months = n + "M(?:" + days + ")?";
  const std::string years = n + "Y(?:" + months + ")?";
  return "P" + any_of({any_of({days, months, years}) + "(?:" + clock + ")?", clock, n + "W"});
}

const char* const kLabel = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";

std::string email() {
  const std::string letter = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]";
  // RFC 5321, 4.5.3.1.1: at most 64 characters before the @.
  const std::string name =
      any_of({letter + "{1,64}", letter + "{1,31}(?:\\." + letter + "{1,15}){1,2}"});
  return name + "@" + kLabel + "(?:\\." + kLabel + "){0,2}";
}

std::string ipv4() {
  const std::string part = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
  return part + "(?:\\." + part + "){3}";
}

// RFC 3986, 3.2.2: IPv6address.
std::string ipv6() {
  const std::string h = "[0-9A-Fa-f]{1,4}";
  const std::string end = any_of({h + ":" + h, ipv4()});  // the last 32 bits
  const auto before = [&](int most) {                     // up to `most` more groups before "::"
    return "(?:(?:" + h + ":){0," + std::to_string(most) + "}" + h + ")?";
  };
  return any_of({"(?:" + h + ":){6}" + end, "::(?:" + h + ":){5}" + end,
                 "(?:" + h + ")?::(?:" + h + ":){4}" + end, before(1) + "::(?:" + h + ":){3}" + end,
                 before(2) + "::(?:" + h + ":){2}" + end, before(3) + "::" + h + ":" + end,
                 before(4) + "::" + end, before(5) + "::" + h, before(6) + "::"});
}

// RFC 3986, appendix A.
struct Uri {
  std::string percent = "%[0-9A-Fa-f]{2}";
  std::string pchar = "(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|" + percent + ")";
  std::string user = "(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|" + percent + ")*@)?";
  std::string host =
      any_of({"\\[" + ipv6() + "\\]", "(?:[A-Za-z0-9._~!$&'()*+,;=-]|" + percent + ")*"});
  std::string authority = user + host + "(?::\\d{0,5})?";
  std::string path = "(?:/" + pchar + "*)*";  // path-abempty
  std::string tail = "(?:\\?(?:" + pchar + "|[/?])*)?(?:#(?:" + pchar + "|[/?])*)?";
  std::string absolute = "/(?:" + pchar + "+" + path + ")?";

  std::string uri() const {
    return "[A-Za-z][A-Za-z0-9+.-]*:" +
           any_of({"//" + authority + path, absolute, pchar + "+" + path, ""}) + tail;
  }
  std::string relative() const {
    const std::string no_colon = "(?:[A-Za-z0-9._~!$&'()*+,;=@-]|" + percent + ")+";
    return any_of({"//" + authority + path, absolute, no_colon + path, ""}) + tail;
  }
};

// RFC 6570, 2.
std::string uri_template() {
  const std::string percent = "%[0-9A-Fa-f]{2}";
  const std::string literal =
      "(?:[!#$&()*+,./0-9:;=?@A-Z\\[\\]_a-z~-]|[\\u00A0-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFEF]|" +
      percent + ")";
  const std::string letter = "(?:[A-Za-z0-9_]|" + percent + ")";
  const std::string name = letter + "(?:\\.?" + letter + ")*";
  const std::string variable = name + "(?::[1-9]\\d{0,3}|\\*)?";
  return "(?:" + literal + "|\\{[+#./;?&]?" + variable + "(?:," + variable + ")*\\})*";
}

const char* const kJsonPointer = "(?:/(?:[^/~]|[\\n\\r\\u2028\\u2029]|~[01])*)*";

std::optional<std::string> expression_of(std::string_view format) {
  if (format == "date") return date();
  if (format == "time") return time();
  if (format == "date-time") return date() + "T" + time();
  if (format == "duration") return duration();
  if (format == "email") return email();
  if (format == "hostname") return std::string(kLabel) + "(?:\\." + kLabel + ")*";
  if (format == "ipv4") return ipv4();
  if (format == "ipv6") return ipv6();
  if (format == "uuid") return "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}";
  if (format == "uri") return Uri().uri();
  if (format == "uri-reference") return any_of({Uri().uri(), Uri().relative()});
  if (format == "uri-template") return uri_template();
  if (format == "json-pointer") return kJsonPointer;
  if (format == "relative-json-pointer") {
    return "(?:0|[1-9]\\d{0,8})(?:#|" + std::string(kJsonPointer) + ")";
  }
  return std::nullopt;
}

}  // namespace

std::optional<Dfa> format_text(std::string_view format) {
  const auto expression = expression_of(format);
  if (!expression) return std::nullopt;
  Dfa dfa = parse_regex(*expression, RegexMatch::kWhole);
  if (format == "hostname") return intersection(dfa, dfa_of_length(1, 253));
  return dfa;
}

}  // namespace gemma4
