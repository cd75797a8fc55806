#include "lib/io/safetensors.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "lib/base/checked.h"
#include "lib/base/error.h"

namespace gemma4 {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data are little-endian");

constexpr size_t kLengthBytes = 8;
constexpr size_t kMaxDepth = 16;

struct DataRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  std::string_view name;
};

class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> file, std::string_view origin)
      : file_(file), origin_(origin) {}

  SafetensorsContents read() {
    const std::string_view header = header_text();
    data_ = file_.subspan(kLengthBytes + header.size());

    simdjson::dom::parser parser;
    simdjson::dom::object root;
    auto error = parser.allocate(header.size(), kMaxDepth);
    if (!error) error = parser.parse(header.data(), header.size(), true).get(root);
    if (error) fail(std::string("header is not valid JSON: ") + simdjson::error_message(error));

    bool has_metadata = false;
    for (const auto field : root) {
      if (field.key == "__metadata__") {
        if (has_metadata) fail("\"__metadata__\" appears twice");
        has_metadata = true;
        read_metadata(field.value);
      } else {
        read_tensor(field.key, field.value);
      }
    }
    check_coverage();
    return std::move(contents_);
  }

 private:
  [[noreturn]] void fail(const std::string& reason,
                         std::string_view hint = "the file is damaged; get it again") const {
    throw Error(ErrorKind::kModel, "not a valid safetensors file (" + reason + ")", origin_, hint);
  }
  [[noreturn]] void fail_tensor(std::string_view name, const std::string& reason) const {
    fail("tensor \"" + printable(name, 200) + "\": " + reason);
  }

  std::string_view header_text() const {
    if (file_.size() < kLengthBytes) fail("it has " + std::to_string(file_.size()) + " bytes");
    uint64_t length;
    std::memcpy(&length, file_.data(), kLengthBytes);
    if (length > kMaxSafetensorsHeader) {
      fail("header of " + std::to_string(length) + " bytes; at most " +
           std::to_string(kMaxSafetensorsHeader) + " are allowed");
    }
    if (length > file_.size() - kLengthBytes) {
      fail("header of " + std::to_string(length) + " bytes is longer than the file");
    }
    const std::string_view header(reinterpret_cast<const char*>(file_.data()) + kLengthBytes,
                                  length);
    if (header.empty() || header.front() != '{') fail("header does not begin with '{'");
    // The JSON parser would accept any white space here; the format pads with spaces only.
    const size_t last = header.find_last_not_of(' ');
    if (header[last] != '}') fail("header does not end with '}' and spaces");
    return header;
  }

  void read_metadata(simdjson::dom::element value) {
    simdjson::dom::object object;
    if (value.get(object)) fail("\"__metadata__\" is not an object");
    for (const auto field : object) {
      std::string_view text;
      if (field.value.get(text)) {
        fail("\"__metadata__\" entry \"" + printable(field.key, 100) + "\" is not a string");
      }
      if (!contents_.metadata.emplace(field.key, text).second) {
        fail("\"__metadata__\" entry \"" + printable(field.key, 100) + "\" appears twice");
      }
    }
  }

  void read_tensor(std::string_view name, simdjson::dom::element value) {
    check_name(name);
    simdjson::dom::object object;
    if (value.get(object)) fail_tensor(name, "entry is not an object");
    std::optional<Dtype> dtype;
    std::optional<std::vector<int64_t>> shape;
    std::optional<std::vector<int64_t>> offsets;
    for (const auto field : object) {
      if (field.key == "dtype" && !dtype) {
        dtype = read_dtype(name, field.value);
      } else if (field.key == "shape" && !shape) {
        shape = read_integers(name, "shape", field.value, kMaxTensorRank);
      } else if (field.key == "data_offsets" && !offsets) {
        offsets = read_integers(name, "data_offsets", field.value, 2);
      } else {
        fail_tensor(name, "repeated or unknown field \"" + printable(field.key, 100) + "\"");
      }
    }
    if (!dtype) fail_tensor(name, "no \"dtype\"");
    if (!shape) fail_tensor(name, "no \"shape\"");
    if (!offsets || offsets->size() != 2) fail_tensor(name, "\"data_offsets\" are not two numbers");
    add_tensor(name, *dtype, std::move(*shape), static_cast<uint64_t>((*offsets)[0]),
               static_cast<uint64_t>((*offsets)[1]));
  }

  void check_name(std::string_view name) const {
    if (name.empty()) fail("a tensor has an empty name");
    if (name.size() > kMaxTensorNameBytes) fail_tensor(name, "name is too long");
    for (const char c : name) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < 0x20 || byte == 0x7F) fail_tensor(name, "control character in the name");
    }
  }

  Dtype read_dtype(std::string_view name, simdjson::dom::element value) const {
    std::string_view text;
    if (value.get(text)) fail_tensor(name, "\"dtype\" is not a string");
    const std::optional<Dtype> dtype = dtype_from_name(text);
    if (!dtype) {
      fail(
          "tensor \"" + printable(name, 200) + "\": unknown dtype \"" + printable(text, 100) + "\"",
          "the format does not define this dtype");
    }
    return *dtype;
  }

  std::vector<int64_t> read_integers(std::string_view name, const std::string& field,
                                     simdjson::dom::element value, size_t max_count) const {
    simdjson::dom::array array;
    if (value.get(array)) fail_tensor(name, "\"" + field + "\" is not an array");
    std::vector<int64_t> numbers;
    for (const simdjson::dom::element element : array) {
      int64_t number;
      if (element.get(number) || number < 0) {
        fail_tensor(name, "\"" + field + "\" holds something else than integers from 0 to 2^63-1");
      }
      if (numbers.size() == max_count) {
        fail_tensor(name,
                    "\"" + field + "\" has more than " + std::to_string(max_count) + " entries");
      }
      numbers.push_back(number);
    }
    return numbers;
  }

  void add_tensor(std::string_view name, Dtype dtype, std::vector<int64_t> shape, uint64_t begin,
                  uint64_t end) {
    const auto count = checked_element_count(shape);
    const auto bits =
        count ? checked_multiply(*count, static_cast<uint64_t>(dtype_bits(dtype))) : count;
    if (!bits) fail_tensor(name, "shape " + shape_text(shape) + " is too large");
    if (*bits % 8 != 0) {
      fail_tensor(name, "shape " + shape_text(shape) + " of " + std::string(dtype_name(dtype)) +
                            " does not end on a whole byte");
    }
    if (begin > end) fail_tensor(name, "its data end before they begin");
    if (end > data_.size()) fail_tensor(name, "its data end after the end of the file");
    if (end - begin != *bits / 8) {
      fail_tensor(name, shape_text(shape) + " of " + std::string(dtype_name(dtype)) + " takes " +
                            std::to_string(*bits / 8) + " bytes, but data_offsets span " +
                            std::to_string(end - begin));
    }
    const auto [place, inserted] = contents_.tensors.emplace(
        name, Tensor{.data = data_.data() + begin, .dtype = dtype, .shape = std::move(shape)});
    if (!inserted) fail_tensor(name, "it appears twice");
    ranges_.push_back({begin, end, place->first});
  }

  // No overlap, no hole, nothing after the last: each byte of the data belongs to one tensor.
  void check_coverage() {
    std::sort(ranges_.begin(), ranges_.end(), [](const DataRange& a, const DataRange& b) {
      return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
    });
    uint64_t covered = 0;
    for (const DataRange& range : ranges_) {
      if (range.begin < covered) fail_tensor(range.name, "its data overlap another tensor's");
      if (range.begin > covered) {
        fail_tensor(range.name, "unused bytes before its data, from " + std::to_string(covered) +
                                    " to " + std::to_string(range.begin));
      }
      covered = range.end;
    }
    if (covered != data_.size()) {
      fail(std::to_string(data_.size() - covered) + " bytes after the last tensor");
    }
  }

  std::span<const std::byte> file_;
  std::string_view origin_;
  std::span<const std::byte> data_;
  SafetensorsContents contents_;
  std::vector<DataRange> ranges_;
};

}  // namespace

SafetensorsContents parse_safetensors(std::span<const std::byte> file, std::string_view origin) {
  return HeaderReader(file, origin).read();
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(path), contents_(parse_safetensors(file_.bytes(), path.string())) {}

std::optional<Tensor> SafetensorsFile::find(std::string_view name) const {
  const auto found = contents_.tensors.find(name);
  if (found == contents_.tensors.end()) return std::nullopt;
  return found->second;
}

uint64_t SafetensorsFile::offset_of(const Tensor& tensor) const {
  return static_cast<uint64_t>(static_cast<const std::byte*>(tensor.data) - file_.bytes().data());
}

void SafetensorsFile::advise_willneed(const Tensor& tensor) const {
  file_.advise_willneed(offset_of(tensor), tensor.bytes());
}

void SafetensorsFile::release(const Tensor& tensor) const {
  file_.release(offset_of(tensor), tensor.bytes());
}

}  // namespace gemma4
