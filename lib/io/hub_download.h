// Requests to a Hugging Face Hub, or to a server that speaks its paths: the one file that uses the
// network (libcurl).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/io/hub_cache.h"
#include "lib/io/hub_listing.h"
#include "lib/io/partial_file.h"

namespace gemma4 {

struct HubServer {
  std::string endpoint;  // "https://huggingface.co", without a slash at the end
  std::string token;  // empty: none. Sent to the endpoint's own host and port alone, never shown.
};

/// Checks an endpoint and takes slashes off its end. Throws Error(kUsage) for anything but http://
/// and https:// addresses without user name and password.
std::string checked_endpoint(const std::string& endpoint);

/// True when a token may travel there: https, or the machine itself.
bool may_carry_token(const std::string& endpoint);

/// Thrown when `stopped` said so.
struct HubStopped {};

/// One connection, for one thread. The first one of a process must be made while no other thread
/// uses libcurl. Requests that fail for reasons that may pass (cut connections, 408, 429, 5xx) are
/// repeated after 0.5, 1, 2, 4 s, or when the server says. Throws Error: kModel for what the server
/// refuses or gets wrong, kResource when it cannot be reached.
class HubClient {
 public:
  /// `stopped` is asked at least once a second.
  HubClient(HubServer server, std::function<bool()> stopped);
  ~HubClient();
  HubClient(const HubClient&) = delete;
  HubClient& operator=(const HubClient&) = delete;

  /// The commit and the files of a revision.
  HubListing list(const HubModel& model);
  /// Asks for size and digest of a file where the listing has not said them.
  void complete(const HubModel& model, const std::string& commit, HubFile& file);
  /// Appends to `partial` what it still lacks of the file.
  void fetch(const HubModel& model, const std::string& commit, const HubFile& file,
             PartialFile& partial);

 private:
  struct Exchange;
  struct Handle;

  void perform(Exchange& exchange);
  /// Performs until it succeeds; `patient`: also where there is no connection to begin with.
  void perform_with_retries(const HubModel& model, Exchange& exchange, bool patient);
  [[noreturn]] void refuse(const HubModel& model, const Exchange& exchange) const;
  void wait(double seconds) const;
  std::string file_url(const HubModel& model, const std::string& commit,
                       const std::string& name) const;
  std::string escaped(const std::string& text) const;

  HubServer server_;
  std::function<bool()> stopped_;
  std::unique_ptr<Handle> handle_;
};

}  // namespace gemma4
