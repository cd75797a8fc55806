#include "lib/base/parallel.h"

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace gemma4 {
namespace {

constexpr int kSpins = 2000;  // some 20 to 80 microseconds

thread_local int t_index = 0;
thread_local bool t_in_loop = false;

// The logical CPUs of each physical core that this process may run on.
std::vector<cpu_set_t> allowed_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return {};
  std::map<std::pair<int, int>, cpu_set_t> cores;  // by (package, core)
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    const std::string base = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    int package = 0;
    int core = -1;
    std::ifstream(base + "physical_package_id") >> package;
    std::ifstream(base + "core_id") >> core;
    cpu_set_t& cpus = cores[{package, core < 0 ? cpu : core}];  // empty when it is new
    CPU_SET(cpu, &cpus);
  }
  std::vector<cpu_set_t> sets;
  for (const auto& [key, cpus] : cores) sets.push_back(cpus);
  return sets;
}

// The core of each worker, or none: only a process that uses the whole machine keeps its threads
// in place. Another one would be tied to cores that its neighbours may have chosen too.
std::vector<cpu_set_t> cores_of_workers(int threads) {
  std::vector<cpu_set_t> cores = allowed_cores();
  int cpus = 0;
  for (const cpu_set_t& core : cores) cpus += CPU_COUNT(&core);
  const bool whole = cpus == static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  if (!whole || threads != static_cast<int>(cores.size())) return {};
  return cores;
}

// Workers wait for the generation to change, run the job, and count down.
class ThreadPool {
 public:
  explicit ThreadPool(int threads) {
    const std::vector<cpu_set_t> cores = cores_of_workers(threads);
    for (int i = 1; i < threads; ++i) {
      workers_.emplace_back([this, i] { work(i); });
      // The caller's thread stays free: what it starts later would inherit its place.
      if (cores.empty()) continue;
      const auto core = cores[static_cast<size_t>(i)];
      pthread_setaffinity_np(workers_.back().native_handle(), sizeof(core), &core);
    }
  }

  ~ThreadPool() {
    stopping_ = true;
    generation_.fetch_add(1);
    generation_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  void run(int threads, void (*job)(void*, int), void* context) {
    job_ = job;
    context_ = context;
    threads_ = threads;
    left_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1);
    generation_.notify_all();
    t_in_loop = true;
    job(context, 0);
    t_in_loop = false;
    for (int spins = 0; left_.load(std::memory_order_acquire) > 0; ++spins) {
      if (spins < kSpins) {
        _mm_pause();
      } else {
        sched_yield();
      }
    }
  }

 private:
  void work(int index) {
    t_index = index;
    t_in_loop = true;
    uint32_t seen = 0;
    while (true) {
      for (int spins = 0; spins < kSpins && generation_.load() == seen; ++spins) _mm_pause();
      generation_.wait(seen);
      seen = generation_.load();
      if (stopping_) return;
      if (index < threads_) job_(context_, index);
      left_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::vector<std::thread> workers_;
  std::atomic<uint32_t> generation_{0};
  std::atomic<int> left_{0};
  std::atomic<bool> stopping_{false};
  void (*job_)(void*, int) = nullptr;
  void* context_ = nullptr;
  int threads_ = 0;
};

// One pool for the process, made when first used and again when the number of threads changes.
std::unique_ptr<ThreadPool>& pool() {
  static std::unique_ptr<ThreadPool> instance = std::make_unique<ThreadPool>(physical_cores());
  return instance;
}

}  // namespace

void set_num_threads(int threads) {
  threads = std::max(1, threads);
  if (pool()->size() != threads) pool() = std::make_unique<ThreadPool>(threads);
}

int num_threads() { return pool()->size(); }
int thread_index() { return t_index; }
bool in_parallel_loop() { return t_in_loop; }

void parallel_detail::run(int threads, void (*job)(void*, int), void* context) {
  // Loops of two threads at once, which only tests have, take turns.
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  pool()->run(threads, job, context);
}

int physical_cores() { return std::max(1, static_cast<int>(allowed_cores().size())); }

}  // namespace gemma4
