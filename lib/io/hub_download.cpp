#include "lib/io/hub_download.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <exception>
#include <map>
#include <thread>
#include <utility>

#include "lib/base/error.h"
#include "lib/base/log.h"

namespace gemma4 {
namespace {

constexpr size_t kMaxListing = size_t{64} << 20;
constexpr int kMaxRedirects = 5;
constexpr int kMaxAttempts = 5;  // in a row, without a megabyte of progress
constexpr uint64_t kProgress = uint64_t{1} << 20;
constexpr double kFirstDelay = 0.5;     // seconds
constexpr double kLongestWait = 600.0;  // that a server may ask for

using Headers = std::map<std::string, std::string>;

std::string lowered(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return out;
}

std::string_view trimmed(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string header(const Headers& headers, const char* name) {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// W/"abc" -> abc
std::string plain_etag(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') {
    etag = etag.substr(1, etag.size() - 2);
  }
  return std::string(etag);
}

struct UrlParts {
  std::string scheme, host, port;
  bool has_user = false;
  bool has_query = false;
  bool operator==(const UrlParts& other) const {
    return scheme == other.scheme && host == other.host && port == other.port;
  }
};

std::optional<UrlParts> parse_url(const std::string& url) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> parsed(curl_url(), curl_url_cleanup);
  if (parsed == nullptr || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) {
    return std::nullopt;
  }
  const auto part = [&](CURLUPart which) {
    char* text = nullptr;
    if (curl_url_get(parsed.get(), which, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) {
      return std::string();
    }
    std::string copy(text);
    curl_free(text);
    return copy;
  };
  return UrlParts{part(CURLUPART_SCHEME), part(CURLUPART_HOST), part(CURLUPART_PORT),
                  !part(CURLUPART_USER).empty() || !part(CURLUPART_PASSWORD).empty(),
                  !part(CURLUPART_QUERY).empty() || !part(CURLUPART_FRAGMENT).empty()};
}

// Reasons that may have gone a moment later.
bool may_pass(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return true;
    default:
      return false;
  }
}

bool is_no_connection(CURLcode code) {
  return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
         code == CURLE_COULDNT_CONNECT;
}

}  // namespace

std::string checked_endpoint(const std::string& endpoint) {
  std::string url = endpoint;
  while (url.ends_with('/')) url.pop_back();
  const std::optional<UrlParts> parts = parse_url(url);
  const bool plain = parts && (parts->scheme == "https" || parts->scheme == "http") &&
                     !parts->host.empty() && !parts->has_user && !parts->has_query;
  if (!plain) {
    throw Error(ErrorKind::kUsage, "not the address of a Hub",
                parts && parts->has_user ? "" : endpoint,
                "give http[s]://HOST[:PORT][/PATH]; a token goes into HF_TOKEN");
  }
  return url;
}

bool may_carry_token(const std::string& endpoint) {
  const std::optional<UrlParts> parts = parse_url(endpoint);
  if (!parts) return false;
  return parts->scheme == "https" || parts->host == "localhost" || parts->host == "127.0.0.1" ||
         parts->host == "[::1]";
}

// One request and what came of it.
struct HubClient::Exchange {
  std::string url;
  bool head = false;
  uint64_t from = 0;  // first byte that is wanted
  // Called in the middle of libcurl's work; an exception ends the transfer and is thrown again.
  std::function<void(std::span<const std::byte>)> body;
  std::function<void()> check_first_response;
  std::function<void()> before_body;

  CURLcode code = CURLE_OK;
  std::string problem;  // in libcurl's words
  long status = 0;
  double retry_after = 0.0;  // seconds; 0: the server has not said
  bool at_endpoint = true;   // the last response is from the endpoint's own host and port
  std::string redirect;      // where it leads, when redirects are not followed
  Headers first;             // of the endpoint's own response
  Headers last;
  bool body_begun = false;
  std::exception_ptr failure;

  bool succeeded() const { return code == CURLE_OK && (status == 200 || status == 206); }
};

struct HubClient::Handle {
  CURL* curl = curl_easy_init();
  const std::function<bool()>* stopped = nullptr;
  Exchange* exchange = nullptr;
  char problem[CURL_ERROR_SIZE] = {};

  ~Handle() { curl_easy_cleanup(curl); }

  template <typename T>
  void set(CURLoption option, T value) {
    if (curl_easy_setopt(curl, option, value) != CURLE_OK) {
      throw Error(ErrorKind::kInternal, "libcurl refuses an option", std::to_string(option));
    }
  }

  // No exception may pass through libcurl, which is C.
  template <typename Action>
  bool guarded(const Action& action) {
    try {
      action();
      return true;
    } catch (...) {
      exchange->failure = std::current_exception();
      return false;
    }
  }

  void take_header(std::string_view line) {
    if (line.starts_with("HTTP/")) {
      exchange->last.clear();
      return;
    }
    if (trimmed(line).empty()) {
      long status = 0;
      curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
      if (status >= 200 && status < 400 && exchange->first.empty()) {
        exchange->first = exchange->last;
        if (exchange->check_first_response) exchange->check_first_response();
      }
      return;
    }
    const size_t colon = line.find(':');
    if (colon == line.npos) return;
    exchange->last[lowered(line.substr(0, colon))] = trimmed(line.substr(colon + 1));
  }

  void take_body(std::span<const std::byte> bytes) {
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &exchange->status);
    if (exchange->status != 200 && exchange->status != 206) return;  // an error page
    if (!std::exchange(exchange->body_begun, true) && exchange->before_body) {
      exchange->before_body();
    }
    exchange->body(bytes);
  }

  static size_t on_header(char* data, size_t, size_t count, void* self) {
    auto* handle = static_cast<Handle*>(self);
    return handle->guarded([&] { handle->take_header({data, count}); }) ? count : 0;
  }
  static size_t on_body(char* data, size_t, size_t count, void* self) {
    auto* handle = static_cast<Handle*>(self);
    return handle->guarded([&] { handle->take_body(std::as_bytes(std::span(data, count))); })
               ? count
               : 0;
  }
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    const auto* handle = static_cast<Handle*>(self);
    return (*handle->stopped)() ? 1 : 0;
  }
};

HubClient::HubClient(HubServer server, std::function<bool()> stopped)
    : server_(std::move(server)),
      stopped_(std::move(stopped)),
      handle_(std::make_unique<Handle>()) {
  if (handle_->curl == nullptr) throw Error(ErrorKind::kInternal, "cannot start libcurl");
  handle_->stopped = &stopped_;
}

HubClient::~HubClient() = default;

void HubClient::perform(Exchange& exchange) {
  Handle& handle = *handle_;
  handle.exchange = &exchange;
  handle.problem[0] = '\0';
  curl_easy_reset(handle.curl);  // keeps the connection
  handle.set(CURLOPT_URL, exchange.url.c_str());
  handle.set(CURLOPT_USERAGENT, "gemma4");
  handle.set(CURLOPT_NOSIGNAL, 1L);
  handle.set(CURLOPT_ERRORBUFFER, static_cast<char*>(handle.problem));
  handle.set(CURLOPT_NOPROGRESS, 0L);
  handle.set(CURLOPT_XFERINFOFUNCTION, &Handle::on_progress);
  handle.set(CURLOPT_XFERINFODATA, static_cast<void*>(&handle));
  handle.set(CURLOPT_HEADERFUNCTION, &Handle::on_header);
  handle.set(CURLOPT_HEADERDATA, static_cast<void*>(&handle));
  handle.set(CURLOPT_WRITEFUNCTION, &Handle::on_body);
  handle.set(CURLOPT_WRITEDATA, static_cast<void*>(&handle));
  handle.set(CURLOPT_CONNECTTIMEOUT, 20L);
  handle.set(CURLOPT_LOW_SPEED_LIMIT, 100L);  // bytes a second ...
  handle.set(CURLOPT_LOW_SPEED_TIME, 30L);    // ... for this long is a dead connection
  handle.set(CURLOPT_NOBODY, exchange.head ? 1L : 0L);
  handle.set(CURLOPT_FOLLOWLOCATION, exchange.head ? 0L : 1L);
  handle.set(CURLOPT_MAXREDIRS, static_cast<long>(kMaxRedirects));
  const bool secure = server_.endpoint.starts_with("https:");
  handle.set(CURLOPT_PROTOCOLS_STR, secure ? "https" : "http,https");
  handle.set(CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
  const std::string range = std::to_string(exchange.from) + "-";
  if (exchange.from > 0) handle.set(CURLOPT_RANGE, range.c_str());
  if (!server_.token.empty()) {
    // libcurl leaves these credentials out when a redirect leads to another host, port or protocol.
    handle.set(CURLOPT_HTTPAUTH, static_cast<long>(CURLAUTH_BEARER));
    handle.set(CURLOPT_XOAUTH2_BEARER, server_.token.c_str());
  }

  exchange.code = curl_easy_perform(handle.curl);
  if (exchange.code == CURLE_ABORTED_BY_CALLBACK || stopped_()) throw HubStopped();
  if (exchange.failure) std::rethrow_exception(exchange.failure);
  exchange.problem = handle.problem[0] != '\0' ? handle.problem : curl_easy_strerror(exchange.code);
  curl_easy_getinfo(handle.curl, CURLINFO_RESPONSE_CODE, &exchange.status);
  curl_off_t seconds = 0;
  curl_easy_getinfo(handle.curl, CURLINFO_RETRY_AFTER, &seconds);
  exchange.retry_after = static_cast<double>(seconds);
  const char* text = nullptr;
  curl_easy_getinfo(handle.curl, CURLINFO_EFFECTIVE_URL, &text);
  exchange.at_endpoint = text == nullptr || parse_url(text) == parse_url(server_.endpoint);
  text = nullptr;
  curl_easy_getinfo(handle.curl, CURLINFO_REDIRECT_URL, &text);
  exchange.redirect = text == nullptr ? "" : text;
}

void HubClient::wait(double seconds) const {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    if (stopped_()) throw HubStopped();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void HubClient::perform_with_retries(const HubModel& model, Exchange& exchange, bool patient) {
  double delay = kFirstDelay;
  uint64_t attempt_from = exchange.from;
  for (int attempt = 1;; ++attempt) {
    exchange.first.clear();
    exchange.last.clear();
    exchange.body_begun = false;
    perform(exchange);
    if (exchange.succeeded()) return;
    if (exchange.code == CURLE_OK && exchange.head && exchange.status / 100 == 3) return;
    const bool busy = exchange.status == 408 || exchange.status == 429 || exchange.status >= 500;
    // A signed address of a storage server runs out; the Hub gives a new one.
    const bool elsewhere = exchange.status == 403 && !exchange.at_endpoint;
    const bool again =
        exchange.code == CURLE_OK
            ? busy || elsewhere
            : may_pass(exchange.code) && (patient || !is_no_connection(exchange.code));
    if (exchange.from >= attempt_from + kProgress) {
      attempt = 1;
      delay = kFirstDelay;
      attempt_from = exchange.from;
    }
    if (!again || attempt >= kMaxAttempts || exchange.retry_after > kLongestWait) {
      refuse(model, exchange);
    }
    const double pause = std::max(delay, exchange.retry_after);
    if (exchange.retry_after > 0.0) {
      log_warning("the server is busy (HTTP " + std::to_string(exchange.status) +
                  "), going on in " + std::to_string(static_cast<int64_t>(pause)) + " s");
    }
    wait(pause);
    delay *= 2;
  }
}

void HubClient::refuse(const HubModel& model, const Exchange& exchange) const {
  const std::string page = server_.endpoint + "/" + model.id;
  if (exchange.code != CURLE_OK) {
    throw Error(ErrorKind::kResource, "download failed: " + exchange.problem, page,
                "check the network; the same command goes on where it stopped");
  }
  const std::string status = "HTTP " + std::to_string(exchange.status);
  const std::string reason = header(exchange.last, "x-error-code");
  if (exchange.status == 401 || exchange.status == 403) {
    if (server_.token.empty()) {
      throw Error(ErrorKind::kModel, "the Hub refuses access (" + status + ")", model.id,
                  "if it exists, accept its licence at " + page + " and set HF_TOKEN");
    }
    throw Error(ErrorKind::kModel, "the Hub refuses access with this token (" + status + ")",
                model.id,
                "accept the licence at " + page +
                    " and set HF_TOKEN to a valid token of an account that may read it");
  }
  if (exchange.status == 404) {
    if (reason == "RevisionNotFound") {
      throw Error(ErrorKind::kModel, "no such revision (HTTP 404)", model.wanted(), "see " + page);
    }
    throw Error(ErrorKind::kModel, "not on the Hub (HTTP 404)", exchange.url,
                "check the name and the revision");
  }
  if (exchange.status == 429) {
    throw Error(ErrorKind::kResource, "too many requests (HTTP 429)", page,
                exchange.retry_after > 0.0
                    ? "the server asks to wait " +
                          std::to_string(static_cast<int64_t>(exchange.retry_after)) + " s"
                    : "try again later, or set HF_TOKEN");
  }
  throw Error(ErrorKind::kResource, "the server answers " + status, exchange.url,
              "try again later; the same command goes on where it stopped");
}

std::string HubClient::escaped(const std::string& text) const {
  char* escape = curl_easy_escape(handle_->curl, text.data(), static_cast<int>(text.size()));
  if (escape == nullptr) throw std::bad_alloc();
  std::string copy(escape);
  curl_free(escape);
  return copy;
}

std::string HubClient::file_url(const HubModel& model, const std::string& commit,
                                const std::string& name) const {
  std::string url = server_.endpoint + "/" + model.id + "/resolve/" + commit;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    url += "/" + escaped(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return url;
}

HubListing HubClient::list(const HubModel& model) {
  Exchange exchange;
  exchange.url = server_.endpoint + "/api/models/" + model.id + "/revision/" +
                 escaped(model.wanted()) + "?blobs=true";
  std::string text;
  exchange.before_body = [&] { text.clear(); };
  exchange.body = [&](std::span<const std::byte> bytes) {
    if (bytes.size() > kMaxListing - text.size()) {
      throw Error(ErrorKind::kModel, "the listing is too long", exchange.url);
    }
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  perform_with_retries(model, exchange, false);
  HubListing listing = parse_hub_listing(text, exchange.url);
  if (is_hub_commit(model.revision) && listing.commit != model.revision) {
    throw Error(ErrorKind::kModel, "the server answers with another commit", exchange.url,
                "it names " + listing.commit);
  }
  return listing;
}

void HubClient::complete(const HubModel& model, const std::string& commit, HubFile& file) {
  Exchange exchange;
  exchange.url = file_url(model, commit, file.name);
  exchange.head = true;
  // Redirects within the Hub lead to another name of the file; those out of it to its storage,
  // whose headers mean something else.
  for (int redirects = 0; redirects <= kMaxRedirects; ++redirects) {
    perform_with_retries(model, exchange, true);
    if (exchange.status / 100 != 3 || !header(exchange.last, "x-linked-etag").empty()) break;
    if (exchange.redirect.empty() || parse_url(exchange.redirect) != parse_url(server_.endpoint)) {
      break;
    }
    exchange.url = exchange.redirect;
  }
  std::string etag = header(exchange.last, "x-linked-etag");
  if (etag.empty()) etag = header(exchange.last, "etag");
  file.digest = plain_etag(etag);
  const bool has_linked_size = exchange.last.contains("x-linked-size");
  const std::optional<uint64_t> size =
      number(header(exchange.last, has_linked_size ? "x-linked-size" : "content-length"));
  const bool usable = has_linked_size || exchange.status / 100 == 2;
  if (!is_hub_digest(file.digest) || !size || !usable || (file.size && *file.size != *size)) {
    throw Error(ErrorKind::kModel, "the server does not say size and checksum of a file",
                exchange.url, "check --endpoint and HF_ENDPOINT");
  }
  file.size = size;
}

void HubClient::fetch(const HubModel& model, const std::string& commit, const HubFile& file,
                      PartialFile& partial) {
  Exchange exchange;
  exchange.url = file_url(model, commit, file.name);
  exchange.from = partial.size();
  const auto contradicts = [&](const std::string& what) {
    throw Error(ErrorKind::kModel, "the server contradicts itself on the " + what + " of a file",
                exchange.url, "try again, or check --endpoint and HF_ENDPOINT");
  };
  exchange.check_first_response = [&] {
    const std::string own_commit = header(exchange.first, "x-repo-commit");
    if (!own_commit.empty() && own_commit != commit) contradicts("commit");
    const std::string size = header(exchange.first, "x-linked-size");
    if (!size.empty() && number(size) != partial.expected()) contradicts("size");
    const std::string etag = plain_etag(header(exchange.first, "x-linked-etag"));
    if (is_hub_digest(etag) && etag != file.digest) contradicts("checksum");
  };
  exchange.before_body = [&] {
    if (exchange.status == 206) {
      const std::string range = header(exchange.last, "content-range");
      if (!range.starts_with("bytes " + std::to_string(partial.size()) + "-")) contradicts("range");
    } else if (partial.size() > 0) {
      partial.restart();  // a server that knows no ranges
    }
  };
  exchange.body = [&](std::span<const std::byte> bytes) {
    partial.append(bytes);
    exchange.from = partial.size();
  };
  for (int attempt = 1; partial.size() < partial.expected(); ++attempt) {
    perform_with_retries(model, exchange, true);
    if (partial.size() < partial.expected() && attempt >= kMaxAttempts) {
      throw Error(ErrorKind::kModel, "the server sends less of a file than it has named",
                  exchange.url);
    }
  }
}

}  // namespace gemma4
