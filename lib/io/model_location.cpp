#include "lib/io/model_location.h"

#include <algorithm>
#include <cstdlib>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/io/hub_cache.h"
#include "lib/io/json.h"
#include "lib/io/weight_files.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

std::string model_list() { return std::string(hub_alias_list()) + " demo"; }

bool is_folder(const fs::path& path) {
  std::error_code ec;
  return fs::is_directory(path, ec);
}

// Names of the sub-folders of `directory` that could be snapshots.
std::vector<std::string> list_snapshots(const fs::path& directory) {
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    if (is_hub_commit(name) && is_folder(it->path())) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string join(const std::vector<std::string>& names) {
  constexpr size_t kMost = 8;
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kMost); ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > kMost) text += " and " + std::to_string(names.size() - kMost) + " more";
  return text;
}

// The snapshot that the wanted revision stands for.
fs::path find_snapshot(const HubModel& model, const fs::path& repository) {
  const fs::path snapshots = repository / "snapshots";
  if (is_hub_commit(model.revision) && is_folder(snapshots / model.revision)) {
    return snapshots / model.revision;
  }
  const fs::path ref = repository / "refs" / model.wanted();
  std::error_code ec;
  if (fs::is_regular_file(ref, ec)) {
    std::string commit = read_file(ref, ErrorKind::kModel, 4096);
    commit.erase(commit.find_last_not_of(" \t\r\n") + 1);
    if (!is_hub_commit(commit)) {
      throw Error(ErrorKind::kModel, "not a commit id in the Hub cache", ref.string(),
                  model.download_command());
    }
    if (is_folder(snapshots / commit)) return snapshots / commit;
  } else if (model.revision.empty()) {
    const std::vector<std::string> names = list_snapshots(snapshots);
    if (names.size() == 1) {
      log_warning("no refs/main in the Hub cache, so the only snapshot is used: " + names[0]);
      return snapshots / names[0];
    }
    if (names.size() > 1) {
      throw Error(ErrorKind::kModel, "no refs/main in the Hub cache and several snapshots",
                  repository.string(), "choose one with " + model.id + "@COMMIT: " + join(names));
    }
  }
  throw Error(ErrorKind::kModel,
              "revision \"" + model.wanted() + "\" of " + model.id + " is not in the Hub cache",
              repository.string(), model.download_command());
}

// Where a path really leads; empty when it leads nowhere or to an unfinished download.
fs::path real_file(const fs::path& path) {
  std::error_code ec;
  const fs::path real = fs::canonical(path, ec);
  return ec || real.extension() == ".incomplete" ? fs::path() : real;
}

// A link out of the repository's folder could make the program read any file of the user's.
void check_links_stay_inside(const fs::path& snapshot, const fs::path& repository) {
  const fs::path root = real_file(repository);
  const auto check = [&](const fs::path& path) {
    const fs::path real = real_file(path);
    if (real.empty()) return;
    const auto [in_root, in_real] =
        std::mismatch(root.begin(), root.end(), real.begin(), real.end());
    if (in_root == root.end()) return;
    throw Error(ErrorKind::kModel, "link in the Hub cache leads out of its repository's folder",
                path.string(), "it leads to " + real.string());
  };
  check(snapshot);
  std::error_code ec;
  for (fs::directory_iterator it(snapshot, ec), end; !ec && it != end; it.increment(ec)) {
    check(it->path());
  }
}

void check_complete(const HubModel& model, const fs::path& snapshot, bool needs_tokenizer) {
  std::vector<std::string> missing;
  const auto need = [&](const std::string& file) {
    std::error_code ec;
    const fs::path real = real_file(snapshot / file);
    if (real.empty() || !fs::is_regular_file(real, ec)) missing.push_back(file);
  };
  need("config.json");
  if (needs_tokenizer) need("tokenizer.json");
  const WeightFiles weights = find_weight_files(snapshot);
  for (const std::string& file : weights.files) need(file);
  if (weights.files.empty()) missing.push_back("model.safetensors");
  if (missing.empty()) return;
  throw Error(ErrorKind::kModel,
              "download of " + model.id + " is incomplete, missing " + join(missing),
              snapshot.string(), model.download_command());
}

fs::path locate_in_cache(const HubModel& model, bool needs_tokenizer) {
  const fs::path root = hub_cache();
  const fs::path repository = root / hub_folder_name(model.id);
  if (!is_folder(repository)) {
    throw Error(ErrorKind::kModel, "model " + model.id + " is not in the local Hub cache",
                root.string(), model.download_command());
  }
  const fs::path snapshot = find_snapshot(model, repository);
  check_links_stay_inside(snapshot, repository);
  check_complete(model, snapshot, needs_tokenizer);
  return snapshot;
}

fs::path locate_demo(const std::vector<fs::path>& share_dirs) {
  std::vector<std::string> tried;
  for (const fs::path& share : share_dirs) {
    const fs::path directory = share / "models/demo";
    if (is_folder(directory)) return directory;
    tried.push_back(directory.string());
  }
  throw Error(ErrorKind::kModel, "the demo model is not installed", join(tried),
              "reinstall, or give another model with -m");
}

}  // namespace

fs::path locate_model(const std::string& model, const ModelSearch& search) {
  if (model.empty()) {
    const char* named = std::getenv("GEMMA4_MODEL");
    if (named != nullptr && *named != '\0') return locate_model(named, search);
    throw Error(
        ErrorKind::kUsage, "no model given", "",
        "use -m MODEL or set GEMMA4_MODEL (a directory, a Hub id, or one of " + model_list() + ")");
  }
  std::error_code ec;
  const fs::path path(model);
  if (is_folder(path)) return path;
  if (fs::is_regular_file(path, ec)) {
    if (path.extension() == ".safetensors") {
      return path.has_parent_path() ? path.parent_path() : fs::path(".");
    }
    const bool gguf = path.extension() == ".gguf";
    throw Error(ErrorKind::kModel, gguf ? "GGUF models are not supported" : "not a model", model,
                "give a checkpoint directory with safetensors weights");
  }
  if (model == "demo") return locate_demo(search.share_dirs);

  const std::optional<HubModel> hub = parse_hub_model(model);
  if (!hub) {
    throw Error(ErrorKind::kModel, "no such model", model,
                "give a directory, a Hub id org/name[@revision], or one of " + model_list());
  }
  return locate_in_cache(*hub, search.needs_tokenizer);
}

std::optional<fs::path> locate_assistant(const std::string& model,
                                         const std::vector<fs::path>& share_dirs) {
  if (model.empty()) return std::nullopt;
  const bool demo = model == "demo" && !is_folder(model);
  const fs::path given = demo ? locate_demo(share_dirs) : fs::path(model);
  const fs::path path = fs::absolute(given).lexically_normal();
  if (is_folder(path)) {
    const fs::path own = path.has_filename() ? path : path.parent_path();
    const fs::path beside = own.parent_path() / (own.filename().string() + "-assistant");
    return is_folder(beside) ? std::optional(beside) : std::nullopt;
  }
  std::optional<HubModel> hub = parse_hub_model(model);
  if (hub) hub = parse_hub_model(hub->id + "-assistant");
  if (!hub || !is_folder(hub_cache() / hub_folder_name(hub->id))) return std::nullopt;
  return locate_in_cache(*hub, false);
}

}  // namespace gemma4
