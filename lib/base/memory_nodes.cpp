#include "lib/base/memory_nodes.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <climits>
#include <fstream>
#include <string>

namespace gemma4 {
namespace {

constexpr int kMaxNodes = 1024;  // the kernel's own limit (CONFIG_NODES_SHIFT)
constexpr int kInterleave = 3;   // MPOL_INTERLEAVE of linux/mempolicy.h
constexpr int kWordBits = sizeof(unsigned long) * CHAR_BIT;

/// A number at the front of `text`, taken off it; -1 when there is none below kMaxNodes.
int take_number(std::string_view& text) {
  int number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 0 || number >= kMaxNodes) return -1;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

}  // namespace

std::vector<int> parse_node_list(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  std::vector<int> nodes;
  while (!text.empty()) {
    const int first = take_number(text);
    int last = first;
    if (text.starts_with('-')) {
      text.remove_prefix(1);
      last = take_number(text);
    }
    if (first < 0 || last < first || (!nodes.empty() && first <= nodes.back())) return {};
    for (int node = first; node <= last; ++node) nodes.push_back(node);
    if (text.empty()) break;
    if (!text.starts_with(',') || text.size() == 1) return {};
    text.remove_prefix(1);
  }
  return nodes;
}

const std::vector<int>& memory_nodes() {
  static const std::vector<int> nodes = [] {
    std::ifstream file("/sys/devices/system/node/has_memory");
    std::string line;
    return std::getline(file, line) ? parse_node_list(line) : std::vector<int>();
  }();
  return nodes;
}

void spread_over_nodes(void* data, size_t bytes) {
  const std::vector<int>& nodes = memory_nodes();
  if (nodes.size() < 2) return;
  std::array<unsigned long, kMaxNodes / kWordBits> mask{};
  for (const int node : nodes) mask[node / kWordBits] |= 1ul << (node % kWordBits);
  // Best effort: a container may forbid it, and the program is right without. The kernel wants
  // one more than the number of bits.
  (void)::syscall(SYS_mbind, data, bytes, kInterleave, mask.data(), kMaxNodes + 1ul, 0u);
}

}  // namespace gemma4
