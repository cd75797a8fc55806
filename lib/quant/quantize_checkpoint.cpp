#include "lib/quant/quantize_checkpoint.h"

#include <algorithm>
#include <array>
#include <span>

#include "lib/base/error.h"
#include "lib/io/atomic_file.h"
#include "lib/io/safetensors_writer.h"
#include "lib/quant/output_directory.h"

namespace gemma4 {
namespace fs = std::filesystem;
namespace {

constexpr size_t kCopyBytes = size_t{16} << 20;

/// The smallest thing that goes into one shard: a copied tensor or a quantised matrix.
struct Unit {
  const PlannedTensor* tensor;
  const PlannedMatrix* matrix;  // null: the tensor is copied
  std::vector<TensorDeclaration> declarations;
};

struct Shard {
  std::vector<Unit> units;
  uint64_t bytes = 0;
};

uint64_t bytes_of(const std::vector<TensorDeclaration>& declarations) {
  uint64_t bytes = 0;
  for (const auto& declaration : declarations) {
    bytes += Tensor{nullptr, declaration.dtype, declaration.shape}.bytes();
  }
  return bytes;
}

std::vector<Shard> make_shards(const Checkpoint& source, const QuantizePlan& plan,
                               uint64_t shard_bytes) {
  std::vector<Shard> shards(1);
  const auto add = [&](Unit unit) {
    const uint64_t bytes = bytes_of(unit.declarations);
    if (shards.back().bytes + bytes > shard_bytes && !shards.back().units.empty()) {
      shards.emplace_back();
    }
    shards.back().bytes += bytes;
    shards.back().units.push_back(std::move(unit));
  };
  for (const PlannedTensor& tensor : plan.tensors) {
    const Tensor& stored = *source.find(tensor.source);
    if (tensor.copied) add({&tensor, nullptr, {{tensor.source, stored.dtype, stored.shape}}});
    for (const PlannedMatrix& matrix : tensor.matrices) {
      add({&tensor, &matrix, declarations_of(stored.dtype, matrix)});
    }
  }
  return shards;
}

std::string shard_name(size_t index, size_t count) {
  if (count == 1) return "model.safetensors";
  const auto number = [](size_t n) {
    const std::string digits = std::to_string(n);
    return std::string(digits.size() < 5 ? 5 - digits.size() : 0, '0') + digits;
  };
  return "model-" + number(index + 1) + "-of-" + number(count) + ".safetensors";
}

std::span<const std::byte> bytes_at(const void* data, size_t size) {
  return {static_cast<const std::byte*>(data), size};
}

class Converter {
 public:
  Converter(const Checkpoint& source, const QuantizePlan& plan,
            const std::function<void(const QuantizeProgress&)>& progress)
      : source_(source), plan_(plan), progress_(progress) {}

  QuantizeReport run(const fs::path& directory, uint64_t shard_bytes) {
    const std::vector<Shard> shards = make_shards(source_, plan_, shard_bytes);
    Json weight_map = Json::object();
    auto& entries = weight_map.get_ref<Json::object_t&>();
    for (size_t i = 0; i < shards.size(); ++i) {
      const std::string name = shard_name(i, shards.size());
      write_shard(shards[i], directory / name);
      for (const Unit& unit : shards[i].units) {
        for (const auto& declaration : unit.declarations) {
          entries.emplace_back(declaration.name, name);
        }
      }
    }
    if (shards.size() > 1) {
      const Json index = {{"metadata", {{"total_size", plan_.output_bytes}}},
                          {"weight_map", weight_map}};
      write_file_atomically(directory / "model.safetensors.index.json", index.dump(2) + "\n");
    }
    report_.source_bytes = plan_.source_bytes;
    report_.output_bytes = plan_.output_bytes;
    return std::move(report_);
  }

 private:
  void write_shard(const Shard& shard, const fs::path& path) {
    std::vector<TensorDeclaration> declarations;
    for (const Unit& unit : shard.units) {
      declarations.insert(declarations.end(), unit.declarations.begin(), unit.declarations.end());
    }
    SafetensorsWriter writer(path, declarations, {{"gemma4_quantize", "1"}});
    for (const Unit& unit : shard.units) {
      if (unit.matrix == nullptr) {
        copy(*unit.tensor, writer);
      } else {
        write_quantized(*unit.matrix, writer);
      }
      // At once, since an embedding or a stack of experts may be gigabytes.
      source_.release(unit.tensor->source);
    }
    writer.commit();
  }

  void copy(const PlannedTensor& tensor, SafetensorsWriter& writer) {
    std::span<const std::byte> rest =
        bytes_at(source_.find(tensor.source)->data, tensor.source_bytes);
    while (!rest.empty()) {
      const auto part = rest.first(std::min(rest.size(), kCopyBytes));
      writer.write(tensor.source, part);
      rest = rest.subspan(part.size());
      source_.release(tensor.source);
      // The tied embedding is counted when it is quantised.
      if (tensor.matrices.empty()) advance(part.size(), tensor.source);
    }
  }

  void write_quantized(const PlannedMatrix& matrix, SafetensorsWriter& writer) {
    Tensor weight = *source_.find(matrix.source);
    const auto row_bytes = static_cast<uint64_t>(matrix.cols * dtype_bits(weight.dtype) / 8);
    weight.data = static_cast<const std::byte*>(weight.data) +
                  static_cast<uint64_t>(matrix.first_row) * row_bytes;
    weight.shape = {matrix.rows, matrix.cols};
    const QuantizeResult result = quantize(weight, matrix.format, matrix.module);
    const QuantizedMatrix& quantized = *result.matrix;
    const auto rows = static_cast<size_t>(matrix.rows);
    const size_t scale_bytes = rows * static_cast<size_t>(quantized.groups()) *
                               static_cast<size_t>(dtype_bits(quantized.scale_dtype) / 8);
    const std::array<int64_t, 2> shape = {matrix.rows, matrix.cols};
    writer.write(matrix.module + ".weight_packed",
                 bytes_at(quantized.codes, rows * quantized.row_bytes));
    writer.write(matrix.module + ".weight_scale", bytes_at(quantized.scales, scale_bytes));
    writer.write(matrix.module + ".weight_shape", std::as_bytes(std::span(shape)));
    report_.modules.push_back(
        {matrix.module, result.relative_error, result.squares, result.on_grid, result.used_grid});
    advance(static_cast<uint64_t>(matrix.rows) * row_bytes, matrix.module);
  }

  void advance(uint64_t bytes, std::string_view tensor) {
    done_ += bytes;
    if (progress_) progress_({done_, plan_.source_bytes, tensor});
  }

  const Checkpoint& source_;
  const QuantizePlan& plan_;
  const std::function<void(const QuantizeProgress&)>& progress_;
  QuantizeReport report_;
  uint64_t done_ = 0;
};

/// Tokenizer, templates, processor settings, licence. Not the weights that are written anew, and
/// nothing that could be run or unpickled.
bool is_copied(const fs::path& file) {
  const std::string name = file.filename().string();
  if (name == "config.json" || name.ends_with(".safetensors") ||
      name == "model.safetensors.index.json" || name.starts_with("gemma4-cache-")) {
    return false;
  }
  constexpr std::array<std::string_view, 7> kLeftOut = {".py",  ".bin",  ".pt",     ".pth",
                                                        ".pkl", ".gguf", ".partial"};
  return std::none_of(kLeftOut.begin(), kLeftOut.end(),
                      [&](std::string_view suffix) { return name.ends_with(suffix); });
}

void copy_other_files(const fs::path& source, const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code ec;
  for (fs::directory_iterator entry(source, ec), end; !ec && entry != end; entry.increment(ec)) {
    std::error_code not_a_file;
    if (entry->is_regular_file(not_a_file) && is_copied(entry->path())) {
      files.push_back(entry->path());
    }
  }
  if (ec) throw Error(ErrorKind::kModel, "cannot list directory", source.string(), ec.message());
  for (const fs::path& file : files) {
    const fs::path target = directory / file.filename();
    if (!fs::copy_file(file, target, ec)) {
      throw Error(ErrorKind::kResource, "cannot copy file", target.string(), ec.message());
    }
  }
}

void require_space(const fs::path& directory, uint64_t bytes) {
  std::error_code ec;
  const fs::space_info space = fs::space(directory, ec);
  if (ec || space.available >= bytes) return;
  throw Error(ErrorKind::kResource, "the disk is too full", directory.string(),
              std::to_string(bytes) + " bytes are needed, " + std::to_string(space.available) +
                  " are free");
}

}  // namespace

QuantizeReport quantize_checkpoint(const fs::path& source, const fs::path& destination,
                                   const QuantizeOptions& options,
                                   const std::function<void(const QuantizeProgress&)>& progress,
                                   const AcceptQuantized& accept) {
  require_apart(source, destination);
  const Checkpoint checkpoint = Checkpoint::open(source);
  const QuantizePlan plan = plan_quantization(checkpoint, options);
  OutputDirectory output(destination, options.force);
  require_space(output.partial(), plan.output_bytes);
  QuantizeReport report =
      Converter(checkpoint, plan, progress).run(output.partial(), options.shard_bytes);
  copy_other_files(source, output.partial());
  write_file_atomically(output.partial() / "config.json", plan.config.dump(2) + "\n");
  if (accept) accept(output.partial(), report);
  output.commit();
  return report;
}

}  // namespace gemma4
