#include "lib/text/output_parser.h"

#include <optional>
#include <utility>

#include "lib/text/blanks.h"
#include "lib/text/tool_arguments.h"

namespace gemma4 {
namespace {

constexpr std::string_view kLabel = "thought\n";
constexpr std::string_view kLabelWord = "thought";

// A channel's text without its label and the blanks at its end.
std::string_view without_label(std::string_view block) {
  if (block.starts_with(kLabel)) block.remove_prefix(kLabel.size());
  if (block == kLabelWord) return {};
  return trim_right(block);
}

void append_block(std::string& reasoning, std::string_view block) {
  if (block.empty()) return;
  if (!reasoning.empty()) reasoning += '\n';
  reasoning += block;
}

}  // namespace

void HeldText::append(std::string_view piece) {
  const size_t visible = trim_right(piece).size();
  if (visible > 0) trimmed_ = text_.size() + visible;
  text_ += piece;
}

std::string HeldText::take() {
  std::string text = text_.substr(shown_, trimmed_ - shown_);
  shown_ = trimmed_;
  return text;
}

bool HeldText::may_be_label() const {
  return !settled_ && text_.size() < kLabel.size() && kLabel.starts_with(text_);
}

bool HeldText::remove_label() {
  if (settled_ || !text_.starts_with(kLabel)) return false;
  text_.erase(0, kLabel.size());
  trimmed_ = trim_right(text_).size();
  return settled_ = true;
}

void HeldText::clear() { *this = HeldText(); }

OutputParser::OutputParser(const Tokenizer& tokenizer, OutputParserOptions options)
    : tokenizer_(&tokenizer), options_(std::move(options)), decoder_(tokenizer) {
  const auto marker = [&](std::string_view spelling) {
    return tokenizer.control_id(spelling).value_or(-1);
  };
  markers_.open_channel = marker("<|channel>");
  markers_.close_channel = marker("<channel|>");
  markers_.open_call = marker("<|tool_call>");
  markers_.close_call = marker("<tool_call|>");
  markers_.string_delimiter = marker("<|\"|>");
  markers_.end_of_turn = marker("<turn|>");
  markers_.end_of_text = marker("<eos>");
  markers_.tool_response = marker("<|tool_response>");
  if (options_.in_reasoning) open_channel();
}

// The table of 5.2.
std::vector<OutputEvent> OutputParser::push(TokenId id) {
  Events events;
  if (!tokenizer_->is_control(id)) {
    const std::string text = decoder_.push(id);
    ++text_tokens_;
    if (state_ == State::kReasoning) ++reasoning_tokens_;
    add_text(text, events);
    return events;
  }
  add_text(decoder_.finish(), events);
  if (state_ == State::kCall) {
    if (id == markers_.string_delimiter) {
      call_ += kStringDelimiter;
    } else if (id == markers_.close_call || id == markers_.end_of_turn ||
               id == markers_.end_of_text || id == markers_.tool_response) {
      close_call(events);
    }
  } else if (id == markers_.open_call) {
    if (state_ == State::kReasoning) close_channel(events);
    settle_start(events);
    state_ = State::kCall;
    marker_seen_ = true;
  } else if (id == markers_.open_channel && state_ == State::kContent) {
    settle_start(events);
    open_channel();
  } else if (id == markers_.close_channel) {
    if (state_ == State::kReasoning) {
      close_channel(events);
    } else if (!marker_seen_) {
      // The opener was lost: what has been shown as content is reasoning in the result.
      settle_start(events);
      content_begin_ = content_.text().size();
      marker_seen_ = true;
    }
  }
  return events;
}

std::vector<OutputEvent> OutputParser::finish() {
  Events events;
  add_text(decoder_.finish(), events);
  if (state_ == State::kCall) close_call(events);
  if (state_ == State::kReasoning) close_channel(events);
  if (calls_.empty()) content_.release_blanks();
  settle_start(events);
  return events;
}

ParsedOutput OutputParser::result() const {
  ParsedOutput output;
  append_block(output.reasoning, without_label(content_.text().substr(0, content_begin_)));
  append_block(output.reasoning, reasoning_);
  const std::string_view content = content_.text().substr(content_begin_);
  output.content = calls_.empty() ? content : trim(content);
  output.has_reasoning = !output.reasoning.empty();
  output.has_content = !output.content.empty();
  output.tool_calls = calls_;
  return output;
}

void OutputParser::add_text(std::string_view text, Events& events) {
  if (text.empty()) return;
  if (state_ == State::kCall) {
    call_ += text;
  } else if (state_ == State::kReasoning) {
    block_.append(text);
    if (block_.may_be_label()) return;
    block_.remove_label();
    block_.settle();
    show_reasoning(events);
  } else {
    content_.append(text);
    if (!marker_seen_ && content_.may_be_label()) return;
    if (!marker_seen_ && content_.remove_label() && options_.thinking) {
      const std::string rest(content_.text());
      content_.clear();
      open_channel();
      block_.settle();
      reasoning_tokens_ = text_tokens_;
      add_text(rest, events);
      return;
    }
    settle_start(events);
  }
}

void OutputParser::open_channel() {
  state_ = State::kReasoning;
  marker_seen_ = true;
  block_.clear();
  block_shown_ = false;
}

void OutputParser::close_channel(Events& events) {
  state_ = State::kContent;
  if (!block_.settled() && block_.text() == kLabelWord) block_.clear();
  show_reasoning(events);
  append_block(reasoning_, block_.trimmed());
}

void OutputParser::settle_start(Events& events) {
  content_.settle();
  show_content(events);
}

void OutputParser::show_content(Events& events) {
  std::string text = content_.take();
  // Beside calls, content loses its outer blanks.
  if (!content_shown_ && !calls_.empty()) text = trim_left(text);
  if (text.empty()) return;
  content_shown_ = true;
  events.push_back({OutputEvent::Kind::kContent, std::move(text), {}});
}

void OutputParser::show_reasoning(Events& events) {
  std::string text = block_.take();
  if (text.empty()) return;
  if (!block_shown_ && !reasoning_.empty()) text.insert(0, 1, '\n');
  block_shown_ = true;
  events.push_back({OutputEvent::Kind::kReasoning, std::move(text), {}});
}

void OutputParser::close_call(Events& events) {
  state_ = State::kContent;
  const std::string body = std::exchange(call_, {});
  std::string_view rest = trim(body);
  constexpr std::string_view kPrefix = "call:";
  if (!rest.starts_with(kPrefix)) return;
  rest.remove_prefix(kPrefix.size());
  const size_t brace = std::min(rest.find('{'), rest.size());
  ToolCall call;
  for (const char c : trim(rest.substr(0, brace))) {
    if (c != kStringDelimiter) call.name += c;
  }
  if (call.name.empty()) return;
  if (brace < rest.size()) {
    call.arguments = parse_tool_arguments(rest.substr(brace + 1), parameters_of(call.name));
  }
  calls_.push_back(call);
  events.push_back({OutputEvent::Kind::kToolCall, {}, std::move(call)});
}

// A declaration is {"type": "function", "function": {...}} or just the inner object.
const Json* OutputParser::parameters_of(std::string_view tool) const {
  if (!options_.tools.is_array()) return nullptr;
  for (const Json& declared : options_.tools) {
    if (!declared.is_object()) continue;
    const auto inner = declared.find("function");
    const Json& function = inner != declared.end() ? *inner : declared;
    if (!function.is_object() || function.value("name", Json()) != tool) continue;
    const auto parameters = function.find("parameters");
    return parameters == function.end() ? nullptr : &*parameters;
  }
  return nullptr;
}

}  // namespace gemma4
