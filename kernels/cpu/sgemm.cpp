#include "kernels/cpu/sgemm.h"

#include <dnnl.h>

#include <string>

#include "lib/base/error.h"

namespace gemma4::cpu {

void sgemm(int64_t m, int64_t n, int64_t k, const float* x, int64_t ldx, const float* w,
           int64_t ldw, float* out, int64_t ldo) {
  const dnnl_status_t status =
      dnnl_sgemm('N', 'T', m, n, k, 1.0f, x, ldx, w, ldw, 0.0f, out, ldo);
  if (status != dnnl_success) {
    throw Error(ErrorKind::kInternal, "oneDNN matrix product failed",
                "status " + std::to_string(static_cast<int>(status)));
  }
}

}  // namespace gemma4::cpu
