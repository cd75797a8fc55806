#include "tools/language_names.h"

#include <algorithm>
#include <cctype>
#include <iterator>

#include "lib/base/error.h"
#include "lib/base/utf8.h"

namespace gemma4 {
namespace {

struct Language {
  std::string_view tag;  // ISO 639-1
  const char* name;
};

constexpr Language kLanguages[] = {
    {"af", "Afrikaans"},  {"am", "Amharic"},   {"ar", "Arabic"},     {"az", "Azerbaijani"},
    {"be", "Belarusian"}, {"bg", "Bulgarian"}, {"bn", "Bengali"},    {"bs", "Bosnian"},
    {"ca", "Catalan"},    {"cs", "Czech"},     {"cy", "Welsh"},      {"da", "Danish"},
    {"de", "German"},     {"el", "Greek"},     {"en", "English"},    {"es", "Spanish"},
    {"et", "Estonian"},   {"eu", "Basque"},    {"fa", "Persian"},    {"fi", "Finnish"},
    {"fil", "Filipino"},  {"fr", "French"},    {"ga", "Irish"},      {"gl", "Galician"},
    {"gu", "Gujarati"},   {"ha", "Hausa"},     {"he", "Hebrew"},     {"hi", "Hindi"},
    {"hr", "Croatian"},   {"hu", "Hungarian"}, {"hy", "Armenian"},   {"id", "Indonesian"},
    {"ig", "Igbo"},       {"is", "Icelandic"}, {"it", "Italian"},    {"ja", "Japanese"},
    {"jv", "Javanese"},   {"ka", "Georgian"},  {"kk", "Kazakh"},     {"km", "Khmer"},
    {"kn", "Kannada"},    {"ko", "Korean"},    {"ky", "Kyrgyz"},     {"lo", "Lao"},
    {"lt", "Lithuanian"}, {"lv", "Latvian"},   {"mk", "Macedonian"}, {"ml", "Malayalam"},
    {"mn", "Mongolian"},  {"mr", "Marathi"},   {"ms", "Malay"},      {"mt", "Maltese"},
    {"my", "Burmese"},    {"nb", "Norwegian"}, {"ne", "Nepali"},     {"nl", "Dutch"},
    {"no", "Norwegian"},  {"pa", "Punjabi"},   {"pl", "Polish"},     {"ps", "Pashto"},
    {"pt", "Portuguese"}, {"ro", "Romanian"},  {"ru", "Russian"},    {"si", "Sinhala"},
    {"sk", "Slovak"},     {"sl", "Slovenian"}, {"so", "Somali"},     {"sq", "Albanian"},
    {"sr", "Serbian"},    {"sv", "Swedish"},   {"sw", "Swahili"},    {"ta", "Tamil"},
    {"te", "Telugu"},     {"th", "Thai"},      {"tr", "Turkish"},    {"uk", "Ukrainian"},
    {"ur", "Urdu"},       {"uz", "Uzbek"},     {"vi", "Vietnamese"}, {"yo", "Yoruba"},
    {"zh", "Chinese"},    {"zu", "Zulu"}};

}  // namespace

std::string language_name(std::string_view text, std::string_view flag) {
  const bool plain = std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return c >= 0x80 || std::isalnum(c) != 0 || c == '-' || c == ' ' || c == '(' || c == ')';
  });
  if (text.empty() || text.size() > 60 || !plain || !is_valid_utf8(text)) {
    throw Error(ErrorKind::kUsage, "not a language: " + printable(text, 60), flag,
                "give a tag or a name, such as de or German");
  }
  std::string primary(text.substr(0, text.find('-')));
  std::transform(primary.begin(), primary.end(), primary.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto found =
      std::find_if(std::begin(kLanguages), std::end(kLanguages),
                   [&](const Language& language) { return language.tag == primary; });
  if (found == std::end(kLanguages)) return std::string(text);
  if (primary.size() == text.size()) return found->name;
  return std::string(found->name) + " (" + std::string(text) + ")";
}

}  // namespace gemma4
