// From what the user calls a model (-m) to the directory it lies in.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace gemma4 {

struct ModelSearch {
  /// Where "demo" is looked for, as <dir>/models/demo: the installed and the source share folder.
  std::vector<std::filesystem::path> share_dirs;
  /// A draft model uses the tokenizer of its target and may come without one.
  bool needs_tokenizer = true;
};

/// `model` is, in this order: a directory; a .safetensors file (its folder is meant); an alias
/// (e2b e4b 12b 26b 26b-a4b 31b demo); a Hub id "name" or "org/name", with "@revision" if wanted,
/// in the local Hub cache. An empty `model` means $GEMMA4_MODEL.
///
/// The cache is $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE, $HF_HOME/hub,
/// $XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub, whichever is set first. A snapshot
/// counts only when config.json, tokenizer.json and all weight files are there, and no link in it
/// may lead out of its repository's folder. Nothing is ever downloaded: the error gives the command
/// that would.
///
/// Throws Error(kUsage) when no model is named at all, else Error(kModel).
std::filesystem::path locate_model(const std::string& model, const ModelSearch& search = {});

/// The assistant that drafts for `model`: "<model>-assistant", beside it when it is a directory or
/// the demo model, else in the Hub cache. Nothing: it is not there.
std::optional<std::filesystem::path> locate_assistant(
    const std::string& model, const std::vector<std::filesystem::path>& share_dirs = {});

}  // namespace gemma4
