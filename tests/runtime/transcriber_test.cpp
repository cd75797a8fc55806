// Recordings through windows, answers and joins to transcripts; the engine is one that hears
// exactly what was said in each window.
#include "lib/runtime/transcriber.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <random>
#include <thread>

#include "lib/base/error.h"
#include "lib/io/share_files.h"
#include "lib/media/media_layout.h"
#include "tests/media/media_files.h"
#include "tests/support/golden_files.h"
#include "tests/support/tiny_tokenizer.h"

namespace gemma4 {
namespace {

/// A word and when it is said, in samples.
struct Spoken {
  std::string word;
  int64_t begin, end;
};

struct Speech {
  std::vector<Spoken> words;
  std::vector<float> sound;

  std::string text() const {
    std::string text;
    for (const Spoken& spoken : words) text += (text.empty() ? "" : " ") + spoken.word;
    return text;
  }
};

/// Words of 0.2 to 0.4 s with short pauses between them, sometimes longer ones.
Speech make_speech(double seconds, uint32_t seed) {
  std::mt19937 random(seed);
  Speech speech;
  speech.sound.resize(static_cast<size_t>(seconds * 16000), 0.0f);
  auto at = static_cast<int64_t>(random() % 4000);
  while (true) {
    const auto length = static_cast<int64_t>(3200 + random() % 3200);
    if (at + length > static_cast<int64_t>(speech.sound.size())) return speech;
    std::string word;
    for (int i = 0; i < 8; ++i) word += static_cast<char>('a' + random() % 26);
    speech.words.push_back({word, at, at + length});
    for (int64_t i = at; i < at + length; ++i) {
      speech.sound[static_cast<size_t>(i)] =
          static_cast<float>(static_cast<int>(random() % 2001) - 1000) / 2500.0f;
    }
    const bool pause = random() % 12 == 0;
    at += length + static_cast<int64_t>(pause ? 12000 + random() % 16000 : 400 + random() % 1500);
  }
}

std::string sound_wav(const std::vector<float>& sound) {
  return wav_bytes({reinterpret_cast<const char*>(sound.data()), sound.size() * 4}, 3, 1, 16000,
                   32);
}

class ListeningEngine : public Engine {
 public:
  ListeningEngine(Speech speech, const AudioWindowOptions& options) : speech_(std::move(speech)) {
    const std::vector<float>& sound = speech_.sound;
    for (const AudioWindow& window :
         plan_audio_windows(energy_envelope(sound), static_cast<int64_t>(sound.size()), options)) {
      const std::span<const float> samples = std::span<const float>(sound).subspan(
          static_cast<size_t>(window.begin), static_cast<size_t>(window.end - window.begin));
      plan_.push_back(window);
      if (sounding_seconds(samples, samples) > 0.0) heard_.push_back(window);
    }
  }

  const ModelConfig& config() const override { return config_; }
  std::string_view device() const override { return "test"; }
  int64_t context() const override { return 4096; }
  double load_ms() const override { return 0.0; }
  void enable_drafts(bool) override {}
  std::unique_ptr<Session> open_session() override { return nullptr; }
  int64_t encoded_media() const override { return 0; }
  uint64_t weight_bytes_per_token() const override { return 0; }
  uint64_t kv_bytes_per_token(int64_t) const override { return 0; }
  void score(std::span<const TokenId>,
             const std::function<void(std::span<const float> logits)>&) override {}

  std::vector<GenerationResult> generate(std::span<const GenerationRequest> requests,
                                         const GenerationCallbacks& callbacks) override {
    largest_batch_ = std::max(largest_batch_, requests.size());
    std::vector<GenerationResult> results(requests.size());
    // The last one ends first: the transcriber must put them in order.
    for (size_t i = requests.size(); i-- > 0;) {
      const AudioWindow& window = heard_.at(next_ + i);
      REQUIRE(requests[i].media.size() == 1);
      REQUIRE(requests[i].media[0].input->soft_tokens ==
              conformer_soft_tokens(window.end - window.begin));
      GenerationResult& result = results[i];
      if (const auto stop = callbacks.should_stop()) {
        result.finish_reason = *stop;
        continue;
      }
      result.output.has_content = true;
      result.output.content = words_in(window);
      result.completion_tokens = 1;
      result.prompt_tokens = static_cast<int64_t>(requests[i].prompt.size());
      callbacks.on_token(i, 0);
      callbacks.on_result(i, result);
    }
    next_ += requests.size();
    return results;
  }

  /// With a capital and a full stop, and words at the ends cut off.
  std::string words_in(const AudioWindow& window) const {
    std::string text;
    for (const Spoken& spoken : speech_.words) {
      const int64_t length = spoken.end - spoken.begin;
      const int64_t lost_before = std::max<int64_t>(0, window.begin - spoken.begin);
      const int64_t lost_behind = std::max<int64_t>(0, spoken.end - window.end);
      if (2 * (lost_before + lost_behind) >= length) continue;
      const auto letters = static_cast<int64_t>(spoken.word.size());
      std::string word = spoken.word.substr(static_cast<size_t>(lost_before * letters / length));
      word.resize(word.size() - static_cast<size_t>(lost_behind * letters / length));
      text += (text.empty() ? "" : " ") + word;
    }
    return text + "\n";
  }

  const std::vector<AudioWindow>& plan() const { return plan_; }
  size_t asked() const { return next_; }
  size_t largest_batch() const { return largest_batch_; }

 private:
  ModelConfig config_;
  Speech speech_;
  std::vector<AudioWindow> plan_;
  std::vector<AudioWindow> heard_;  // those that are not silent
  size_t next_ = 0;
  size_t largest_batch_ = 0;
};

PromptTools audio_tools(const TemporaryFolder& folder) {
  PromptTools tools = load_prompt_tools(golden_dir("audio-e"));
  write_tiny_tokenizer(folder.file("tokenizer"));
  tools.tokenizer = Tokenizer::load(folder.file("tokenizer"));
  const auto file = share_file("chat_templates/gemma4-small.jinja");
  tools.chat_template = ChatTemplate::compile(file_bytes(file.string()), file.string());
  return tools;
}

TranscriberOptions options_of(double segment, double overlap, int64_t at_once = 1) {
  TranscriberOptions options;
  options.instruction = "Transcribe.";
  options.windows.max_samples = static_cast<int64_t>(segment * 16000);
  options.windows.overlap_samples = static_cast<int64_t>(overlap * 16000);
  options.windows_at_once = at_once;
  return options;
}

/// Whether two texts are equal; shows where they begin to differ.
bool same(const std::string& a, const std::string& b) {
  if (a == b) return true;
  const auto differ = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  const auto from = static_cast<size_t>(std::max<ptrdiff_t>(0, differ.first - a.begin() - 40));
  MESSAGE("..." << a.substr(std::min(from, a.size()), 80) << "... is not ..."
                << b.substr(std::min(from, b.size()), 80));
  return false;
}

std::string joined(const std::vector<TranscriptSegment>& segments) {
  std::string text;
  for (const TranscriptSegment& segment : segments) {
    text += (text.empty() ? "" : " ") + segment.text;
  }
  return text;
}

}  // namespace

TEST_CASE("a long recording comes out with every word once, in segments of its windows") {
  const TemporaryFolder folder;
  const PromptTools tools = audio_tools(folder);
  for (const int64_t at_once : {1, 3}) {
    for (const uint32_t seed : {1u, 2u, 3u, 4u, 5u, 6u}) {
      const Speech speech = make_speech(170.0, seed);
      write_bytes(folder.file("a.wav"), sound_wav(speech.sound));
      const TranscriberOptions options = options_of(12.0, 1.5, at_once);
      ListeningEngine engine(speech, options.windows);
      Recording recording(folder.file("a.wav"), {});
      std::vector<TranscriptSegment> seen;
      std::string shown;
      double done = 0.0;
      TranscriptCallbacks callbacks;
      callbacks.on_text = [&](std::string_view text) { shown += text; };
      callbacks.on_segment = [&](const TranscriptSegment& segment) {
        CHECK(segment.text.starts_with(shown));  // what was shown stays
        shown.clear();
        seen.push_back(segment);
      };
      callbacks.on_progress = [&](double now, double total) {
        CHECK(now >= done);
        CHECK(total == doctest::Approx(170.0));
        done = now;
      };
      callbacks.should_stop = [] { return std::optional<FinishReason>(); };
      const Transcript transcript = Transcriber(tools, options).run(engine, recording, callbacks);
      CHECK(same(transcript.text, speech.text()));
      CHECK(same(joined(seen), speech.text()));
      CHECK(transcript.seconds == doctest::Approx(170.0));
      CHECK(done == doctest::Approx(170.0));
      CHECK(transcript.finish_reason == FinishReason::kStop);
      CHECK(transcript.windows.size() == engine.plan().size());
      CHECK(engine.largest_batch() == static_cast<size_t>(at_once));
      REQUIRE(seen.size() == engine.plan().size());
      for (size_t i = 0; i < seen.size(); ++i) {
        CHECK(seen[i].start == static_cast<double>(engine.plan()[i].own_begin) / 16000);
        CHECK(seen[i].end == static_cast<double>(engine.plan()[i].own_end) / 16000);
      }
    }
  }
}

TEST_CASE("a part of a recording has the times of the whole") {
  const TemporaryFolder folder;
  const PromptTools tools = audio_tools(folder);
  const Speech speech = make_speech(20.0, 5);
  std::vector<float> sound(16000 * 7, 0.0f);
  sound.insert(sound.end(), speech.sound.begin(), speech.sound.end());
  sound.resize(sound.size() + 16000 * 100, 0.5f);
  write_bytes(folder.file("a.wav"), sound_wav(sound));
  const TranscriberOptions options = options_of(30.0, 1.0);
  ListeningEngine engine(speech, options.windows);
  RecordingOptions range;
  range.offset = 7.0;
  range.duration = 20.0;
  Recording recording(folder.file("a.wav"), range);
  const Transcript transcript = Transcriber(tools, options).run(engine, recording, {});
  CHECK(same(transcript.text, speech.text()));
  CHECK(transcript.seconds == 20.0);
  REQUIRE(transcript.segments.size() == 1);
  CHECK(transcript.segments[0].start == 7.0);
  CHECK(transcript.segments[0].end == 27.0);
}

TEST_CASE("nobody is asked about silence, and empty segments are left out") {
  const TemporaryFolder folder;
  const PromptTools tools = audio_tools(folder);
  Speech speech = make_speech(20.0, 6);
  speech.sound.resize(16000 * 100, 0.0f);
  write_bytes(folder.file("a.wav"), sound_wav(speech.sound));
  const TranscriberOptions options = options_of(10.0, 1.0, 4);
  ListeningEngine engine(speech, options.windows);
  Recording recording(folder.file("a.wav"), {});
  const Transcript transcript = Transcriber(tools, options).run(engine, recording, {});
  CHECK(same(transcript.text, speech.text()));
  CHECK(engine.plan().size() > 9);
  CHECK(engine.asked() < 6);
  CHECK(transcript.segments.size() == engine.asked());
  CHECK(transcript.seconds == 100.0);
}

TEST_CASE("an interrupted transcript keeps what it has") {
  const TemporaryFolder folder;
  const PromptTools tools = audio_tools(folder);
  const Speech speech = make_speech(100.0, 7);
  write_bytes(folder.file("a.wav"), sound_wav(speech.sound));
  for (const int64_t at_once : {1, 4}) {
    const TranscriberOptions options = options_of(10.0, 1.0, at_once);
    ListeningEngine engine(speech, options.windows);
    Recording recording(folder.file("a.wav"), {});
    size_t segments = 0;
    TranscriptCallbacks callbacks;
    callbacks.on_segment = [&](const TranscriptSegment&) { ++segments; };
    callbacks.should_stop = [&] {
      return segments >= 3 ? std::optional(FinishReason::kInterrupted) : std::nullopt;
    };
    const Transcript transcript = Transcriber(tools, options).run(engine, recording, callbacks);
    CHECK(transcript.finish_reason == FinishReason::kInterrupted);
    CHECK(transcript.segments.size() >= 4);  // the one under way too
    CHECK(transcript.segments.size() == segments);
    CHECK(transcript.seconds < 100.0);
    CHECK(speech.text().starts_with(transcript.text.substr(0, transcript.text.size() - 8)));
  }
}

TEST_CASE("live sound is transcribed while it comes, a segment at each pause") {
  const TemporaryFolder folder;
  const PromptTools tools = audio_tools(folder);
  const Speech first = make_speech(6.0, 8);
  Speech speech = first;
  speech.sound.resize(speech.sound.size() + 48000, 0.0f);
  const auto shift = static_cast<int64_t>(speech.sound.size());
  for (Spoken spoken : make_speech(6.0, 9).words) {
    speech.words.push_back({spoken.word, spoken.begin + shift, spoken.end + shift});
  }
  const Speech second = make_speech(6.0, 9);
  speech.sound.insert(speech.sound.end(), second.sound.begin(), second.sound.end());

  TranscriberOptions options = options_of(30.0, 1.0, 4);
  options.windows.at_pauses = true;
  ListeningEngine engine(speech, options.windows);
  REQUIRE(engine.plan().size() > 1);

  REQUIRE(::mkfifo(folder.file("live").c_str(), 0600) == 0);
  std::promise<void> heard;
  auto heard_future = heard.get_future();
  std::thread microphone([&] {
    const int pipe = ::open(folder.file("live").c_str(), O_WRONLY);
    const auto put = [&](const std::vector<float>& sound) {
      std::span<const char> left(reinterpret_cast<const char*>(sound.data()), sound.size() * 4);
      while (!left.empty()) {
        const ssize_t written = ::write(pipe, left.data(), left.size());
        if (written <= 0) return;
        left = left.subspan(static_cast<size_t>(written));
      }
    };
    // The second half is said only after the first was read.
    const auto half = static_cast<ptrdiff_t>(shift);
    put({speech.sound.begin(), speech.sound.begin() + half});
    heard_future.wait_for(std::chrono::seconds(20));
    put({speech.sound.begin() + half, speech.sound.end()});
    ::close(pipe);
  });
  RecordingOptions how;
  how.pcm = parse_pcm_format("f32le:16000");
  Recording recording(folder.file("live"), how);
  TranscriptCallbacks callbacks;
  std::string text;
  callbacks.on_segment = [&](const TranscriptSegment& segment) {
    text += (text.empty() ? "" : " ") + segment.text;
    if (text == first.text()) heard.set_value();
  };
  const Transcript transcript = Transcriber(tools, options).run(engine, recording, callbacks);
  microphone.join();
  CHECK(same(transcript.text, speech.text()));
  CHECK(engine.largest_batch() == 1);
}

TEST_CASE("what cannot be transcribed is told in time") {
  const TemporaryFolder folder;
  const PromptTools tools = audio_tools(folder);
  const TranscriberOptions options = options_of(30.0, 1.0);
  PromptTools deaf = load_prompt_tools(golden_dir("text-31b"));
  CHECK(contains(error_of([&] { Transcriber(deaf, options); }), "audio encoder"));
  PromptTools mute = load_prompt_tools(golden_dir("audio-e"));
  error_of([&] { Transcriber(mute, options); }, ErrorKind::kModel);
  error_of([&] { Transcriber(tools, options_of(30.0, 11.0)); }, ErrorKind::kUsage);

  error_of([&] { Recording(folder.file("none.wav"), {}); });
  const auto run = [&](const std::string& bytes) {
    write_bytes(folder.file("a.wav"), bytes);
    ListeningEngine engine({{}, std::vector<float>(16000 * 40, 0.5f)}, options.windows);
    Recording recording(folder.file("a.wav"), {});
    Transcriber(tools, options).run(engine, recording, {});
  };
  CHECK(contains(error_of([&] { run(sound_wav(std::vector<float>(160, 0.5f))); }), "too short"));
  std::vector<float> bad(16000 * 40, 0.5f);
  bad[16000 * 35] = std::numeric_limits<float>::quiet_NaN();
  CHECK(contains(error_of([&] { run(sound_wav(bad)); }), "35.000 s"));
}

TEST_CASE("the engine is planned for the longest window") {
  const TemporaryFolder folder;
  const PromptTools tools = audio_tools(folder);
  const TranscriberNeeds needs = Transcriber(tools, options_of(30.0, 1.0, 4)).needs();
  CHECK(needs.media.audio_tokens == 750);
  CHECK(needs.media.total_tokens == 3000);
  CHECK(needs.prompt_tokens > 750);
  CHECK(needs.positions == needs.prompt_tokens + 64 + 16 * 30);
}

}  // namespace gemma4
