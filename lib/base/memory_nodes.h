// Memory of machines with several NUMA nodes.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace gemma4 {

/// Numbers of a list of the kernel's ("0-1,4"; /sys/devices/system/node/has_memory), ascending.
/// Empty when the text is no such list or names a node over 1023.
std::vector<int> parse_node_list(std::string_view text);

/// Nodes that have memory; empty when the kernel does not say.
const std::vector<int>& memory_nodes();

/// Pages of [data, data + bytes), not touched yet, will come from all nodes in turn. Every thread
/// reads parts of every weight, so that this is what uses the bandwidth of all nodes; left to
/// first touch, what one thread repacked would all lie on its node. Nothing happens on a machine
/// with one node, or where the kernel forbids it. Mapped files keep their place in the page cache.
void spread_over_nodes(void* data, size_t bytes);

}  // namespace gemma4
