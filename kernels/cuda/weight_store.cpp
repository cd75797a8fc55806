#include "kernels/cuda/weight_store.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "lib/base/error.h"
#include "lib/base/parallel.h"

namespace gemma4::cuda {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kMostTables = 256;

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

// Small weights share slabs: a model has thousands of experts.
std::pair<std::shared_ptr<DeviceMemory>, uint8_t*> WeightStore::take(size_t bytes) {
  bytes = aligned(bytes);
  if (bytes >= kSlabBytes / 8) {
    auto own = std::make_shared<DeviceMemory>(bytes);
    return {own, own->as<uint8_t>()};
  }
  std::shared_ptr<DeviceMemory> slab = slab_.lock();
  if (slab == nullptr || slab_used_ + bytes > slab->size()) {
    // A slab is as large as what is asked for so far suggests, so that small models take little.
    const size_t size = slab == nullptr ? std::max(bytes, kSlabBytes / 64) : kSlabBytes;
    slab = std::make_shared<DeviceMemory>(size);
    slab_ = slab;
    slab_used_ = 0;
  }
  uint8_t* at = slab->as<uint8_t>() + slab_used_;
  slab_used_ += bytes;
  return {slab, at};
}

template <typename PackRows>
void WeightStore::send(int64_t rows, int64_t row_bytes, uint8_t* to, const PackRows& pack_rows) {
  if (row_bytes == 0) return;
  const int64_t together = std::max<int64_t>(1, static_cast<int64_t>(kStagingBytes) / row_bytes);
  for (int64_t first = 0; first < rows; first += together) {
    const int64_t count = std::min(together, rows - first);
    Staging& staging = staging_[next_staging_++ % staging_.size()];
    staging.copied.wait();
    const auto bytes = static_cast<size_t>(count * row_bytes);
    if (staging.memory.size() < bytes)
      staging.memory = PinnedMemory(std::max(bytes, kStagingBytes));
    auto* out = reinterpret_cast<uint8_t*>(staging.memory.data());
    parallel_ranges(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) pack_rows(first + r, out + r * row_bytes);
    });
    check(cudaMemcpyAsync(to + first * row_bytes, out, bytes, cudaMemcpyHostToDevice,
                          queue_.stream().get()),
          "copying weights");
    staging.copied.record(queue_.stream());
  }
}

std::shared_ptr<DeviceWeight> WeightStore::store(const Weight& weight) {
  if (weight.rows > std::numeric_limits<int32_t>::max() ||
      weight.cols > std::numeric_limits<int32_t>::max() / 2) {
    throw Error(ErrorKind::kModel, "weight is too large for the GPU kernels", weight.name);
  }
  auto layout = std::make_shared<DeviceWeight>();
  StoredMatrix& m = layout->matrix;
  m.form = form_of(weight, exact_);
  m.rows = static_cast<int32_t>(weight.rows);
  m.cols = static_cast<int32_t>(weight.cols);
  const int64_t row_bytes = packed_row_bytes(m.form, weight.cols);
  const int64_t scale_bytes = scale_row_bytes(m.form, weight.cols);
  const size_t codes_size = aligned(static_cast<size_t>(weight.rows * row_bytes));
  const auto [memory, at] = take(codes_size + static_cast<size_t>(weight.rows * scale_bytes));
  layout->memory = memory;
  m.codes = at;
  m.scales = scale_bytes > 0 ? at + codes_size : nullptr;
  queue_.flush();
  std::vector<uint8_t> scales(static_cast<size_t>(weight.rows * scale_bytes));
  send(weight.rows, row_bytes, at, [&](int64_t row, uint8_t* out) {
    pack_row(weight, m.form, row, out, scales.data() + row * scale_bytes);
  });
  send(weight.rows, scale_bytes, at + codes_size, [&](int64_t row, uint8_t* out) {
    std::memcpy(out, scales.data() + row * scale_bytes, static_cast<size_t>(scale_bytes));
  });
  return layout;
}

void WeightStore::prepare(Weight& weight) { weight.layout = store(weight); }

const StoredMatrix& WeightStore::find(const Weight& weight) {
  if (const auto* known = dynamic_cast<const DeviceWeight*>(weight.layout.get())) {
    return known->matrix;
  }
  temporaries_.push_back(store(weight));
  return temporaries_.back()->matrix;
}

void WeightStore::forget_temporaries() {
  if (temporaries_.empty()) return;
  queue_.synchronize();
  temporaries_.clear();
}

const StoredMatrix* WeightStore::expert_table(std::span<const MlpWeights> experts) {
  const std::shared_ptr<WeightLayout>& first = experts.front().gate.layout;
  const std::shared_ptr<WeightLayout>& last = experts.back().down.layout;
  for (const Table& table : tables_) {
    if (first != nullptr && table.first == first && table.last == last &&
        table.experts == experts.size()) {
      return table.device.as<StoredMatrix>();
    }
  }
  std::vector<StoredMatrix> matrices;
  for (const Weight MlpWeights::*part : {&MlpWeights::gate, &MlpWeights::up, &MlpWeights::down}) {
    const size_t begin = matrices.size();
    for (const MlpWeights& expert : experts) {
      matrices.push_back(find(expert.*part));
      const StoredMatrix& m = matrices.back();
      const StoredMatrix& like = matrices[begin];
      if (m.form != matrices[0].form || m.rows != like.rows || m.cols != like.cols) {
        throw Error(ErrorKind::kModel, "experts of one layer differ in form", (expert.*part).name);
      }
    }
  }
  if (tables_.size() >= kMostTables) {
    queue_.synchronize();
    tables_.clear();
  }
  const size_t bytes = matrices.size() * sizeof(StoredMatrix);
  Table table{first, last, experts.size(), DeviceMemory(bytes)};
  queue_.flush();
  check(cudaMemcpyAsync(table.device.data(), matrices.data(), bytes, cudaMemcpyHostToDevice,
                        queue_.stream().get()),
        "copying a table of experts");
  queue_.stream().synchronize();
  tables_.push_back(std::move(table));
  return tables_.back().device.as<StoredMatrix>();
}

}  // namespace gemma4::cuda
