// Brings weights to the device while they are loaded, and finds them again.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "kernels/cuda/launch_queue.h"
#include "kernels/cuda/weights.h"
#include "kernels/ops.h"

namespace gemma4::cuda {

/// A weight's device copy. Copies of many weights share memory.
struct DeviceWeight : WeightLayout {
  StoredMatrix matrix;
  std::shared_ptr<DeviceMemory> memory;
};

class WeightStore {
 public:
  /// `exact`: forms that kernels do not know are widened to float32 instead of bfloat16.
  WeightStore(LaunchQueue& queue, bool exact) : queue_(queue), exact_(exact) {}

  /// Packs the weight on all threads while the part before is copied. Throws Error(kResource) when
  /// the device is full, Error(kModel) for a weight of no known form.
  void prepare(Weight& weight);
  /// Of a weight that was prepared; any other is brought over for as long as the next
  /// forget_temporaries() is away.
  const StoredMatrix& find(const Weight& weight);
  void forget_temporaries();

  /// A device array of the gate, up and down matrices of experts: [3][experts].
  const StoredMatrix* expert_table(std::span<const MlpWeights> experts);

 private:
  static constexpr size_t kSlabBytes = size_t{256} << 20;
  static constexpr size_t kStagingBytes = size_t{32} << 20;

  struct Staging {
    PinnedMemory memory;
    Event copied;
  };
  struct Table {
    // What it was made from; kept, so that no other weight comes to lie at these addresses.
    std::shared_ptr<WeightLayout> first;
    std::shared_ptr<WeightLayout> last;
    size_t experts = 0;
    DeviceMemory device;
  };

  std::shared_ptr<DeviceWeight> store(const Weight& weight);
  std::pair<std::shared_ptr<DeviceMemory>, uint8_t*> take(size_t bytes);
  template <typename PackRows>
  void send(int64_t rows, int64_t row_bytes, uint8_t* to, const PackRows& pack_rows);

  LaunchQueue& queue_;
  bool exact_;
  std::weak_ptr<DeviceMemory> slab_;  // the one that is being filled
  size_t slab_used_ = 0;
  std::array<Staging, 2> staging_;
  size_t next_staging_ = 0;
  std::vector<std::shared_ptr<DeviceWeight>> temporaries_;
  std::vector<Table> tables_;
};

}  // namespace gemma4::cuda
