// Where the files that ship with the program lie: chat templates, presets, the demo model.
#pragma once

#include <filesystem>
#include <vector>

namespace gemma4 {

/// Folders to look in, first one first: beside the installed binary (../share/gemma4), then the
/// source tree that the binary was built from. Only folders that exist.
std::vector<std::filesystem::path> share_dirs();

/// The first share folder's file of this name ("chat_templates/gemma4-small.jinja").
/// Throws Error(kInternal) when the installation lacks it.
std::filesystem::path share_file(const std::filesystem::path& name);

}  // namespace gemma4
