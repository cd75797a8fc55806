#include "lib/io/hub_pull.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "lib/base/checked.h"
#include "lib/base/error.h"
#include "lib/io/atomic_file.h"
#include "lib/io/json.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

constexpr int kChecksumAttempts = 2;

[[noreturn]] void fail(const char* what, const fs::path& path, const std::error_code& reason) {
  throw Error(ErrorKind::kResource, what, path.string(), reason.message());
}

void make_folder(const fs::path& path) {
  std::error_code ec;
  fs::create_directories(path, ec);
  if (ec) fail("cannot create folder", path, ec);
}

// Bytes of a file that is there, else 0.
uint64_t bytes_at(const fs::path& path) {
  std::error_code ec;
  const uint64_t size = fs::file_size(path, ec);
  return ec ? 0 : size;
}

fs::path blob_of(const fs::path& repository, const std::string& digest) {
  return repository / "blobs" / digest;
}

bool is_present(const fs::path& repository, const HubFile& file) {
  std::error_code ec;
  const fs::path blob = blob_of(repository, file.digest);
  return fs::is_regular_file(blob, ec) && bytes_at(blob) == *file.size;
}

void check_room(const fs::path& repository, uint64_t needed) {
  struct statvfs status;
  if (::statvfs(repository.c_str(), &status) != 0) return;  // writing will tell
  const auto free = checked_multiply(status.f_bavail, status.f_frsize);
  if (!free || *free >= needed) return;
  throw Error(ErrorKind::kResource,
              "the disk is too full: " + std::to_string(needed) + " bytes are to come, " +
                  std::to_string(*free) + " are free",
              repository.string(), "make room, or set HF_HOME or HF_HUB_CACHE to another disk");
}

// Lets threads download blobs until all are there, one fails, or someone asks to stop.
class Download {
 public:
  Download(const PullOptions& options, const PullPlan& plan) : options_(options), plan_(plan) {
    std::map<std::string, const HubFile*> blobs;
    for (const PlannedFile& planned : plan.files) {
      if (!planned.present) blobs.emplace(planned.file.digest, &planned.file);
    }
    for (const auto& [digest, file] : blobs) queue_.push_back(file);
    // The largest first: the small ones fill the gaps at the end.
    std::stable_sort(queue_.begin(), queue_.end(),
                     [](const HubFile* a, const HubFile* b) { return *a->size > *b->size; });
    left_ = std::vector<std::atomic<uint64_t>>(queue_.size());
    for (size_t i = 0; i < queue_.size(); ++i) left_[i] = *queue_[i]->size;
  }

  void run(const PullProgress& progress) {
    const size_t count = std::min(queue_.size(), static_cast<size_t>(options_.jobs));
    std::vector<std::jthread> threads;
    running_ = count;
    {
      const HubClient first(options_.server, [] { return false; });  // starts libcurl, once
      for (size_t i = 0; i < count; ++i) threads.emplace_back([this] { work(); });
    }
    try {
      std::unique_lock lock(mutex_);
      while (
          !ended_.wait_for(lock, std::chrono::milliseconds(100), [&] { return running_ == 0; })) {
        lock.unlock();
        report(progress);
        lock.lock();
      }
    } catch (...) {
      failed_ = true;
      throw;  // the threads end first
    }
    threads.clear();
    if (failure_) std::rethrow_exception(failure_);
    report(progress);
  }

 private:
  void report(const PullProgress& progress) const {
    uint64_t left = 0;
    for (const auto& bytes : left_) left += bytes;
    progress(plan_.missing_bytes - std::min(left, plan_.missing_bytes), plan_.missing_bytes);
  }

  bool should_stop() const { return failed_ || options_.stopped(); }

  void work() {
    try {
      HubClient client(options_.server, [this] { return should_stop(); });
      for (size_t i = next_++; i < queue_.size(); i = next_++) {
        if (should_stop()) throw HubStopped();
        fetch(client, *queue_[i], left_[i]);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_ && !failed_) failure_ = std::current_exception();
      failed_ = true;
    }
    const std::lock_guard lock(mutex_);
    --running_;
    ended_.notify_all();
  }

  void fetch(HubClient& client, const HubFile& file, std::atomic<uint64_t>& left) const {
    const fs::path blob = blob_of(plan_.repository, file.digest);
    // Where the Hub's own tools keep theirs.
    const FileLock lock(plan_.repository.parent_path() / ".locks" / plan_.repository.filename() /
                            (file.digest + ".lock"),
                        "another program downloads " + file.name);
    for (int attempt = 0; attempt < kChecksumAttempts; ++attempt) {
      PartialFile partial(blob, file.digest, *file.size, left);
      client.fetch(options_.model, plan_.commit, file, partial);
      if (partial.finish()) return;
    }
    throw Error(ErrorKind::kModel, "a downloaded file has the wrong checksum", file.name,
                "it was thrown away; try again, or check --endpoint and HF_ENDPOINT");
  }

  const PullOptions& options_;
  const PullPlan& plan_;
  std::vector<const HubFile*> queue_;
  std::vector<std::atomic<uint64_t>> left_;  // bytes, of each file of the queue
  std::atomic<size_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::condition_variable ended_;
  size_t running_ = 0;          // guarded by mutex_
  std::exception_ptr failure_;  // guarded by mutex_, the first one
};

// A relative link to the blob, replacing what is there.
void link_blob(const fs::path& snapshot, const HubFile& file) {
  const fs::path name(file.name);
  fs::path target("../..");
  for (auto part = std::next(name.begin()); part != name.end(); ++part) target /= "..";
  target = target / "blobs" / file.digest;
  const fs::path link = snapshot / name;
  std::error_code ec;
  if (fs::read_symlink(link, ec) == target && !ec) return;
  make_folder(link.parent_path());
  const fs::path temporary = link.string() + ".link";
  fs::remove(temporary, ec);
  fs::create_symlink(target, temporary, ec);
  if (ec) fail("cannot create link", temporary, ec);
  fs::rename(temporary, link, ec);
  if (ec) fail("cannot create link", link, ec);
}

void publish(const PullOptions& options, const PullPlan& plan) {
  const fs::path snapshot = plan.snapshot();
  std::error_code ec;
  const bool is_new = !fs::is_directory(snapshot, ec);
  const fs::path target = is_new ? fs::path(snapshot.string() + ".new") : snapshot;
  if (is_new) fs::remove_all(target, ec);  // of a pull that was killed
  make_folder(target);
  for (const PlannedFile& planned : plan.files) link_blob(target, planned.file);
  if (is_new) {
    fs::rename(target, snapshot, ec);
    if (ec) fail("cannot rename the new snapshot to", snapshot, ec);
  }
  if (is_hub_commit(options.model.revision)) return;
  const fs::path ref = plan.repository / "refs" / options.model.wanted();
  make_folder(ref.parent_path());
  write_file_atomically(ref, plan.commit);
}

}  // namespace

PullPlan plan_pull(const PullOptions& options) {
  HubClient client(options.server, options.stopped);
  const HubListing listing = client.list(options.model);
  PullPlan plan;
  plan.commit = listing.commit;
  plan.repository = fs::absolute(hub_cache()) / hub_folder_name(options.model.id);
  std::map<std::string, uint64_t> sizes;
  for (HubFile& file : choose_hub_files(listing, options.include)) {
    if (!file.size || file.digest.empty()) client.complete(options.model, plan.commit, file);
    const auto [known, is_new] = sizes.emplace(file.digest, *file.size);
    if (known->second != *file.size) {
      throw Error(ErrorKind::kModel, "the Hub names one checksum for files of two sizes",
                  file.name);
    }
    const bool present = is_present(plan.repository, file);
    uint64_t missing = 0;
    if (is_new && !present) {
      const fs::path partial = blob_of(plan.repository, file.digest).string() + ".incomplete";
      const uint64_t there = bytes_at(partial);
      missing = *file.size - (there <= *file.size ? there : 0);
    }
    const auto total = checked_add(plan.total_bytes, *file.size);
    if (!total) throw Error(ErrorKind::kModel, "the Hub names impossible sizes", options.model.id);
    plan.total_bytes = *total;
    plan.missing_bytes += missing;
    plan.files.push_back({std::move(file), present});
  }
  if (plan.files.empty()) {
    throw Error(ErrorKind::kUsage, "no file of the repository is wanted", options.model.id,
                "it has " + std::to_string(listing.files.size()) + " files; see --include");
  }
  return plan;
}

void pull(const PullOptions& options, const PullPlan& plan, const PullProgress& progress) {
  make_folder(plan.repository / "blobs");
  const FileLock lock(
      plan.repository.parent_path() / ".locks" / plan.repository.filename() / "gemma4-pull.lock",
      "another pull of " + options.model.id + " is running");
  check_room(plan.repository, plan.missing_bytes);
  Download(options, plan).run(progress);
  publish(options, plan);
}

std::string hub_token(const fs::path& file) {
  const auto checked = [](std::string token, const std::string& origin) {
    const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
    while (!token.empty() && is_blank(token.back())) token.pop_back();
    token.erase(token.begin(), std::find_if_not(token.begin(), token.end(), is_blank));
    if (std::any_of(token.begin(), token.end(), [](char c) { return c <= 0x20 || c >= 0x7F; })) {
      throw Error(ErrorKind::kInput, "this is not a token of the Hub", origin);
    }
    return token;
  };
  constexpr uint64_t kMaxToken = 4096;
  if (!file.empty()) {
    const std::string token = checked(read_file(file, ErrorKind::kInput, kMaxToken), file.string());
    if (token.empty()) {
      throw Error(ErrorKind::kInput, "there is no token in the file", file.string());
    }
    return token;
  }
  const char* from_environment = std::getenv("HF_TOKEN");
  if (from_environment != nullptr && *from_environment != '\0') {
    return checked(from_environment, "HF_TOKEN");
  }
  const fs::path stored = hub_home() / "token";
  std::error_code ec;
  if (!fs::is_regular_file(stored, ec)) return {};
  return checked(read_file(stored, ErrorKind::kInput, kMaxToken), stored.string());
}

std::string hub_endpoint() {
  const char* endpoint = std::getenv("HF_ENDPOINT");
  return endpoint != nullptr && *endpoint != '\0' ? endpoint : "https://huggingface.co";
}

}  // namespace gemma4
