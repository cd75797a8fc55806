#include "kernels/cuda/blas.h"

#include <dlfcn.h>

#include <string>

#include "lib/base/error.h"

namespace gemma4::cuda {
namespace {

constexpr size_t kWorkspaceBytes = size_t{64} << 20;
constexpr size_t kMostPlans = 4096;

void check_blas(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(ErrorKind::kInternal, "cuBLASLt failed", what,
              "status " + std::to_string(static_cast<int>(status)));
}

template <typename T>
bool find(void* library, const char* name, T*& function) {
  function = reinterpret_cast<T*>(dlsym(library, name));
  return function != nullptr;
}

}  // namespace

struct Blas::Functions {
  void* library = nullptr;
  decltype(cublasLtCreate)* create;
  decltype(cublasLtDestroy)* destroy;
  decltype(cublasLtMatmul)* matmul;
  decltype(cublasLtMatmulDescCreate)* desc_create;
  decltype(cublasLtMatmulDescDestroy)* desc_destroy;
  decltype(cublasLtMatmulDescSetAttribute)* desc_set;
  decltype(cublasLtMatrixLayoutCreate)* layout_create;
  decltype(cublasLtMatrixLayoutDestroy)* layout_destroy;
  decltype(cublasLtMatmulPreferenceCreate)* preference_create;
  decltype(cublasLtMatmulPreferenceDestroy)* preference_destroy;
  decltype(cublasLtMatmulPreferenceSetAttribute)* preference_set;
  decltype(cublasLtMatmulAlgoGetHeuristic)* heuristic;

  bool load() {
    const std::string major = std::to_string(CUBLAS_VER_MAJOR);
    for (const std::string& name :
         {"libcublasLt.so." + major, "/usr/local/cuda/lib64/libcublasLt.so." + major}) {
      library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (library != nullptr) break;
    }
    return library != nullptr && find(library, "cublasLtCreate", create) &&
           find(library, "cublasLtDestroy", destroy) && find(library, "cublasLtMatmul", matmul) &&
           find(library, "cublasLtMatmulDescCreate", desc_create) &&
           find(library, "cublasLtMatmulDescDestroy", desc_destroy) &&
           find(library, "cublasLtMatmulDescSetAttribute", desc_set) &&
           find(library, "cublasLtMatrixLayoutCreate", layout_create) &&
           find(library, "cublasLtMatrixLayoutDestroy", layout_destroy) &&
           find(library, "cublasLtMatmulPreferenceCreate", preference_create) &&
           find(library, "cublasLtMatmulPreferenceDestroy", preference_destroy) &&
           find(library, "cublasLtMatmulPreferenceSetAttribute", preference_set) &&
           find(library, "cublasLtMatmulAlgoGetHeuristic", heuristic);
  }
  ~Functions() {
    if (library != nullptr) dlclose(library);
  }
};

// A row-major matrix [rows, cols] is a column-major one [cols, rows]: out^T = w x^T.
struct Blas::Plan {
  explicit Plan(const Functions& library) : functions(library) {}
  ~Plan() {
    if (product != nullptr) functions.desc_destroy(product);
    for (cublasLtMatrixLayout_t layout : {w, x, out}) {
      if (layout != nullptr) functions.layout_destroy(layout);
    }
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  const Functions& functions;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t w = nullptr;
  cublasLtMatrixLayout_t x = nullptr;
  cublasLtMatrixLayout_t out = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  bool possible = false;
};

std::unique_ptr<Blas> Blas::open() {
  std::unique_ptr<Blas> blas(new Blas);
  if (!blas->functions_->load()) return nullptr;
  if (blas->functions_->create(&blas->handle_) != CUBLAS_STATUS_SUCCESS) {
    blas->handle_ = nullptr;
    return nullptr;
  }
  blas->workspace_ = DeviceMemory(kWorkspaceBytes);
  return blas;
}

Blas::Blas() : functions_(std::make_unique<Functions>()) {}

Blas::~Blas() {
  plans_.clear();
  if (handle_ != nullptr) functions_->destroy(handle_);
}

const Blas::Plan* Blas::plan_of(const BlasProduct& p) {
  const Key key{p.m, p.n, p.k, p.x_stride, p.w_stride, p.out_stride, p.narrow};
  const auto known = plans_.find(key);
  if (known != plans_.end()) return known->second.get();
  if (plans_.size() >= kMostPlans) plans_.clear();
  const Functions& f = *functions_;
  auto plan = std::make_unique<Plan>(f);
  const cudaDataType_t type = p.narrow ? CUDA_R_16BF : CUDA_R_32F;
  // Pedantic: float32 operands stay float32.
  const cublasComputeType_t compute = p.narrow ? CUBLAS_COMPUTE_32F : CUBLAS_COMPUTE_32F_PEDANTIC;
  check_blas(f.desc_create(&plan->product, compute, CUDA_R_32F), "describing a product");
  const cublasOperation_t transposed = CUBLAS_OP_T;
  check_blas(
      f.desc_set(plan->product, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)),
      "describing a product");
  const auto size = [](int64_t v) { return static_cast<uint64_t>(v); };
  check_blas(f.layout_create(&plan->w, type, size(p.k), size(p.n), p.w_stride), "layout");
  check_blas(f.layout_create(&plan->x, type, size(p.k), size(p.m), p.x_stride), "layout");
  check_blas(f.layout_create(&plan->out, CUDA_R_32F, size(p.n), size(p.m), p.out_stride), "layout");
  cublasLtMatmulPreference_t preference = nullptr;
  check_blas(f.preference_create(&preference), "preferences");
  const size_t workspace = kWorkspaceBytes;
  // Output rows may begin at any float.
  const uint32_t alignment = 4;
  f.preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                   sizeof(workspace));
  f.preference_set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &alignment,
                   sizeof(alignment));
  f.preference_set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &alignment,
                   sizeof(alignment));
  cublasLtMatmulHeuristicResult_t found{};
  int count = 0;
  const cublasStatus_t status = f.heuristic(handle_, plan->product, plan->w, plan->x, plan->out,
                                            plan->out, preference, 1, &found, &count);
  f.preference_destroy(preference);
  plan->possible = status == CUBLAS_STATUS_SUCCESS && count > 0;
  plan->algorithm = found.algo;
  return plans_.emplace(key, std::move(plan)).first->second.get();
}

bool Blas::run(const BlasProduct& p, const Stream& stream) {
  const Plan* plan = plan_of(p);
  if (!plan->possible) return false;
  const float one = 1.0f;
  const float zero = 0.0f;
  check_blas(functions_->matmul(handle_, plan->product, &one, p.w, plan->w, p.x, plan->x, &zero,
                                p.out, plan->out, p.out, plan->out, &plan->algorithm,
                                workspace_.data(), kWorkspaceBytes, stream.get()),
             "a product");
  return true;
}

}  // namespace gemma4::cuda
