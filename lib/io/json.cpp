#include "lib/io/json.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <vector>

#include "lib/base/utf8.h"

namespace gemma4 {
namespace {

// Checks depth and duplicate keys while parsing, before any value is built.
class LimitedBuilder : public nlohmann::detail::json_sax_dom_parser<Json> {
 public:
  using Base = nlohmann::detail::json_sax_dom_parser<Json>;
  LimitedBuilder(Json& root, const JsonLimits& limits) : Base(root, true), limits_(limits) {}

  bool start_object(std::size_t size) {
    enter();
    num_keys_.push_back(0);
    if (!limits_.allow_duplicate_keys) keys_.emplace_back();
    return Base::start_object(size);
  }
  bool end_object() {
    --depth_;
    num_keys_.pop_back();
    if (!limits_.allow_duplicate_keys) keys_.pop_back();
    return Base::end_object();
  }
  bool start_array(std::size_t size) {
    enter();
    return Base::start_array(size);
  }
  bool end_array() {
    --depth_;
    return Base::end_array();
  }
  bool key(string_t& name) {
    if (++num_keys_.back() > limits_.max_object_keys) {
      throw std::runtime_error("an object has more than " +
                               std::to_string(limits_.max_object_keys) + " keys");
    }
    if (!limits_.allow_duplicate_keys && !keys_.back().insert(name).second) {
      throw std::runtime_error("key \"" + printable(name, 100) + "\" appears twice");
    }
    return Base::key(name);
  }

 private:
  void enter() {
    if (++depth_ > limits_.max_depth) {
      throw std::runtime_error("nested deeper than " + std::to_string(limits_.max_depth));
    }
  }

  JsonLimits limits_;
  int depth_ = 0;
  std::vector<size_t> num_keys_;
  std::vector<std::set<std::string>> keys_;
};

// nlohmann's messages begin with an internal error number; the rest is for people.
std::string without_error_number(std::string message) {
  const size_t end = message.find("] ");
  if (!message.empty() && message[0] == '[' && end != std::string::npos) message.erase(0, end + 2);
  return message;
}

}  // namespace

Json parse_json(std::string_view text, std::string_view origin, ErrorKind kind,
                const JsonLimits& limits) {
  if (!is_valid_utf8(text)) {
    throw Error(kind, "not valid UTF-8, so not JSON", origin, "save the file as UTF-8");
  }
  Json root;
  try {
    LimitedBuilder builder(root, limits);
    Json::sax_parse(text.begin(), text.end(), &builder);
  } catch (const std::exception& failure) {
    throw Error(kind, "not valid JSON", origin, without_error_number(failure.what()));
  }
  return root;
}

std::string read_file(const std::filesystem::path& path, ErrorKind kind, uint64_t max_bytes) {
  std::error_code ec;
  const auto status = std::filesystem::status(path, ec);
  if (!std::filesystem::exists(status)) throw Error(kind, "no such file", path.string());
  if (std::filesystem::is_directory(status)) throw Error(kind, "is a directory", path.string());
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) throw Error(kind, "cannot open file", path.string(), std::strerror(errno));
  std::string text;
  std::vector<char> block(1 << 16);
  while (in.read(block.data(), static_cast<std::streamsize>(block.size())) || in.gcount() > 0) {
    text.append(block.data(), static_cast<size_t>(in.gcount()));
    if (text.size() > max_bytes) {
      throw Error(kind, "file is larger than " + std::to_string(max_bytes) + " bytes",
                  path.string());
    }
  }
  if (in.bad()) throw Error(kind, "cannot read file", path.string(), std::strerror(errno));
  return text;
}

Json read_json_file(const std::filesystem::path& path, ErrorKind kind, uint64_t max_bytes,
                    const JsonLimits& limits) {
  return parse_json(read_file(path, kind, max_bytes), path.string(), kind, limits);
}

}  // namespace gemma4
