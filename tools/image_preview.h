// Draws pictures on a terminal, as the model will see them.
#pragma once

#include <string>

#include "lib/runtime/media_input.h"

namespace gemma4 {

enum class PreviewProtocol { kBlocks, kKitty, kSixel };

/// What the terminal says of itself: $TERM, $TERM_PROGRAM, $KITTY_WINDOW_ID. Half-block characters
/// everywhere else.
PreviewProtocol preview_protocol();

/// The picture of `input` as text for the terminal, at most `columns` characters wide, ending in a
/// newline.
std::string image_preview(const MediaInput& input, PreviewProtocol protocol, int columns);

}  // namespace gemma4
