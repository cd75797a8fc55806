#include "tools/tool_programs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>

#include "lib/base/error.h"
#include "tools/answer_json.h"
#include "tools/terminal.h"
#include "tools/text_input.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kPollMs = 50;  // how soon an interruption is noticed

// A descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  void set(int fd) { fd_ = fd; }
  bool is_open() const { return fd_ >= 0; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

struct Pipe {
  Descriptor read, write;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) {
      throw Error(ErrorKind::kResource, "cannot make a pipe", std::strerror(errno));
    }
    read.set(ends[0]);
    write.set(ends[1]);
  }
};

// A program in a process group of its own, so that its children end with it.
class Child {
 public:
  Child(const fs::path& program, Pipe& input, Pipe& output) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, input.read.get(), 0);
    posix_spawn_file_actions_adddup2(&actions, output.write.get(), 1);
    sigset_t defaults, none;
    sigemptyset(&none);
    sigemptyset(&defaults);
    for (const int signal : {SIGINT, SIGTERM, SIGPIPE}) sigaddset(&defaults, signal);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    std::string path = program.string();
    char* const arguments[] = {path.data(), nullptr};
    const int error = ::posix_spawn(&pid_, path.c_str(), &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (error != 0) {
      throw Error(ErrorKind::kInput, "cannot run the tool", path, std::strerror(error));
    }
    input.read.close();
    output.write.close();
  }
  ~Child() {
    if (running_) {
      ::kill(-pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// The exit status as waitpid gives it, once there is one.
  std::optional<int> status() {
    int status = 0;
    if (::waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
    running_ = false;
    return status;
  }

 private:
  pid_t pid_ = -1;
  bool running_ = true;
};

void write_some(Descriptor& to, std::string_view& text) {
  const ssize_t written = ::write(to.get(), text.data(), text.size());
  if (written > 0) text.remove_prefix(static_cast<size_t>(written));
  // A program need not read its arguments.
  const bool failed = written < 0 && errno != EAGAIN && errno != EINTR;
  if (text.empty() || failed) to.close();
}

void read_some(Descriptor& from, std::string& text) {
  char buffer[4096];
  const ssize_t count = ::read(from.get(), buffer, sizeof buffer);
  if (count > 0) text.append(buffer, static_cast<size_t>(count));
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) from.close();
}

Json error_result(std::string what) { return {{"error", std::move(what)}}; }

Json result_of(std::string text, const std::string& name) {
  text = valid_text(std::move(text), "the output of tool " + name);
  try {
    Json value = parse_json(text, name, ErrorKind::kInput);
    if (value.is_object()) return value;
  } catch (const Error&) {  // then it is a text
  }
  while (!text.empty() && std::strchr(" \t\r\n", text.back()) != nullptr) text.pop_back();
  return text;
}

}  // namespace

ToolPrograms::ToolPrograms(Options options, const Json& tools) : options_(std::move(options)) {
  std::error_code error;
  directory_ = fs::canonical(options_.directory, error);
  if (error || !fs::is_directory(directory_)) {
    throw Error(ErrorKind::kUsage, "no such folder", options_.directory.string(),
                "--exec-tools names the folder with the tools' programs");
  }
  for (const Json& tool : tools) {
    const Json& function = tool.contains("function") ? tool["function"] : tool;
    const std::string name = function["name"].get<std::string>();
    if (program_of(name).empty()) {
      throw Error(ErrorKind::kUsage, "no program for the tool", (directory_ / name).string(),
                  "put an executable file of that name there, or do not declare the tool");
    }
  }
}

// Empty: there is none. Names come from the model: nothing outside of the folder is ever run, by
// a path or by a link.
fs::path ToolPrograms::program_of(const std::string& name) const {
  const bool plain = !name.empty() && name[0] != '.' &&
                     name.find_first_of(std::string_view("/\0", 2)) == name.npos;
  if (!plain) return {};
  std::error_code error;
  const fs::path path = fs::canonical(directory_ / name, error);
  if (error || path.parent_path() != directory_ || !fs::is_regular_file(path)) return {};
  if (::access(path.c_str(), X_OK) != 0) return {};
  return path;
}

Json ToolPrograms::run(const ToolCall& call) const {
  const fs::path program = program_of(call.name);
  if (program.empty()) return error_result("there is no tool " + call.name);
  if (options_.confirm && !options_.confirm(call)) {
    return error_result("the user declined this call");
  }
  Pipe input, output;
  const std::string arguments = json_line(call.arguments);
  std::string_view unsent = arguments;
  std::string text;
  const auto deadline = Clock::now() + std::chrono::duration<double>(options_.timeout_seconds);
  Child child(program, input, output);
  ::fcntl(input.write.get(), F_SETFL, O_NONBLOCK);
  ::fcntl(output.read.get(), F_SETFL, O_NONBLOCK);
  std::optional<int> status;
  // The answer is complete when the program has ended; a child that it left behind with the pipe
  // open is not waited for.
  while (!status) {
    pollfd waits[] = {{output.read.get(), POLLIN, 0}, {input.write.get(), POLLOUT, 0}};
    ::poll(waits, 2, kPollMs);
    if (waits[0].revents != 0) read_some(output.read, text);
    if (waits[1].revents != 0) write_some(input.write, unsent);
    if (text.size() > kMaxToolOutput) return error_result("the tool wrote more than 1 MiB");
    if (Clock::now() > deadline) {
      return error_result(fmt::format("no result within {} s", options_.timeout_seconds));
    }
    if (options_.should_stop && options_.should_stop()) return error_result("interrupted");
    status = child.status();
  }
  for (size_t before = text.size() + 1; output.read.is_open() && before != text.size();) {
    before = text.size();
    read_some(output.read, text);
    if (text.size() > kMaxToolOutput) return error_result("the tool wrote more than 1 MiB");
  }
  Json result = result_of(std::move(text), call.name);
  if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) return result;
  Json failed =
      error_result(WIFEXITED(*status) ? fmt::format("exit code {}", WEXITSTATUS(*status))
                                      : fmt::format("ended by signal {}", WTERMSIG(*status)));
  failed["output"] = std::move(result);
  return failed;
}

bool confirm_on_terminal(const ToolCall& call) {
  fmt::print(stderr, "run {} {}? [y/N] ", without_controls(call.name),
             without_controls(call.arguments.dump(-1, ' ', false, Json::error_handler_t::replace)));
  std::fflush(stderr);
  std::string answer;
  for (char c; ::read(0, &c, 1) == 1 && c != '\n';) answer += c;
  return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace gemma4
