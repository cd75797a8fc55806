// Built tokenizers kept between runs, under $XDG_CACHE_HOME/gemma4 or ~/.cache/gemma4.
//
// One file for each tokenizer.json, named after the hash of its content. A cache that cannot be
// read, is damaged or of another version counts as absent; one that cannot be written is no error.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "lib/text/tokenizer_model.h"

namespace gemma4 {

/// The cache file for this content of a tokenizer.json; empty when there is no home to keep it in.
std::filesystem::path tokenizer_cache_path(std::string_view tokenizer_json);

std::optional<TokenizerModel> read_tokenizer_cache(const std::filesystem::path& path);
void write_tokenizer_cache(const std::filesystem::path& path, const TokenizerModel& model);

}  // namespace gemma4
