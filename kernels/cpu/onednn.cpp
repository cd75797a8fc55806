#include "kernels/cpu/onednn.h"

#include <omp.h>

#include <dnnl.hpp>
#include <string>

#include "lib/base/error.h"
#include "lib/base/parallel.h"

namespace gemma4::cpu {
namespace {

/// oneDNN would bring OpenMP's threads, which fight with ours for the cores: each of our threads
/// has it compute a part on that thread alone.
void compute_on_this_thread() {
  thread_local bool alone = false;
  if (alone) return;
  omp_set_num_threads(1);
  alone = true;
}

dnnl::matmul::primitive_desc describe(const dnnl::engine& engine, const dnnl::memory::desc& x,
                                      const dnnl::memory::desc& w, const dnnl::memory::desc& out) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, x, w, out};
#else
  return {{x, w, out}, engine};
#endif
}

}  // namespace

void sgemm(int64_t m, int64_t n, int64_t k, const float* x, int64_t ldx, const float* w,
           int64_t ldw, float* out, int64_t ldo) {
  constexpr int64_t kColumns = 64;
  parallel_ranges(n, kColumns, [&](int64_t begin, int64_t end) {
    compute_on_this_thread();
    const dnnl_status_t status = dnnl_sgemm('N', 'T', m, end - begin, k, 1.0f, x, ldx,
                                            w + begin * ldw, ldw, 0.0f, out + begin, ldo);
    if (status != dnnl_success) {
      throw Error(ErrorKind::kInternal, "oneDNN matrix product failed",
                  "status " + std::to_string(static_cast<int>(status)));
    }
  });
}

void onednn_bf16_product(const Bf16Product& p) {
  using Memory = dnnl::memory;
  compute_on_this_thread();
  try {
    static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    thread_local dnnl::stream stream(engine);
    const Memory::desc x({p.m, p.k}, Memory::data_type::bf16, Memory::dims{p.ldx, 1});
    const Memory::desc w({p.k, p.n}, Memory::data_type::bf16, Memory::dims{1, p.ldw});
    const Memory::desc out({p.m, p.n}, Memory::data_type::f32, Memory::dims{p.ldo, 1});
    // Made anew each time, which oneDNN's cache of primitives makes cheap: one must run on the
    // thread that made it.
    dnnl::matmul(describe(engine, x, w, out))
        .execute(stream, {{DNNL_ARG_SRC, Memory(x, engine, const_cast<uint16_t*>(p.x))},
                          {DNNL_ARG_WEIGHTS, Memory(w, engine, const_cast<uint16_t*>(p.w))},
                          {DNNL_ARG_DST, Memory(out, engine, p.out)}});
    stream.wait();
  } catch (const dnnl::error& e) {
    throw Error(ErrorKind::kInternal, "oneDNN bf16 matrix product failed", e.what());
  }
}

}  // namespace gemma4::cpu
