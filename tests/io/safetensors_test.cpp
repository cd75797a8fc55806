#include "lib/io/safetensors.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstring>

#include "lib/io/json.h"
#include "tests/io/temp_dir.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

SafetensorsContents parse(const std::string& bytes) {
  return parse_safetensors(std::as_bytes(std::span(bytes)), "f.safetensors");
}

std::string refusal(std::string_view header, std::string_view data = {}) {
  const std::string bytes = safetensors_bytes(header, data);
  ErrorKind kind = ErrorKind::kModel;
  const std::string message = error_of([&] { parse(bytes); }, &kind);
  CHECK(kind == ErrorKind::kModel);
  return message;
}

// Header of `count` tensors of one byte each.
std::string many_tensors(int count) {
  std::string header = "{\"__metadata__\":{\"format\":\"pt\"}";
  for (int i = 0; i < count; ++i) {
    header += ",\"model.language_model.layers." + std::to_string(i) +
              ".self_attn.q_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[1,1],\"data_offsets\":[" +
              std::to_string(2 * i) + "," + std::to_string(2 * i + 2) + "]}";
  }
  return safetensors_bytes(header + "}", std::string(static_cast<size_t>(count) * 2, '\0'));
}

double seconds_to_open(const std::filesystem::path& path, int repeats) {
  double best = 1e9;
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const SafetensorsFile file(path);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    best = std::min(best, time.count());
    CHECK(!file.tensors().empty());
  }
  return best;
}

}  // namespace

TEST_CASE("every bad file is refused in one line that names it, and every ok file loads") {
  int refused = 0;
  int loaded = 0;
  for (const auto& entry : std::filesystem::directory_iterator(vector_path("quant/bad"))) {
    const std::string name = entry.path().filename().string();
    CAPTURE(name);
    ErrorKind kind = ErrorKind::kModel;
    const std::string message = error_of([&] { SafetensorsFile file(entry.path()); }, &kind);
    CAPTURE(message);
    CHECK(kind == ErrorKind::kModel);
    if (name.starts_with("ok_")) {
      CHECK(message.empty());
      ++loaded;
    } else {
      CHECK(contains(message, entry.path().string()));
      CHECK(!contains(message, "\n"));
      ++refused;
    }
  }
  CHECK(refused == 29);
  CHECK(loaded == 4);
}

TEST_CASE("a refusal says which rule is broken, and on which tensor") {
  const auto message_for = [](const std::string& name) {
    return error_of(
        [&] { SafetensorsFile file(vector_path("quant/bad/" + name + ".safetensors")); });
  };
  CHECK(contains(message_for("empty_file"), "0 bytes"));
  CHECK(contains(message_for("header_len_huge"), "at most 100000000"));
  CHECK(contains(message_for("header_len_over_limit"), "at most 100000000"));
  CHECK(contains(message_for("header_past_eof"), "longer than the file"));
  CHECK(contains(message_for("not_utf8"), "UTF-8"));
  CHECK(contains(message_for("leading_space"), "begin with '{'"));
  CHECK(contains(message_for("overlap"), "overlap another tensor's"));
  CHECK(contains(message_for("hole"), "unused bytes"));
  CHECK(contains(message_for("hole_at_start"), "unused bytes"));
  CHECK(contains(message_for("trailing_bytes"), "after the last tensor"));
  CHECK(contains(message_for("truncated_data"), "after the end of the file"));
  CHECK(contains(message_for("end_before_begin"), "end before they begin"));
  CHECK(contains(message_for("negative_offset"), "\"data_offsets\" holds"));
  CHECK(contains(message_for("float_offset"), "\"data_offsets\" holds"));
  CHECK(contains(message_for("size_mismatch"), "bytes, but data_offsets span"));
  CHECK(contains(message_for("shape_overflow"), "too large"));
  CHECK(contains(message_for("shape_overflow2"), "too large"));
  CHECK(contains(message_for("shape_not_list"), "\"shape\" is not an array"));
  CHECK(contains(message_for("unknown_dtype"), "unknown dtype"));
  CHECK(contains(message_for("sub_byte_misaligned"), "whole byte"));
  CHECK(contains(message_for("duplicate_key"), "appears twice"));
  CHECK(contains(message_for("metadata_not_strings"), "not a string"));
  CHECK(contains(message_for("missing_field"), "\"data_offsets\""));
  CHECK(contains(message_for("nul_in_name"), "control character"));
  for (const char* name : {"overlap", "size_mismatch", "unknown_dtype", "duplicate_key"}) {
    CHECK(contains(message_for(name), "tensor \""));
  }
}

TEST_CASE("the rules that no sample file covers hold too") {
  CHECK(contains(refusal(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}x )"), "spaces"));
  CHECK(contains(refusal("{}\n"), "spaces"));
  CHECK(refusal("{}  ").empty());
  CHECK(contains(refusal(""), "begin with '{'"));
  CHECK(contains(refusal("{} {}"), "JSON"));
  CHECK(contains(refusal(R"({"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"), "empty name"));
  const std::string long_name(513, 'n');
  CHECK(
      contains(refusal("{\"" + long_name + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
               "too long"));
  CHECK(
      refusal("{\"" + long_name.substr(1) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})")
          .empty());
  CHECK(
      contains(refusal(R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,0],"data_offsets":[0,0]}})"),
               "more than 8"));
  CHECK(contains(refusal(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0,0]}})"),
                 "more than 2"));
  CHECK(contains(refusal(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}})"),
                 "not two numbers"));
  CHECK(contains(
      refusal(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,9223372036854775808]}})"),
      "2^63-1"));
  CHECK(contains(refusal(R"({"a":{"dtype":"U8","shape":["1"],"data_offsets":[0,0]}})"),
                 "\"shape\" holds"));
  CHECK(contains(refusal(R"({"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
                 "repeated or unknown field \"dtype\""));
  CHECK(contains(refusal(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":1}})"),
                 "unknown field \"x\""));
  CHECK(contains(refusal(R"({"a":{"dtype":7,"shape":[0],"data_offsets":[0,0]}})"), "not a string"));
  CHECK(contains(refusal(R"({"a":[]})"), "not an object"));
  CHECK(contains(refusal(R"({"__metadata__":[]})"), "not an object"));
  CHECK(contains(refusal(R"({"__metadata__":{},"__metadata__":{}})"), "appears twice"));
  CHECK(contains(refusal(R"({"__metadata__":{"k":"1","k":"2"}})"), "appears twice"));
  CHECK(contains(refusal("{}", "x"), "1 bytes after the last tensor"));
  const std::string deep = "{\"a\":" + std::string(40, '[') + std::string(40, ']') + "}";
  CHECK(contains(refusal(deep), "deep"));
}

TEST_CASE("scalars, zero dimensions, unsorted and unaligned tensors are read") {
  const SafetensorsFile scalar(vector_path("quant/bad/ok_scalar_and_empty.safetensors"));
  bool has_scalar = false;
  bool has_empty = false;
  for (const auto& [name, tensor] : scalar.tensors()) {
    has_scalar |= tensor.shape.empty() && tensor.elements() == 1;
    has_empty |= tensor.elements() == 0;
  }
  CHECK(has_scalar);
  CHECK(has_empty);

  std::string data = "\1";
  const float value = 1.5F;
  data.append(reinterpret_cast<const char*>(&value), 4);
  const std::string bytes = safetensors_bytes(
      R"({"z":{"dtype":"F32","shape":[1],"data_offsets":[1,5]},)"
      R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"__metadata__":{"k":"v"}})",
      data);
  const SafetensorsContents contents = parse(bytes);
  float read;
  std::memcpy(&read, contents.tensors.at("z").data, 4);
  CHECK(read == value);
  CHECK(contents.tensors.at("z").dtype == Dtype::kF32);
  CHECK(contents.metadata.at("k") == "v");
}

TEST_CASE("every vector and golden checkpoint loads, and has the tensors that it should") {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(vector_path("quant"))) {
    if (entry.path().extension() != ".safetensors") continue;
    const SafetensorsFile file(entry.path());
    CHECK(!file.tensors().empty());
    ++files;
  }
  CHECK(files >= 40);

  const SafetensorsFile model(golden_dir("text-e") / "model.safetensors");
  const Json expected =
      read_json_file(golden_dir("text-e") / "expected_tensors.json", ErrorKind::kModel);
  CHECK(model.tensors().size() == expected.size());
  for (const auto& [name, entry] : expected.items()) {
    CAPTURE(name);
    const std::optional<Tensor> tensor = model.find(name);
    REQUIRE(tensor);
    CHECK(tensor->shape == entry["shape"].get<std::vector<int64_t>>());
    CHECK(tensor->dtype == Dtype::kBf16);
  }
  CHECK(!model.find("no such tensor"));
  const Tensor first = model.tensors().begin()->second;
  model.advise_willneed(first);
  const std::string before(static_cast<const char*>(first.data), first.bytes());
  model.release(first);
  CHECK(std::memcmp(before.data(), first.data, before.size()) == 0);
}

TEST_CASE("tensors stay valid when the file object is moved") {
  SafetensorsFile file(golden_dir("text-e") / "model.safetensors");
  const std::string name = file.tensors().begin()->first;
  const Tensor* const before = &file.tensors().begin()->second;
  const SafetensorsFile moved(std::move(file));
  CHECK(&moved.tensors().begin()->second == before);
  CHECK(moved.find(name)->data == before->data);
}

TEST_CASE("a header of 2,000 tensors opens in less than 10 ms, and 500,000 in bounded time") {
  const TempDir dir;
  put(dir / "2k.safetensors", many_tensors(2000));
  put(dir / "500k.safetensors", many_tensors(500'000));
  const double small = seconds_to_open(dir / "2k.safetensors", 20);
  const double large = seconds_to_open(dir / "500k.safetensors", 1);
  MESSAGE("2,000 tensors: " << small * 1e3 << " ms; 500,000 tensors ("
                            << std::filesystem::file_size(dir / "500k.safetensors") / 1'000'000
                            << " MB): " << large * 1e3 << " ms");
#ifndef __SANITIZE_ADDRESS__
  CHECK(small < 0.010);
  CHECK(large < 20);
#endif
}

}  // namespace gemma4
