#include "lib/io/safetensors_writer.h"

#include <algorithm>

#include "lib/base/checked.h"
#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/io/json.h"
#include "lib/io/safetensors.h"

namespace gemma4 {
namespace {

constexpr uint64_t kLengthBytes = 8;

bool is_valid_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxTensorNameBytes && name != "__metadata__" &&
         is_valid_utf8(name) && std::none_of(name.begin(), name.end(), [](unsigned char c) {
           return c < 0x20 || c == 0x7F;
         });
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     const std::vector<TensorDeclaration>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path) {
  std::vector<const TensorDeclaration*> order;
  for (const TensorDeclaration& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    const int a_bits = dtype_bits(a->dtype);
    const int b_bits = dtype_bits(b->dtype);
    return a_bits != b_bits ? a_bits > b_bits : a->name < b->name;
  });

  Json header = Json::object();
  header["__metadata__"] = {{"format", "pt"}};
  for (const auto& [key, value] : metadata) header["__metadata__"][key] = value;
  // Entries are collected in an array first: looking a key up in an ordered object is linear.
  Json::object_t entries;
  uint64_t end = 0;
  for (const TensorDeclaration* tensor : order) {
    if (!is_valid_name(tensor->name)) fail(tensor->name, "name is not allowed");
    const auto count = checked_element_count(tensor->shape);
    const auto bits =
        count ? checked_multiply(*count, static_cast<uint64_t>(dtype_bits(tensor->dtype))) : count;
    if (!bits || *bits % 8 != 0 || tensor->shape.size() > kMaxTensorRank) {
      fail(tensor->name, "shape " + shape_text(tensor->shape) + " is not allowed");
    }
    const uint64_t begin = end;
    const auto next = checked_add(begin, *bits / 8);
    if (!next || *next > static_cast<uint64_t>(INT64_MAX) / 2) {
      fail(tensor->name, "file would be too large");
    }
    end = *next;
    if (!places_.emplace(tensor->name, Place{begin, *bits / 8, 0}).second) {
      fail(tensor->name, "declared twice");
    }
    entries.emplace_back(tensor->name, Json{{"dtype", std::string(dtype_name(tensor->dtype))},
                                            {"shape", tensor->shape},
                                            {"data_offsets", {begin, end}}});
  }
  auto& fields = header.get_ref<Json::object_t&>();
  for (auto& entry : entries) fields.push_back(std::move(entry));

  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > kMaxSafetensorsHeader) fail(path.filename().string(), "header is too long");
  const uint64_t length = text.size();
  const uint64_t data_begin = kLengthBytes + length;
  for (auto& [name, place] : places_) place.begin += data_begin;
  file_.reserve(data_begin + end);
  file_.write_at(0, std::as_bytes(std::span(&length, 1)));
  file_.write_at(kLengthBytes, std::as_bytes(std::span(text)));
}

void SafetensorsWriter::write(std::string_view name, std::span<const std::byte> bytes) {
  const auto found = places_.find(name);
  if (found == places_.end()) fail(name, "was not declared");
  Place& place = found->second;
  if (bytes.size() > place.size - place.written) {
    fail(name, "gets more than its " + std::to_string(place.size) + " bytes");
  }
  file_.write_at(place.begin + place.written, bytes);
  place.written += bytes.size();
}

void SafetensorsWriter::commit() {
  for (const auto& [name, place] : places_) {
    if (place.written != place.size) {
      fail(name,
           "has " + std::to_string(place.written) + " of " + std::to_string(place.size) + " bytes");
    }
  }
  file_.commit();
}

void SafetensorsWriter::fail(std::string_view name, const std::string& reason) const {
  throw Error(ErrorKind::kInternal,
              "cannot write tensor \"" + printable(name, 200) + "\" (" + reason + ")",
              file_.path().string());
}

}  // namespace gemma4
