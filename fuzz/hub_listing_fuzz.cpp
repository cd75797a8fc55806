// Any bytes taken as a Hub's listing: refused with an Error, or names that stay below a folder.
#include <cstddef>
#include <cstdint>
#include <filesystem>

#include "lib/base/error.h"
#include "lib/io/hub_cache.h"
#include "lib/io/hub_listing.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  gemma4::parse_hub_model(text);
  try {
    const gemma4::HubListing listing = gemma4::parse_hub_listing(text, "fuzz");
    if (!gemma4::is_hub_commit(listing.commit)) __builtin_trap();
    for (const gemma4::HubFile& file : listing.files) {
      const auto path = (std::filesystem::path("/snapshot") / file.name).lexically_normal();
      if (!path.string().starts_with("/snapshot/")) __builtin_trap();
      if (path.string() != "/snapshot/" + file.name) __builtin_trap();
      if (!file.digest.empty() && !gemma4::is_hub_digest(file.digest)) __builtin_trap();
    }
    gemma4::choose_hub_files(listing, {});
  } catch (const gemma4::Error&) {
  }
  return 0;
}
