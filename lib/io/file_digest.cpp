#include "lib/io/file_digest.h"

#include <openssl/evp.h>

#include <array>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

void check(int result) {
  if (result != 1) throw Error(ErrorKind::kInternal, "cannot compute a checksum");
}

EVP_MD_CTX* context_of(void* context) { return static_cast<EVP_MD_CTX*>(context); }

}  // namespace

void FileDigest::Free::operator()(void* context) const { EVP_MD_CTX_free(context_of(context)); }

FileDigest::FileDigest(const void* algorithm) : context_(EVP_MD_CTX_new()) {
  check(context_ != nullptr &&
        EVP_DigestInit_ex(context_of(context_.get()), static_cast<const EVP_MD*>(algorithm),
                          nullptr) == 1);
}

FileDigest FileDigest::sha256() { return FileDigest(EVP_sha256()); }

FileDigest FileDigest::git_blob(uint64_t size) {
  FileDigest digest(EVP_sha1());
  const std::string header = "blob " + std::to_string(size) + '\0';
  digest.update(std::as_bytes(std::span(header)));
  return digest;
}

void FileDigest::update(std::span<const std::byte> bytes) {
  check(EVP_DigestUpdate(context_of(context_.get()), bytes.data(), bytes.size()));
}

std::string FileDigest::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> value{};
  unsigned int length = 0;
  check(EVP_DigestFinal_ex(context_of(context_.get()), value.data(), &length));
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    text += kDigits[value[i] >> 4];
    text += kDigits[value[i] & 15];
  }
  return text;
}

}  // namespace gemma4
