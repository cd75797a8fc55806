#include "lib/io/share_files.h"

#include "lib/base/error.h"

namespace gemma4 {

std::vector<std::filesystem::path> share_dirs() {
  std::vector<std::filesystem::path> found;
  std::error_code ec;
  const std::filesystem::path binary = std::filesystem::read_symlink("/proc/self/exe", ec);
  for (const std::filesystem::path& dir : {binary.parent_path().parent_path() / "share" / "gemma4",
                                           std::filesystem::path(GEMMA4_SOURCE_SHARE_DIR)}) {
    if (std::filesystem::is_directory(dir, ec)) found.push_back(dir);
  }
  return found;
}

std::filesystem::path share_file(const std::filesystem::path& name) {
  std::error_code ec;
  for (const std::filesystem::path& dir : share_dirs()) {
    if (std::filesystem::exists(dir / name, ec)) return dir / name;
  }
  throw Error(ErrorKind::kInternal, "the installation lacks a file",
              "share/gemma4/" + name.string(), "install gemma4 again");
}

}  // namespace gemma4
