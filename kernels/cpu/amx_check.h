// Whether AMX may be trusted on this machine.
//
// AMX keeps operands in tile registers that the operating system, and a hypervisor below it, must
// save when they preempt a thread. On some cloud machines they were reported to come back as
// zeros: products are then silently wrong, and only under load.
#pragma once

#include <chrono>
#include <functional>
#include <span>

namespace gemma4::cpu {

/// Asks Linux to let this process use tile registers, as it must be asked once (arch_prctl,
/// ARCH_REQ_XCOMP_PERM). False where that is refused or not known.
bool request_amx();

/// Repeats `product`, which fills expected.size() floats, on `threads` threads at once for
/// `duration`. False as soon as one result is not `expected` bit for bit, or a product throws.
/// With more threads than cores every thread is preempted in the middle of its work.
bool right_under_contention(const std::function<void(float* out)>& product,
                            std::span<const float> expected, int threads,
                            std::chrono::milliseconds duration);

/// For CPUs that have AMX: the permission, and oneDNN's bf16 product of whole numbers, whose result
/// is exact in any order, for about 20 ms on twice as many threads as there are cores. A wrong
/// result is a warning and false.
bool amx_works();

}  // namespace gemma4::cpu
