#include "lib/runtime/logit_comparison.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <string>

#include "lib/base/error.h"
#include "lib/base/parallel.h"

namespace gemma4 {
namespace {

// Rows of floats that only this process sees, gone when it ends.
class RowFile {
 public:
  RowFile(const std::filesystem::path& directory, uint64_t bytes) : directory_(directory.string()) {
    std::string name = (directory / ".gemma4-logits-XXXXXX").string();
    fd_ = ::mkostemp(name.data(), O_CLOEXEC);
    if (fd_ < 0) fail();
    ::unlink(name.c_str());
    const int error = ::posix_fallocate(fd_, 0, static_cast<off_t>(bytes));
    if (error == 0) return;
    ::close(fd_);
    errno = error;
    fail();
  }
  ~RowFile() { ::close(fd_); }
  RowFile(const RowFile&) = delete;
  RowFile& operator=(const RowFile&) = delete;

  void append(std::span<const float> row) {
    std::span<const std::byte> rest = std::as_bytes(row);
    while (!rest.empty()) {
      const ssize_t done = ::write(fd_, rest.data(), rest.size());
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) fail();
      rest = rest.subspan(static_cast<size_t>(done));
    }
  }

  void read(int64_t index, std::span<float> row) {
    std::span<std::byte> rest = std::as_writable_bytes(row);
    auto offset = static_cast<off_t>(index * static_cast<int64_t>(rest.size()));
    while (!rest.empty()) {
      const ssize_t done = ::pread(fd_, rest.data(), rest.size(), offset);
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) fail();
      rest = rest.subspan(static_cast<size_t>(done));
      offset += done;
    }
  }

 private:
  [[noreturn]] void fail() const {
    throw Error(ErrorKind::kResource, "cannot keep the logits of the source", directory_,
                std::string(std::strerror(errno)) + "; a shorter text needs less");
  }

  std::string directory_;
  int fd_ = -1;
};

// Sums of fixed pieces, so that the result does not depend on the number of threads.
template <typename Fn>
double parallel_sum(size_t count, const Fn& fn) {
  constexpr size_t kPiece = 8192;
  std::vector<double> sums((count + kPiece - 1) / kPiece);
  parallel_items(static_cast<int64_t>(sums.size()), [&](int64_t piece) {
    const size_t begin = static_cast<size_t>(piece) * kPiece;
    double sum = 0.0;
    for (size_t i = begin; i < std::min(begin + kPiece, count); ++i) sum += fn(i);
    sums[static_cast<size_t>(piece)] = sum;
  });
  double total = 0.0;
  for (const double sum : sums) total += sum;
  return total;
}

double log_sum_exp(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  return top + std::log(parallel_sum(logits.size(),
                                     [&](size_t i) { return std::exp(double{logits[i]} - top); }));
}

double quantile(const std::vector<double>& sorted, double q) {
  return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
}

}  // namespace

double logit_divergence(std::span<const float> logits, std::span<const float> other) {
  const double log_p = log_sum_exp(logits);
  const double log_q = log_sum_exp(other);
  return parallel_sum(logits.size(), [&](size_t i) {
    const double p = double{logits[i]} - log_p;
    return std::exp(p) * (p - (double{other[i]} - log_q));
  });
}

LogitComparison compare_logits(const std::function<std::unique_ptr<Engine>()>& load_first,
                               const std::function<std::unique_ptr<Engine>()>& load_second,
                               std::span<const std::vector<TokenId>> texts,
                               const std::filesystem::path& scratch,
                               const std::function<void(int64_t, int64_t)>& progress) {
  int64_t positions = 0;
  for (const auto& text : texts) positions += static_cast<int64_t>(text.size());
  if (positions == 0) throw Error(ErrorKind::kInternal, "no text to compare logits on");
  int64_t done = 0;
  const auto score = [&](Engine& engine, const std::function<void(std::span<const float>)>& use) {
    for (const auto& text : texts) {
      engine.score(text, [&](std::span<const float> logits) {
        use(logits);
        if (progress) progress(++done, 2 * positions);
      });
    }
  };

  std::unique_ptr<Engine> engine = load_first();
  std::vector<float> first(static_cast<size_t>(engine->config().text.vocab_size));
  RowFile file(scratch, static_cast<uint64_t>(positions) * first.size() * sizeof(float));
  score(*engine, [&](std::span<const float> logits) { file.append(logits); });
  engine.reset();  // before the second one takes memory

  engine = load_second();
  if (static_cast<size_t>(engine->config().text.vocab_size) != first.size()) {
    throw Error(ErrorKind::kInternal, "models of different vocabularies cannot be compared");
  }
  LogitComparison result;
  std::vector<double> divergence;
  int64_t same = 0;
  score(*engine, [&](std::span<const float> logits) {
    file.read(static_cast<int64_t>(divergence.size()), first);
    divergence.push_back(logit_divergence(first, logits));
    same += std::max_element(first.begin(), first.end()) - first.begin() ==
            std::max_element(logits.begin(), logits.end()) - logits.begin();
  });
  result.positions = positions;
  for (const double kl : divergence) result.mean_kl += kl / static_cast<double>(positions);
  // NaN has no place in an order.
  for (double& kl : divergence) kl = std::isnan(kl) ? INFINITY : kl;
  std::sort(divergence.begin(), divergence.end());
  result.median_kl = quantile(divergence, 0.5);
  result.p99_kl = quantile(divergence, 0.99);
  result.largest_kl = divergence.back();
  result.same_top = static_cast<double>(same) / static_cast<double>(positions);
  return result;
}

}  // namespace gemma4
