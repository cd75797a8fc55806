// A list of kernel launches, as bytes: what a step did, to be run, compared, or captured in a
// graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <vector>

namespace gemma4::cuda {

struct LaunchShape {
  uint32_t grid_x = 1;
  uint32_t grid_y = 1;
  uint32_t grid_z = 1;
  uint32_t threads = 1;
  uint32_t shared_bytes = 0;  // dynamic
};

/// One launch of a log. The arguments point into the log.
struct Launch {
  const void* kernel = nullptr;
  LaunchShape shape;
  std::vector<void*> arguments;
};

class LaunchLog {
 public:
  /// Arguments are copied bit by bit: types without padding, so that equal launches are equal
  /// bytes.
  template <typename... A>
  void add(const void* kernel, const LaunchShape& shape, const A&... arguments) {
    words_.push_back(reinterpret_cast<uint64_t>(kernel));
    words_.push_back(uint64_t{shape.grid_x} << 32 | shape.grid_y);
    words_.push_back(uint64_t{shape.grid_z} << 32 | shape.threads);
    words_.push_back(uint64_t{shape.shared_bytes} << 32 | sizeof...(A));
    (add_argument(arguments), ...);
    ++size_;
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void clear() {
    words_.clear();
    size_ = 0;
  }
  /// Equal words: the same launches with the same arguments, in the same order.
  std::span<const uint64_t> words() const { return words_; }
  uint64_t hash() const {
    uint64_t hash = 0xCBF29CE484222325u;  // FNV-1a, a word at a time
    for (const uint64_t word : words_) hash = (hash ^ word) * 0x100000001B3u;
    return hash;
  }

  /// Calls fn(launch) for each launch.
  template <typename Fn>
  void for_each(const Fn& fn) {
    size_t at = 0;
    Launch launch;
    while (at < words_.size()) {
      launch.kernel = reinterpret_cast<const void*>(words_[at]);
      launch.shape.grid_x = static_cast<uint32_t>(words_[at + 1] >> 32);
      launch.shape.grid_y = static_cast<uint32_t>(words_[at + 1]);
      launch.shape.grid_z = static_cast<uint32_t>(words_[at + 2] >> 32);
      launch.shape.threads = static_cast<uint32_t>(words_[at + 2]);
      launch.shape.shared_bytes = static_cast<uint32_t>(words_[at + 3] >> 32);
      const auto count = static_cast<uint32_t>(words_[at + 3]);
      at += 4;
      launch.arguments.clear();
      for (uint32_t i = 0; i < count; ++i) {
        const auto size = static_cast<size_t>(words_[at]);
        launch.arguments.push_back(&words_[at + 1]);
        at += 1 + size;
      }
      fn(launch);
    }
  }

 private:
  template <typename T>
  void add_argument(const T& value) {
    static_assert(std::is_arithmetic_v<T> || std::has_unique_object_representations_v<T>,
                  "no padding, and no floats in structs");
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= alignof(uint64_t));
    constexpr size_t kWords = (sizeof(T) + 7) / 8;
    const size_t at = words_.size();
    words_.resize(at + 1 + kWords, 0);
    words_[at] = kWords;
    std::memcpy(&words_[at + 1], &value, sizeof(T));
  }

  std::vector<uint64_t> words_;
  size_t size_ = 0;
};

}  // namespace gemma4::cuda
