#include "lib/runtime/bench_load.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>

namespace gemma4 {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPromptTokens = 16;

void forget_pages(const std::filesystem::path& directory) {
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const int fd = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    ::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    ::close(fd);
  }
}

struct OneLoad {
  double load_ms = 0.0;
  double first_token_ms = 0.0;
  bool stopped = false;
};

OneLoad load_once(EngineOptions options,
                  const std::function<std::optional<FinishReason>()>& should_stop) {
  const auto started = Clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double, std::milli>(Clock::now() - started).count();
  };
  const PromptTools tools = load_prompt_tools(options.directory);
  options.tokenizer = tools.tokenizer.get();
  const auto engine = Engine::load(options);
  OneLoad result;
  result.load_ms = elapsed();
  GenerationRequest request;
  for (TokenId id = 0; id < kPromptTokens; ++id) {
    request.prompt.push_back(2 + id % (engine->config().text.vocab_size - 2));
  }
  request.sampling.temperature = 0.0f;
  request.max_tokens = 1;
  request.ignore_eos = true;
  request.parse_output = false;
  GenerationCallbacks callbacks;
  callbacks.should_stop = should_stop;
  const auto answers = engine->generate({&request, 1}, callbacks);
  result.first_token_ms = elapsed();
  result.stopped = answers.front().finish_reason != FinishReason::kLength;
  return result;
}

}  // namespace

std::optional<LoadTimes> time_load(
    const EngineOptions& options, int repetitions,
    const std::function<std::optional<FinishReason>()>& should_stop) {
  std::vector<double> load[2];
  std::vector<double> first[2];
  for (int i = 0; i < repetitions; ++i) {
    for (const bool warm : {false, true}) {
      if (!warm) forget_pages(options.directory);
      const OneLoad one = load_once(options, should_stop);
      if (one.stopped) return std::nullopt;
      load[warm ? 1 : 0].push_back(one.load_ms);
      first[warm ? 1 : 0].push_back(one.first_token_ms);
    }
  }
  return LoadTimes{measured(load[0]), measured(load[1]), measured(first[0]), measured(first[1])};
}

}  // namespace gemma4
