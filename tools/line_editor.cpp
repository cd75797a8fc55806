#include "tools/line_editor.h"

#include <histedit.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "lib/base/error.h"
#include "tools/text_input.h"

namespace gemma4 {
namespace {

// Terminals put a paste between these when asked to ("bracketed paste", xterm control sequences).
constexpr char kPasteModeOn[] = "\033[?2004h";
constexpr char kPasteModeOff[] = "\033[?2004l";
constexpr char kPasteBegin[] = "\033[200~";
constexpr char kPasteEnd[] = "\033[201~";
constexpr wchar_t kWidePasteEnd[] = L"\033[201~";
constexpr size_t kMaxPaste = size_t{16} << 20;  // characters

struct CloseEditor {
  void operator()(EditLine* editor) const { el_end(editor); }
};
struct CloseHistory {
  void operator()(History* history) const { history_end(history); }
};
struct CloseFile {
  void operator()(FILE* file) const { std::fclose(file); }
};

termios g_terminal = {};  // as it was, for the signal handler

void give_back_and_die(int number) {
  ::tcsetattr(0, TCSANOW, &g_terminal);
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  ::sigaction(number, &standard, nullptr);
  ::raise(number);  // takes effect when the handler returns
}

// libedit shows its prompt just before it takes the terminal. What is typed in between must not
// be handled by the terminal itself: a Ctrl-C would end the program. And libedit catches signals
// only while it reads: one that comes just before or after must not leave the terminal so.
class HeldTerminal {
 public:
  HeldTerminal() : held_(::tcgetattr(0, &g_terminal) == 0) {
    if (!held_) return;
    struct sigaction action = {};
    action.sa_handler = give_back_and_die;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGTERM, &action, &old_terminate_);
    ::sigaction(SIGHUP, &action, &old_hangup_);
    if (old_hangup_.sa_handler == SIG_IGN) ::sigaction(SIGHUP, &old_hangup_, nullptr);  // nohup
    termios mine = g_terminal;
    mine.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    ::tcsetattr(0, TCSADRAIN, &mine);
  }
  ~HeldTerminal() {
    if (!held_) return;
    ::tcsetattr(0, TCSADRAIN, &g_terminal);
    ::sigaction(SIGTERM, &old_terminate_, nullptr);
    ::sigaction(SIGHUP, &old_hangup_, nullptr);
  }
  HeldTerminal(const HeldTerminal&) = delete;
  HeldTerminal& operator=(const HeldTerminal&) = delete;

 private:
  bool held_;
  struct sigaction old_terminate_ = {};
  struct sigaction old_hangup_ = {};
};

}  // namespace

struct LineEditor::Impl {
  std::unique_ptr<FILE, CloseFile> screen;
  std::unique_ptr<EditLine, CloseEditor> editor;
  std::unique_ptr<History, CloseHistory> history;
  std::optional<ChatHistory> file;
  std::string prompt;
  bool abandoned = false;

  static Impl* of(EditLine* editor) {
    void* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return static_cast<Impl*>(self);
  }
  static char* show_prompt(EditLine* editor) { return of(editor)->prompt.data(); }
  static unsigned char abandon(EditLine* editor, int key);
  static unsigned char suspend(EditLine* editor, int key);
  static unsigned char paste(EditLine* editor, int key);
};

unsigned char LineEditor::Impl::abandon(EditLine* editor, int) {
  Impl* self = of(editor);
  self->abandoned = true;
  std::fputs("^C\r\n", self->screen.get());
  return CC_NEWLINE;
}

unsigned char LineEditor::Impl::suspend(EditLine*, int) {
  ::raise(SIGTSTP);  // libedit's own handler gives the terminal back, and takes it again
  return CC_REDISPLAY;
}

unsigned char LineEditor::Impl::paste(EditLine* editor, int) {
  std::wstring text;
  wchar_t c = 0;
  while (text.size() < kMaxPaste && el_wgetc(editor, &c) == 1) {
    if (c == L'\r') c = L'\n';  // what terminals send for a line break
    const bool control = c < 0x20 && c != L'\n' && c != L'\t' && c != L'\033';
    if (!control) text += c;
    if (c == L'~' && text.ends_with(kWidePasteEnd)) {
      text.resize(text.size() - (std::size(kWidePasteEnd) - 1));
      break;
    }
  }
  std::erase(text, L'\033');
  while (text.ends_with(L'\n')) text.pop_back();
  if (!text.empty() && el_winsertstr(editor, text.c_str()) != 0) return CC_ERROR;
  return CC_REFRESH;
}

LineEditor::LineEditor(std::optional<ChatHistory> history) : impl_(std::make_unique<Impl>()) {
  impl_->file = std::move(history);
  impl_->screen.reset(::fdopen(::dup(2), "w"));
  if (impl_->screen == nullptr) throw Error(ErrorKind::kInternal, "cannot open the terminal");
  FILE* screen = impl_->screen.get();
  impl_->editor.reset(el_init("gemma4", stdin, screen, screen));
  impl_->history.reset(history_init());
  if (impl_->editor == nullptr || impl_->history == nullptr) {
    throw Error(ErrorKind::kInternal, "cannot start the line editor", {}, "pipe the messages in");
  }
  EditLine* editor = impl_->editor.get();
  HistEvent event;
  ::history(impl_->history.get(), &event, H_SETSIZE, 1000);
  el_set(editor, EL_CLIENTDATA, impl_.get());
  el_set(editor, EL_PROMPT, Impl::show_prompt);
  el_set(editor, EL_HIST, ::history, impl_->history.get());
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_SIGNAL, 1);
  el_set(editor, EL_ADDFN, "chat-abandon", "leave this line", Impl::abandon);
  el_set(editor, EL_ADDFN, "chat-suspend", "stop the program for now", Impl::suspend);
  el_set(editor, EL_ADDFN, "chat-paste", "insert a paste", Impl::paste);
  // Ctrl-C and Ctrl-Z come as keys while a line is edited.
  el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
  el_set(editor, EL_BIND, "^C", "chat-abandon", nullptr);
  el_set(editor, EL_BIND, "^Z", "chat-suspend", nullptr);
  el_set(editor, EL_BIND, kPasteBegin, "chat-paste", nullptr);
  el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(editor, EL_BIND, "\033[H", "ed-move-to-beg", nullptr);
  el_set(editor, EL_BIND, "\033[F", "ed-move-to-end", nullptr);
  el_set(editor, EL_BIND, "\033[1~", "ed-move-to-beg", nullptr);
  el_set(editor, EL_BIND, "\033[4~", "ed-move-to-end", nullptr);
  el_set(editor, EL_BIND, "\033[3~", "ed-delete-next-char", nullptr);
  el_source(editor, nullptr);  // the user's ~/.editrc
  if (!impl_->file) return;
  for (const std::string& entry : impl_->file->load()) {
    ::history(impl_->history.get(), &event, H_ENTER, entry.c_str());
  }
}

LineEditor::~LineEditor() = default;

InputLine LineEditor::read(const char* prompt) {
  impl_->prompt = prompt;
  impl_->abandoned = false;
  const HeldTerminal terminal;
  std::fputs(kPasteModeOn, impl_->screen.get());
  int count = 0;
  const char* line = el_gets(impl_->editor.get(), &count);
  std::fputs(kPasteModeOff, impl_->screen.get());
  std::fflush(impl_->screen.get());
  if (impl_->abandoned) return {InputLine::Kind::kAbandoned};
  if (line == nullptr || count <= 0) return {InputLine::Kind::kEnd};
  std::string_view text(line);
  if (text.ends_with('\n')) text.remove_suffix(1);
  return {InputLine::Kind::kText, valid_text(std::string(text), "what was typed")};
}

void LineEditor::prefill(const std::string& text) {
  const std::string keys = kPasteBegin + text + kPasteEnd;
  el_push(impl_->editor.get(), keys.c_str());
}

void LineEditor::remember(const std::string& message) {
  HistEvent event;
  ::history(impl_->history.get(), &event, H_ENTER, message.c_str());
  if (impl_->file) impl_->file->append(message);
}

}  // namespace gemma4
