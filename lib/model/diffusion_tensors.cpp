#include "lib/model/diffusion_tensors.h"

#include <algorithm>
#include <string_view>

namespace gemma4 {
namespace {

constexpr std::string_view kText = "model.language_model.";
constexpr std::string_view kDecoder = "model.decoder.";
constexpr std::string_view kEncoder = "model.encoder.language_model.";

bool is_layer_scalar(std::string_view name) { return name.ends_with(".layer_scalar"); }

}  // namespace

std::vector<std::string> DiffusionTensors::names_of(const std::string& name) {
  const std::string_view view = name;
  if (view.starts_with(kText)) {
    const std::string_view rest = view.substr(kText.size());
    std::vector<std::string> names = {std::string(kDecoder).append(rest),
                                      std::string(kEncoder).append(rest)};
    if (is_layer_scalar(rest)) std::swap(names[0], names[1]);
    return names;
  }
  if (view.starts_with(kDecoder) && is_layer_scalar(view)) {
    return {name, std::string(kEncoder).append(view.substr(kDecoder.size()))};
  }
  for (const std::string_view tower : {"model.vision_tower.", "model.embed_vision."}) {
    if (view.starts_with(tower)) {
      return {"model.encoder." + std::string(view.substr(std::string_view("model.").size()))};
    }
  }
  return {name};
}

bool DiffusionTensors::has(const std::string& name) const {
  const std::vector<std::string> names = names_of(name);
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& one) { return file_.has(one); });
}

bool DiffusionTensors::has_matrix(const std::string& module) const {
  const std::vector<std::string> names = names_of(module);
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& one) { return file_.has_matrix(one); });
}

std::string DiffusionTensors::tensor_name(const std::string& name) {
  const std::vector<std::string> names = names_of(name);
  const auto found = std::find_if(names.begin(), names.end(),
                                  [&](const std::string& one) { return file_.has(one); });
  for (const std::string& other : names) file_.ignore(other);
  return found == names.end() ? names.front() : *found;
}

const Tensor& DiffusionTensors::take(const std::string& name, const std::vector<int64_t>& shape) {
  return file_.take(tensor_name(name), shape);
}

Vector DiffusionTensors::vector(const std::string& name, int64_t size) {
  return file_.vector(tensor_name(name), size);
}

float DiffusionTensors::scalar(const std::string& name) { return file_.scalar(tensor_name(name)); }

Weight DiffusionTensors::matrix(const std::string& module, int64_t rows, int64_t cols) {
  const std::vector<std::string> names = names_of(module);
  const auto found = std::find_if(names.begin(), names.end(),
                                  [&](const std::string& one) { return file_.has_matrix(one); });
  const std::string& chosen = found == names.end() ? names.front() : *found;
  for (const std::string& other : names) {
    if (other != chosen && file_.has_matrix(other)) file_.ignore_prefix(other + ".");
  }
  return file_.matrix(chosen, rows, cols);
}

void DiffusionTensors::ignore(const std::string& name) {
  for (const std::string& one : names_of(name)) file_.ignore(one);
}

void DiffusionTensors::ignore_prefix(std::string prefix) {
  for (std::string& one : names_of(prefix)) file_.ignore_prefix(std::move(one));
}

}  // namespace gemma4
