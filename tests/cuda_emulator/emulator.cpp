#include "tests/cuda_emulator/emulator.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

// Saves the callee's registers and stack, and goes on where the other one stopped.
extern "C" void cuda_emulator_switch(void** save, void* to);
asm(R"(
.text
.globl cuda_emulator_switch
.type cuda_emulator_switch, @function
cuda_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

namespace cuda_emulator {
namespace {

constexpr size_t kStackBytes = 96 * 1024;

struct Copy {
  void* to;
  const void* from;
  bool valid;
};

struct Fiber {
  std::unique_ptr<char[]> stack;
  void* context = nullptr;
  unsigned number = 0;
  bool finished = false;
  bool waited = false;
  std::vector<std::vector<Copy>> copies;  // committed groups that are under way
  std::vector<Copy> open_copies;
};

struct Warp {
  uint64_t turn = 0;
  int arrived = 0;
  char lanes[2][32 * kLaneBytes];
};

struct Machine {
  Index thread, block, block_size, grid;
  std::map<const void*, Bind> kernels;
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Warp> warps;
  Fiber* current = nullptr;
  void* scheduler = nullptr;
  const std::function<void()>* work = nullptr;
  std::unique_ptr<char[]> shared;
  void* shared_aligned = nullptr;
  unsigned threads = 0;
  uint64_t barrier_turn = 0;
  unsigned barrier_arrived = 0;
  uint64_t progress = 0;
  std::mt19937 order{1};
};

Machine& machine() {
  static Machine m;
  return m;
}

void yield() {
  Machine& m = machine();
  Fiber* me = m.current;
  cuda_emulator_switch(&me->context, m.scheduler);
  m.thread.x = me->number;
}

void fiber_main() {
  Machine& m = machine();
  Fiber* me = m.current;
  m.thread.x = me->number;
  (*m.work)();
  if (!me->waited) fail("a kernel did not wait for the one before it");
  if (!me->open_copies.empty()) fail("copies were not committed");
  me->finished = true;
  ++m.progress;
  yield();
  fail("a finished thread went on");
}

void start(Fiber& fiber, unsigned number) {
  if (!fiber.stack) fiber.stack = std::make_unique<char[]>(kStackBytes);
  fiber.number = number;
  fiber.finished = fiber.waited = false;
  fiber.copies.clear();
  fiber.open_copies.clear();
  auto top = reinterpret_cast<uintptr_t>(fiber.stack.get() + kStackBytes) & ~uintptr_t{63};
  auto* slot = reinterpret_cast<void**>(top) - 2;  // the stack is 16-byte aligned after `ret`
  slot[0] = reinterpret_cast<void*>(&fiber_main);
  slot[1] = nullptr;
  fiber.context = slot - 6;
  std::memset(fiber.context, 0, 6 * sizeof(void*));
}

void run_block() {
  Machine& m = machine();
  while (m.fibers.size() < m.threads) m.fibers.push_back(std::make_unique<Fiber>());
  for (unsigned i = 0; i < m.threads; ++i) start(*m.fibers[i], i);
  m.warps.assign((m.threads + 31) / 32, Warp{});
  m.barrier_turn = 0;
  m.barrier_arrived = 0;
  unsigned left = m.threads;
  while (left > 0) {
    const uint64_t before = m.progress;
    // A stride that has no divisor in common with the number of threads visits all of them.
    const unsigned first = m.order() % m.threads;
    const unsigned backwards = m.order() % 2;
    for (unsigned i = 0; i < m.threads; ++i) {
      const unsigned at = (first + (backwards ? m.threads - i : i)) % m.threads;
      Fiber& fiber = *m.fibers[at];
      if (fiber.finished) continue;
      m.current = &fiber;
      cuda_emulator_switch(&m.scheduler, fiber.context);
      if (fiber.finished) --left;
    }
    if (left > 0 && m.progress == before) fail("threads wait for each other for ever");
  }
}

void arrive(Fiber& fiber, size_t keep) {
  while (fiber.copies.size() > keep) {
    for (const Copy& copy : fiber.copies.front()) {
      if (copy.valid) {
        std::memcpy(copy.to, copy.from, 16);
      } else {
        std::memset(copy.to, 0, 16);
      }
    }
    fiber.copies.erase(fiber.copies.begin());
  }
}

}  // namespace

Index& thread_index() { return machine().thread; }
Index& block_index() { return machine().block; }
Index& block_size() { return machine().block_size; }
Index& grid_size() { return machine().grid; }

void fail(const char* what) {
  std::fprintf(stderr, "CUDA emulator: %s (thread %u of block %u %u %u)\n", what,
               machine().thread.x, machine().block.x, machine().block.y, machine().block.z);
  std::abort();
}

const void* register_kernel_as(const void* kernel, const Bind& bind) {
  machine().kernels.emplace(kernel, bind);
  return kernel;
}

std::function<void()> bind_kernel(const void* kernel, void** arguments) {
  return machine().kernels.at(kernel)(arguments);
}

void run_kernel(const std::function<void()>& thread, Index grid, unsigned threads,
                size_t shared_bytes) {
  Machine& m = machine();
  m.work = &thread;
  m.grid = grid;
  m.threads = threads;
  m.block_size = {threads, 1, 1};
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        m.block = {x, y, z};
        m.shared = std::make_unique<char[]>(shared_bytes + 128);
        m.shared_aligned = reinterpret_cast<void*>(
            (reinterpret_cast<uintptr_t>(m.shared.get()) + 127) & ~uintptr_t{127});
        std::memset(m.shared.get(), 0xFF, shared_bytes + 128);
        run_block();
        const auto* end = static_cast<const unsigned char*>(m.shared_aligned) + shared_bytes;
        const auto* last =
            reinterpret_cast<const unsigned char*>(m.shared.get()) + shared_bytes + 128;
        for (; end < last; ++end) {
          if (*end != 0xFF) fail("a write past the end of dynamic shared memory");
        }
      }
    }
  }
}

void* dynamic_shared() { return machine().shared_aligned; }
void note_wait() { machine().current->waited = true; }

void block_barrier() {
  Machine& m = machine();
  const uint64_t turn = m.barrier_turn;
  if (++m.barrier_arrived == m.threads) {
    m.barrier_arrived = 0;
    ++m.barrier_turn;
    ++m.progress;
    yield();
    return;
  }
  while (m.barrier_turn == turn) yield();
}

void warp_together(void* mine, size_t size, const std::function<void(void*)>& work) {
  Machine& m = machine();
  Fiber& me = *m.current;
  Warp& warp = m.warps[me.number / 32];
  const uint64_t turn = warp.turn;
  char* lanes = warp.lanes[turn % 2];
  std::memcpy(lanes + me.number % 32 * kLaneBytes, mine, size);
  if (++warp.arrived == 32) {
    work(lanes);
    warp.arrived = 0;
    ++warp.turn;
    ++m.progress;
  }
  while (warp.turn == turn) yield();
  std::memcpy(mine, lanes + me.number % 32 * kLaneBytes, size);
}

void start_copy(void* to, const void* from, bool valid) {
  std::memset(to, 0xFF, 16);
  machine().current->open_copies.push_back({to, from, valid});
}
void commit_copies() {
  Fiber& me = *machine().current;
  me.copies.push_back(std::move(me.open_copies));
  me.open_copies.clear();
}
void wait_copies(int pending) { arrive(*machine().current, static_cast<size_t>(pending)); }

}  // namespace cuda_emulator
