#include "lib/quant/output_directory.h"

#include <algorithm>

#include "lib/base/error.h"

namespace gemma4 {
namespace fs = std::filesystem;
namespace {

/// "a/b/" names the directory "a/b".
fs::path without_slash(const fs::path& path) {
  return path.has_filename() ? path : path.parent_path();
}

bool lies_in(const fs::path& inner, const fs::path& outer) {
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

fs::path real_path(const fs::path& path) {
  std::error_code ec;
  fs::path real = fs::weakly_canonical(fs::absolute(path), ec);
  if (ec) throw Error(ErrorKind::kUsage, "cannot resolve path", path.string(), ec.message());
  return without_slash(real);
}

/// What --force may remove: nothing that is not clearly a model.
void require_replaceable(const fs::path& path) {
  std::error_code ec;
  const bool replaceable = !fs::is_symlink(path, ec) && fs::is_directory(path, ec) &&
                           (fs::exists(path / "config.json", ec) || fs::is_empty(path, ec));
  if (!replaceable) {
    throw Error(ErrorKind::kUsage, "output exists and is not a model directory", path.string(),
                "it will not be replaced; choose another name");
  }
}

[[noreturn]] void fail(const char* what, const fs::path& path, const std::error_code& ec) {
  throw Error(ErrorKind::kResource, what, path.string(), ec.message());
}

}  // namespace

void require_apart(const fs::path& source, const fs::path& destination) {
  const fs::path a = real_path(source);
  const fs::path b = real_path(destination);
  if (a == b) {
    throw Error(ErrorKind::kUsage, "source and output are the same directory", destination.string(),
                "choose another output");
  }
  if (lies_in(a, b) || lies_in(b, a)) {
    throw Error(ErrorKind::kUsage, "source and output lie in one another", destination.string(),
                "choose another output");
  }
}

OutputDirectory::OutputDirectory(const fs::path& destination, bool replace)
    : destination_(without_slash(destination)), partial_(destination_) {
  partial_ += ".partial";
  std::error_code ec;
  if (fs::symlink_status(destination_, ec).type() != fs::file_type::not_found) {
    if (!replace) {
      throw Error(ErrorKind::kUsage, "output exists", destination_.string(),
                  "choose another name, or --force to replace it");
    }
    require_replaceable(destination_);
  }
  if (replace && fs::is_directory(fs::symlink_status(partial_, ec))) fs::remove_all(partial_, ec);
  if (!fs::create_directory(partial_, ec)) {
    if (ec) fail("cannot create directory", partial_, ec);
    throw Error(ErrorKind::kUsage, "an unfinished output exists", partial_.string(),
                "another run is writing it, or one was killed: remove it, or use --force");
  }
}

OutputDirectory::~OutputDirectory() {
  std::error_code ec;
  if (!committed_) fs::remove_all(partial_, ec);
}

void OutputDirectory::commit() {
  std::error_code ec;
  fs::path old = destination_;
  old += ".replaced";
  const bool replaces = fs::exists(destination_, ec);
  if (replaces) {
    fs::rename(destination_, old, ec);
    if (ec) fail("cannot rename", destination_, ec);
  }
  fs::rename(partial_, destination_, ec);
  if (ec) {
    std::error_code ignored;
    if (replaces) fs::rename(old, destination_, ignored);
    fail("cannot rename to", destination_, ec);
  }
  committed_ = true;
  if (replaces) fs::remove_all(old, ec);
}

}  // namespace gemma4
