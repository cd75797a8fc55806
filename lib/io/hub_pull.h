// A model from the Hub into the local Hub cache, in the layout that the Hub's own tools use:
//
//   models--org--name/blobs/DIGEST                  contents, named by their checksum
//   models--org--name/blobs/DIGEST.incomplete       a download that can go on
//   models--org--name/snapshots/COMMIT/PATH         relative links into blobs
//   models--org--name/refs/REVISION                 the commit that a branch or tag stands for
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "lib/io/hub_download.h"

namespace gemma4 {

struct PullOptions {
  HubModel model;
  HubServer server;
  std::vector<std::string> include;  // as choose_hub_files()
  int jobs = 4;                      // files at a time, >= 1
  /// Asked from several threads; true ends the work with HubStopped.
  std::function<bool()> stopped = [] { return false; };
};

struct PlannedFile {
  HubFile file;  // with size and digest
  bool present;  // its blob is in the cache
};

struct PullPlan {
  std::string commit;
  std::filesystem::path repository;  // models--org--name in the cache
  std::vector<PlannedFile> files;
  uint64_t total_bytes = 0;
  uint64_t missing_bytes = 0;  // still to download; less than total when a part is there

  std::filesystem::path snapshot() const { return repository / "snapshots" / commit; }
};

/// What the Hub has, what of it is wanted, and what is here already. Changes nothing. Throws
/// Error as HubClient does; kUsage when no file matches.
PullPlan plan_pull(const PullOptions& options);

/// Of the missing bytes.
using PullProgress = std::function<void(uint64_t bytes_done, uint64_t bytes)>;

/// Downloads what is missing, checks it, and then lets the snapshot and the reference appear; when
/// anything fails before that they stay as they were, and finished and partial blobs stay for the
/// next attempt. `progress` is called on this thread, about ten times a second. Throws Error as
/// HubClient does, kResource when the disk is too small or another pull of the model is running,
/// kModel for a file with a wrong checksum, HubStopped when stopped.
void pull(const PullOptions& options, const PullPlan& plan, const PullProgress& progress);

/// The token of the Hub: of `file` when it is not empty, else $HF_TOKEN, else of the file "token"
/// in hub_home(), else none. Throws Error(kInput) when `file` cannot be read or holds no token.
std::string hub_token(const std::filesystem::path& file);

/// $HF_ENDPOINT, or the Hub's own address.
std::string hub_endpoint();

}  // namespace gemma4
