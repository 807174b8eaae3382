// For tests: small image files, made and signed here, whole or with whatever wrong a test wants.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <vector>

#include "image_file/header.h"
#include "image_file/manifest_check.h"
#include "image_file/sha256.h"

namespace stele::image_file {

// A key that signs.
class TestKey {
 public:
  static TestKey Ed25519() { return TestKey(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")); }
  static TestKey P256() { return TestKey(EVP_EC_gen("P-256")); }
  static TestKey P384() { return TestKey(EVP_EC_gen("P-384")); }

  std::string PublicPem() const {
    return Pem([&](BIO* bio) { return PEM_write_bio_PUBKEY(bio, key_.get()); });
  }
  std::string PrivatePem() const {
    return Pem(
        [&](BIO* bio) { return PEM_write_bio_PrivateKey(bio, key_.get(), nullptr, nullptr, 0, nullptr, nullptr); });
  }
  std::string Id() const {
    unsigned char* der = nullptr;
    int size = i2d_PUBKEY(key_.get(), &der);
    std::string id = Sha256Of({reinterpret_cast<const char*>(der), static_cast<size_t>(size)});
    OPENSSL_free(der);
    return id;
  }
  stele::image::v1::Signature Sign(absl::string_view bytes) const {
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    bool ed25519 = EVP_PKEY_get_base_id(key_.get()) == EVP_PKEY_ED25519;
    EVP_DigestSignInit(context, nullptr, ed25519 ? nullptr : EVP_sha256(), nullptr, key_.get());
    unsigned char out[128];
    size_t size = sizeof out;
    EVP_DigestSign(context, out, &size, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    EVP_MD_CTX_free(context);
    stele::image::v1::Signature signature;
    signature.set_key_id(Id());
    signature.set_signature(std::string(reinterpret_cast<char*>(out), size));
    return signature;
  }

 private:
  explicit TestKey(EVP_PKEY* key) : key_(key, EVP_PKEY_free) {}

  template <typename Write>
  static std::string Pem(const Write& write) {
    BIO* bio = BIO_new(BIO_s_mem());
    write(bio);
    char* data = nullptr;
    long size = BIO_get_mem_data(bio, &data);
    std::string pem(data, size);
    BIO_free(bio);
    return pem;
  }

  std::shared_ptr<EVP_PKEY> key_;
};

// Change what is to be wrong, then ask for the bytes.
struct TestImage {
  stele::image::v1::Manifest manifest;
  std::vector<std::string> parts;  // in the manifest's order
  std::vector<TestKey> keys;
  std::vector<stele::image::v1::Signature> more_signatures;
  uint32_t format = 1;

  // Loader, UKI and root of about these sizes; the root has whole blocks and room for its tree.
  static TestImage Make(size_t loader = 5000, size_t uki = 150'000, uint64_t root_blocks = 100) {
    TestImage image;
    image.manifest.set_version("0.2.0");
    image.manifest.set_architecture("x86_64");
    image.manifest.set_build_id("0123456789ab");
    image.manifest.set_minimum_version("0.1.0");
    image.manifest.set_sbom_sha256(Sha256Of("sbom"));
    image.manifest.set_chunk_size(kMinChunk);
    auto* verity = image.manifest.mutable_verity();
    verity->set_root_hash(Sha256Of("root"));
    verity->set_salt("salt");
    verity->set_data_blocks(root_blocks);
    image.Add(stele::image::v1::PART_KIND_LOADER, Noise(loader, 1));
    image.Add(stele::image::v1::PART_KIND_UKI, Noise(uki, 2));
    image.Add(stele::image::v1::PART_KIND_ROOT, Noise((root_blocks + VerityTreeBlocks(root_blocks)) * 4096, 3));
    image.keys.push_back(TestKey::Ed25519());
    return image;
  }

  void Add(stele::image::v1::PartKind kind, std::string bytes) {
    auto* part = manifest.add_parts();
    part->set_kind(kind);
    part->set_size(bytes.size());
    part->set_sha256(Sha256Of(bytes));
    for (size_t at = 0; at < bytes.size(); at += manifest.chunk_size()) {
      part->add_chunks(Sha256Of(absl::string_view(bytes).substr(at, manifest.chunk_size())));
    }
    parts.push_back(std::move(bytes));
  }

  std::string ManifestBytes() const { return manifest.SerializeAsString(); }

  // Magic, format, length and the signed manifest: what ParseHeader reads.
  std::string HeaderBytes() const {
    stele::image::v1::SignedManifest envelope;
    envelope.set_manifest(ManifestBytes());
    for (const TestKey& key : keys) *envelope.add_signatures() = key.Sign(envelope.manifest());
    for (const auto& signature : more_signatures) *envelope.add_signatures() = signature;
    return Frame(envelope.SerializeAsString(), format);
  }

  std::string FileBytes() const {
    std::string file = HeaderBytes();
    file.resize(Padded(file.size()), '\0');
    for (const std::string& part : parts) {
      file += part;
      file.resize(Padded(file.size()), '\0');
    }
    return file;
  }

  static std::string Frame(absl::string_view envelope, uint32_t format = 1) {
    std::string bytes = "STELEIMG";
    for (uint32_t number : {format, static_cast<uint32_t>(envelope.size())}) {
      for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(number >> shift));
    }
    return absl::StrCat(bytes, envelope);
  }

  // Bytes that do not repeat, the same in every run.
  static std::string Noise(size_t size, uint64_t seed) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      byte = static_cast<char>(seed >> 56);
    }
    return bytes;
  }
};

}  // namespace stele::image_file
