#include "kernels/cpu/sgemm.h"

#include <dnnl.h>
#include <omp.h>

#include <string>

#include "lib/base/error.h"
#include "lib/base/parallel.h"

namespace gemma4::cpu {

void sgemm(int64_t m, int64_t n, int64_t k, const float* x, int64_t ldx, const float* w,
           int64_t ldw, float* out, int64_t ldo) {
  // oneDNN would bring OpenMP's threads, which fight with ours for the cores: each of our threads
  // has it compute a part on that thread alone.
  constexpr int64_t kColumns = 64;
  parallel_ranges(n, kColumns, [&](int64_t begin, int64_t end) {
    thread_local bool alone = false;
    if (!alone) {
      omp_set_num_threads(1);
      alone = true;
    }
    const dnnl_status_t status = dnnl_sgemm('N', 'T', m, end - begin, k, 1.0f, x, ldx,
                                            w + begin * ldw, ldw, 0.0f, out + begin, ldo);
    if (status != dnnl_success) {
      throw Error(ErrorKind::kInternal, "oneDNN matrix product failed",
                  "status " + std::to_string(static_cast<int>(status)));
    }
  });
}

}  // namespace gemma4::cpu
