#include "tools/image_preview.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace gemma4 {
namespace {

struct Picture {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3]

  const uint8_t* at(int x, int y) const {
    return rgb.data() +
           (static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)) * 3;
  }
};

// The pixels that were cut into patches, put together again.
Picture join_patches(const ImagePatches& patches) {
  const int side = patches.patch_size;
  Picture out{patches.columns * side, patches.rows * side, {}};
  out.rgb.resize(patches.pixels.size());
  const uint8_t* from = patches.pixels.data();
  for (int row = 0; row < patches.rows; ++row) {
    for (int column = 0; column < patches.columns; ++column) {
      for (int y = 0; y < side; ++y, from += side * 3) {
        auto* to = const_cast<uint8_t*>(out.at(column * side, row * side + y));
        std::copy(from, from + side * 3, to);
      }
    }
  }
  return out;
}

// Each pixel is the mean of those it covers.
Picture shrink(const Picture& in, int width, int height) {
  Picture out{width, height, {}};
  for (int y = 0; y < height; ++y) {
    const int top = y * in.height / height;
    const int bottom = std::max(top + 1, (y + 1) * in.height / height);
    for (int x = 0; x < width; ++x) {
      const int left = x * in.width / width;
      const int right = std::max(left + 1, (x + 1) * in.width / width);
      int64_t sum[3] = {};
      for (int v = top; v < bottom; ++v) {
        for (int u = left; u < right; ++u) {
          for (int c = 0; c < 3; ++c) sum[c] += in.at(u, v)[c];
        }
      }
      const int64_t count = int64_t{right - left} * (bottom - top);
      for (const int64_t total : sum) out.rgb.push_back(static_cast<uint8_t>(total / count));
    }
  }
  return out;
}

// The size that fits, never larger than the picture itself.
Picture fit(const Picture& picture, int max_width, int max_height) {
  double scale = std::min(1.0, static_cast<double>(max_width) / picture.width);
  scale = std::min(scale, static_cast<double>(max_height) / picture.height);
  return shrink(picture, std::max(1, static_cast<int>(picture.width * scale)),
                std::max(1, static_cast<int>(picture.height * scale)));
}

// Two pixels a character, one above the other.
std::string blocks(const Picture& picture) {
  std::string out;
  for (int y = 0; y < picture.height; y += 2) {
    for (int x = 0; x < picture.width; ++x) {
      const uint8_t* top = picture.at(x, y);
      out += fmt::format("\x1b[38;2;{};{};{}m", top[0], top[1], top[2]);
      if (y + 1 < picture.height) {
        const uint8_t* bottom = picture.at(x, y + 1);
        out += fmt::format("\x1b[48;2;{};{};{}m", bottom[0], bottom[1], bottom[2]);
      }
      out += "\u2580";
    }
    out += "\x1b[0m\n";
  }
  return out;
}

std::string base64(const std::vector<uint8_t>& bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t b = 0; b < 3; ++b) word = word << 8 | (b < count ? bytes[i + b] : 0u);
    for (size_t d = 0; d < 4; ++d) {
      out += d <= count ? kDigits[word >> (18 - 6 * d) & 63] : '=';
    }
  }
  return out;
}

// The terminal graphics protocol of kitty: raw RGB, in pieces of 4096 characters.
std::string kitty(const Picture& picture) {
  constexpr size_t kPiece = 4096;
  const std::string data = base64(picture.rgb);
  std::string out;
  for (size_t at = 0; at < data.size(); at += kPiece) {
    const bool more = at + kPiece < data.size();
    out += "\x1b_G";
    if (at == 0) out += fmt::format("a=T,f=24,s={},v={},", picture.width, picture.height);
    out += fmt::format("m={},q=2;", more ? 1 : 0) + data.substr(at, kPiece) + "\x1b\\";
  }
  return out + "\n";
}

// Sixel graphics with a fixed palette of 6 x 6 x 6 colours: bands of six rows, a colour at a time.
std::string sixel(const Picture& picture) {
  const auto level = [](uint8_t value) { return (value * 5 + 127) / 255; };
  std::string out = fmt::format("\x1bP0;1q\"1;1;{};{}", picture.width, picture.height);
  for (int color = 0; color < 216; ++color) {
    out +=
        fmt::format("#{};2;{};{};{}", color, color / 36 * 20, color / 6 % 6 * 20, color % 6 * 20);
  }
  std::vector<int> indices(static_cast<size_t>(picture.width) * 6);
  for (int band = 0; band < picture.height; band += 6) {
    bool used[216] = {};
    const int rows = std::min(6, picture.height - band);
    for (int y = 0; y < rows; ++y) {
      for (int x = 0; x < picture.width; ++x) {
        const uint8_t* p = picture.at(x, band + y);
        const int color = level(p[0]) * 36 + level(p[1]) * 6 + level(p[2]);
        indices[static_cast<size_t>(y * picture.width + x)] = color;
        used[color] = true;
      }
    }
    for (int color = 0; color < 216; ++color) {
      if (!used[color]) continue;
      out += fmt::format("#{}", color);
      for (int x = 0; x < picture.width; ++x) {
        int bits = 0;
        for (int y = 0; y < rows; ++y) {
          bits |= static_cast<int>(indices[static_cast<size_t>(y * picture.width + x)] == color)
                  << y;
        }
        out += static_cast<char>(63 + bits);
      }
      out += '$';
    }
    out += '-';
  }
  return out + "\x1b\\\n";
}

std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

PreviewProtocol preview_protocol() {
  const std::string_view term = variable("TERM");
  const std::string_view program = variable("TERM_PROGRAM");
  if (term == "xterm-kitty" || term == "xterm-ghostty" || !variable("KITTY_WINDOW_ID").empty() ||
      program == "WezTerm" || program == "ghostty") {
    return PreviewProtocol::kKitty;
  }
  if (term.starts_with("foot") || term.starts_with("mlterm") || term.find("sixel") != term.npos ||
      term.starts_with("contour")) {
    return PreviewProtocol::kSixel;
  }
  return PreviewProtocol::kBlocks;
}

std::string image_preview(const MediaInput& input, PreviewProtocol protocol, int columns) {
  const Picture picture = join_patches(input.patches);
  constexpr int kCharacterWidth = 8;  // pixels, about
  switch (protocol) {
    case PreviewProtocol::kKitty:
      return kitty(fit(picture, columns * kCharacterWidth, 480));
    case PreviewProtocol::kSixel:
      return sixel(fit(picture, columns * kCharacterWidth, 480));
    case PreviewProtocol::kBlocks:
      break;
  }
  return blocks(fit(picture, columns, 48));
}

}  // namespace gemma4
