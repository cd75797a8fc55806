#include "lib/media/image_decode.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/media/media_files.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

Image decode_file(const std::string& path) { return decode_image(*MediaSource::open(path)); }

/// A smooth picture, so that lossy formats stay close to it; no two corners look alike.
Image smooth_image(int width, int height) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.rgb.push_back(static_cast<uint8_t>(20 + 200 * x / width));
      image.rgb.push_back(static_cast<uint8_t>(20 + 200 * y / height));
      image.rgb.push_back(static_cast<uint8_t>(60 + 60 * (x + y) / (width + height)));
    }
  }
  return image;
}

void write_ppm(const std::string& path, const Image& image) {
  write_bytes(path, "P6\n" + std::to_string(image.width) + " " + std::to_string(image.height) +
                        "\n255\n" + std::string(image.rgb.begin(), image.rgb.end()));
}

double mean_difference(const Image& a, const Image& b) {
  REQUIRE(a.width == b.width);
  REQUIRE(a.height == b.height);
  double sum = 0.0;
  for (size_t i = 0; i < a.rgb.size(); ++i) sum += std::abs(a.rgb[i] - b.rgb[i]);
  return sum / static_cast<double>(a.rgb.size());
}

/// A JPEG with an EXIF segment that holds nothing but the orientation.
std::string with_orientation(const std::string& jpeg, int orientation) {
  std::string exif("Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", 25);
  exif.push_back(static_cast<char>(orientation));
  exif += std::string(6, '\0');
  const auto size = static_cast<char>(exif.size() + 2);
  return jpeg.substr(0, 2) + std::string("\xff\xe1\0", 3) + size + exif + jpeg.substr(2);
}

TEST_CASE("lossless formats give exactly the pixels that went in") {
  if (!has_program("convert")) return;
  const TemporaryFolder folder;
  const Image image = smooth_image(61, 43);
  write_ppm(folder.file("in.ppm"), image);
  struct Case {
    std::string flags, name;
  };
  for (const auto& [flags, name] :
       std::vector<Case>{{"", "a.png"},
                         {"-interlace PNG", "adam7.png"},
                         {"-define png:bit-depth=16", "deep.png"},
                         {"-alpha on -define png:bit-depth=16", "rgba64.png"},
                         {"", "a.bmp"},
                         {"", "a.tif"},
                         {"-compress LZW", "lzw.tif"},
                         {"-compress Zip", "zip.tif"},
                         {"-define webp:lossless=true", "a.webp"}}) {
    CAPTURE(name);
    run_command("convert " + folder.file("in.ppm") + " " + flags + " " + folder.file(name));
    CHECK(mean_difference(decode_file(folder.file(name)), image) == 0.0);
  }
  // A palette holds at most 256 colours: compare with the same colours written as RGB.
  run_command("convert " + folder.file("in.ppm") + " PNG8:" + folder.file("palette.png"));
  run_command("convert " + folder.file("palette.png") + " PNG24:" + folder.file("rgb.png"));
  CHECK(decode_file(folder.file("palette.png")).rgb == decode_file(folder.file("rgb.png")).rgb);
}

TEST_CASE("lossy formats stay close to the pixels that went in") {
  if (!has_program("convert")) return;
  const TemporaryFolder folder;
  const Image image = smooth_image(160, 120);
  write_ppm(folder.file("in.ppm"), image);
  struct Case {
    std::string flags, name;
    double limit;  // mean difference in levels
  };
  for (const auto& [flags, name, limit] :
       std::vector<Case>{{"-quality 95", "a.jpg", 1.0},
                         {"-quality 95 -sampling-factor 4:4:4", "b.jpg", 1.0},
                         {"-quality 95 -interlace JPEG", "c.jpg", 1.0},
                         {"-quality 95", "a.webp", 2.0},
                         {"", "a.gif", 6.0}}) {
    CAPTURE(flags);
    CAPTURE(name);
    run_command("convert " + folder.file("in.ppm") + " " + flags + " " + folder.file(name));
    CHECK(mean_difference(decode_file(folder.file(name)), image) < limit);
  }
}

TEST_CASE("a CMYK JPEG and a CMYK TIFF show their colours") {
  if (!has_program("convert")) return;
  const TemporaryFolder folder;
  const Image image = smooth_image(64, 48);
  write_ppm(folder.file("in.ppm"), image);
  for (const std::string name : {"cmyk.jpg", "cmyk.tif"}) {
    CAPTURE(name);
    run_command("convert " + folder.file("in.ppm") + " -colorspace CMYK -quality 95 " +
                folder.file(name));
    CHECK(mean_difference(decode_file(folder.file(name)), image) < 3.0);
  }
}

TEST_CASE("every grey level becomes the same level of red, green and blue") {
  if (!has_program("convert")) return;
  const TemporaryFolder folder;
  std::string levels;
  for (int i = 0; i < 256; ++i) levels.push_back(static_cast<char>(i));
  write_bytes(folder.file("grey.pgm"), "P5\n256 1\n255\n" + levels);
  run_command("convert " + folder.file("grey.pgm") + " -colorspace Gray " +
              folder.file("grey.png"));
  run_command("convert " + folder.file("grey.pgm") + " -define png:bit-depth=16 " +
              folder.file("grey16.png"));
  run_command("convert " + folder.file("grey.pgm") + " -threshold 50% -monochrome " +
              folder.file("two.png"));
  const Image grey = decode_file(folder.file("grey.png"));
  REQUIRE(grey.rgb.size() == 256 * 3);
  for (int i = 0; i < 256 * 3; ++i) REQUIRE(grey.rgb[static_cast<size_t>(i)] == i / 3);
  CHECK(decode_file(folder.file("grey16.png")).rgb == grey.rgb);
  const Image two = decode_file(folder.file("two.png"));
  CHECK(two.rgb.front() == 0);
  CHECK(two.rgb.back() == 255);
}

TEST_CASE("transparency is dropped, whatever colour lies under it") {
  if (!has_program("convert")) return;
  const TemporaryFolder folder;
  run_command("convert -size 8x8 'xc:rgba(10,200,30,0.25)' PNG32:" + folder.file("alpha.png"));
  run_command("convert -size 8x8 'xc:rgba(77,77,77,0.5)' -colorspace Gray " +
              folder.file("grey-alpha.png"));
  const Image image = decode_file(folder.file("alpha.png"));
  CHECK(std::vector<uint8_t>(image.rgb.begin(), image.rgb.begin() + 3) ==
        std::vector<uint8_t>{10, 200, 30});
  CHECK(decode_file(folder.file("grey-alpha.png")).rgb.front() == 77);
}

TEST_CASE("the EXIF orientation turns a JPEG upright") {
  if (!has_program("convert")) return;
  const TemporaryFolder folder;
  const Image image = smooth_image(96, 64);
  write_ppm(folder.file("in.ppm"), image);
  run_command("convert " + folder.file("in.ppm") + " -quality 95 " + folder.file("plain.jpg"));
  const std::string jpeg = file_bytes(folder.file("plain.jpg"));
  // What ImageMagick's own -orient, -auto-orient pair makes of the picture.
  const char* names[] = {"TopLeft", "TopRight", "BottomRight", "BottomLeft",
                         "LeftTop", "RightTop", "RightBottom", "LeftBottom"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(orientation);
    run_command("convert " + folder.file("in.ppm") + " -orient " + names[orientation - 1] +
                " -auto-orient " + folder.file("upright.png"));
    const auto source = MediaSource::from_bytes(with_orientation(jpeg, orientation), "turned.jpg");
    CHECK(mean_difference(decode_image(*source), decode_file(folder.file("upright.png"))) < 2.0);
  }
}

TEST_CASE("the first frame of an animated GIF is taken") {
  if (!has_program("convert")) return;
  const TemporaryFolder folder;
  run_command("convert -delay 10 -size 20x10 xc:red xc:blue " + folder.file("two.gif"));
  const Image image = decode_file(folder.file("two.gif"));
  CHECK(std::vector<uint8_t>(image.rgb.begin(), image.rgb.begin() + 3) ==
        std::vector<uint8_t>{255, 0, 0});
}

TEST_CASE("the format is told from the content, not from the name") {
  const std::string png = file_bytes((golden_dir("vision-e") / "img2.png").string());
  const Image image = decode_image(*MediaSource::from_bytes(png, "photo.jpg"));
  CHECK(image.width == 48);
  CHECK(image.height == 40);
}

TEST_CASE("a 1x1 image is decoded") {
  if (!has_program("convert")) return;
  const TemporaryFolder folder;
  for (const std::string name : {"a.png", "a.jpg", "a.webp", "a.gif", "a.bmp", "a.tif"}) {
    CAPTURE(name);
    run_command("convert -size 1x1 xc:white " + folder.file(name));
    const Image image = decode_file(folder.file(name));
    CHECK(image.width == 1);
    CHECK(image.rgb == std::vector<uint8_t>{255, 255, 255});
  }
}

TEST_CASE("an image truncated anywhere is refused") {
  if (!has_program("convert")) return;
  const TemporaryFolder folder;
  write_ppm(folder.file("in.ppm"), smooth_image(90, 70));
  for (const std::string name : {"a.png", "a.jpg", "a.webp", "a.gif", "a.bmp", "a.tif"}) {
    run_command("convert " + folder.file("in.ppm") + " " + folder.file(name));
    const std::string whole = file_bytes(folder.file(name));
    for (const size_t percent : {1, 10, 50, 90}) {
      CAPTURE(name);
      CAPTURE(percent);
      const auto cut =
          MediaSource::from_bytes(whole.substr(0, whole.size() * percent / 100 + 1), name);
      CHECK(contains(error_of([&] { decode_image(*cut); }), name));
    }
  }
}

/// A PNG whose header claims a size; the CRC of the header is right.
std::string png_claiming(uint32_t width, uint32_t height) {
  std::string header = "IHDR";
  for (const uint32_t side : {width, height}) {
    for (int shift = 24; shift >= 0; shift -= 8) header.push_back(static_cast<char>(side >> shift));
  }
  header += std::string("\x08\x02\0\0\0", 5);
  uint32_t crc = 0xFFFFFFFFu;
  for (const char c : header) {
    crc ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
  }
  crc = ~crc;
  std::string png("\x89PNG\r\n\x1a\n\0\0\0\x0d", 12);
  png += header;
  for (int shift = 24; shift >= 0; shift -= 8) png.push_back(static_cast<char>(crc >> shift));
  return png + std::string("\0\0\0\0IDAT\x35\xaf\x06\x1e\0\0\0\0IEND\xae\x42\x60\x82", 24);
}

TEST_CASE("a header that claims too many pixels is refused before anything is allocated") {
  const auto huge = MediaSource::from_bytes(png_claiming(100000, 100000), "huge.png");
  CHECK(contains(error_of([&] { decode_image(*huge); }), "--max-pixels"));
  const auto large = MediaSource::from_bytes(png_claiming(16000, 10000), "large.png");
  CHECK(contains(error_of([&] { decode_image(*large); }), "--max-pixels"));
}

TEST_CASE("the pixel limit is the caller's to set") {
  const auto path = golden_dir("vision-e") / "img2.png";  // 48 x 40
  const auto source = MediaSource::open(path.string());
  CHECK(decode_image(*source, 48 * 40).width == 48);
  error_of([&] { decode_image(*source, 48 * 40 - 1); });
}

TEST_CASE("text, an empty file and a JPEG of endless scans are refused") {
  const auto text = MediaSource::from_bytes("this is not a picture", "notes.png");
  CHECK(contains(error_of([&] { decode_image(*text); }), "known format"));
  error_of([] { MediaSource::from_bytes("", "empty.png"); });
  std::string scans = "\xff\xd8\xff";
  for (int i = 0; i < 600; ++i) scans += "\xff\xda";
  const auto endless = MediaSource::from_bytes(scans, "endless.jpg");
  CHECK(contains(error_of([&] { decode_image(*endless); }), "scans"));
}

}  // namespace
}  // namespace gemma4
