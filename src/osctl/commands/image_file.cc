// osctl image inspect|verify: a Stele image file, looked at on this machine. No node is asked.
#include <memory>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "image_file/reader.h"
#include "image_file/signature.h"
#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/output/format.h"
#include "osctl/output/humanize.h"
#include "osctl/output/progress.h"
#include "osctl/output/table.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using image_file::Header;
using image_file::PartName;
using image_file::Reader;
using image_file::TrustedKeys;

std::string Hex(absl::string_view bytes) { return absl::BytesToHexString(bytes); }
Value Number(uint64_t number) { return Value::String(absl::StrCat(number)); }  // 64 bits, as proto JSON has them

// Hashes in hex, as every other tool prints them; names as in the proto.
Value HeaderValue(const Header& header) {
  const auto& manifest = header.manifest;
  Value parts = Value::List(), signatures = Value::List();
  for (int i = 0; i < header.part_count(); ++i) {
    const auto& part = header.part(i);
    parts.Append(Value::Map()
                     .Add("kind", Value::String(PartName(part.kind())))
                     .Add("offset", Number(header.offsets[i]))
                     .Add("size", Number(part.size()))
                     .Add("sha256", Value::String(Hex(part.sha256()))));
  }
  for (const auto& signature : header.signatures) {
    signatures.Append(Value::Map().Add("keyId", Value::String(Hex(signature.key_id()))));
  }
  Value verity = Value::Map()
                     .Add("rootHash", Value::String(Hex(manifest.verity().root_hash())))
                     .Add("salt", Value::String(Hex(manifest.verity().salt())))
                     .Add("dataBlocks", Number(manifest.verity().data_blocks()));
  return Value::Map()
      .Add("version", Value::String(manifest.version()))
      .Add("architecture", Value::String(manifest.architecture()))
      .Add("buildId", Value::String(manifest.build_id()))
      .Add("minimumVersion", Value::String(manifest.minimum_version()))
      .Add("sbomSha256", Value::String(Hex(manifest.sbom_sha256())))
      .Add("size", Number(header.total_size))
      .Add("verity", std::move(verity))
      .Add("chunkSize", Value::Literal(absl::StrCat(manifest.chunk_size())))
      .Add("parts", std::move(parts))
      .Add("signatures", std::move(signatures));
}

std::string HeaderText(const Header& header) {
  const auto& manifest = header.manifest;
  std::string keys = absl::StrJoin(
      header.signatures, ", ", [](std::string* out, const auto& signature) { out->append(Hex(signature.key_id())); });
  std::string after = manifest.minimum_version();
  std::string out = absl::StrCat(
      "Version:       ", manifest.version(), "\nArchitecture:  ", manifest.architecture(),
      "\nBuild:         ", manifest.build_id().empty() ? "-" : manifest.build_id(),
      "\nUpgrades from: ", after.empty() ? "any version" : absl::StrCat(after, " or later"),
      "\nSize:          ", HumanBytes(header.total_size), "\nRoot hash:     ", Hex(manifest.verity().root_hash()),
      "\nSBOM SHA-256:  ", manifest.sbom_sha256().empty() ? "-" : Hex(manifest.sbom_sha256()),
      "\nSigned by key: ", keys.empty() ? "nobody" : keys, "\n\n");
  Table table({"PART", "SIZE", "OFFSET", "SHA-256"});
  for (int i = 0; i < header.part_count(); ++i) {
    const auto& part = header.part(i);
    table.AddRow({PartName(part.kind()), HumanBytes(part.size()), absl::StrCat(header.offsets[i]), Hex(part.sha256())});
  }
  return out + table.Render();
}

// Whatever is wrong with a file here is exit code 8.
absl::Status AsLocal(const absl::Status& status, absl::string_view next = "") {
  return status.ok() ? status : WithExit(status, ExitCode::kLocal, next);
}

ExitCode Inspect(Session& session, const std::string& path, const std::string& output) {
  absl::StatusOr<Reader> reader = Reader::Open(path);
  if (!reader.ok()) return session.Report("", AsLocal(Annotate(reader.status(), "image inspect")));
  session.console().Out(IsStructured(output) ? Structured(HeaderValue(reader->header()), output)
                                             : HeaderText(reader->header()));
  return ExitCode::kOk;
}

absl::Status VerifyBytes(const Reader& reader, Console& console) {
  const Header& header = reader.header();
  RETURN_IF_ERROR(reader.CheckPadding());
  Progress progress(console);
  progress.Begin("", "verifies", 0, header.total_size);
  for (int i = 0; i < header.part_count(); ++i) {
    RETURN_IF_ERROR(reader.ReadPart(i, [&](uint64_t offset, absl::string_view chunk) {
      progress.Set("", header.offsets[i] + offset + chunk.size());
      return absl::OkStatus();
    }));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Verify(Session& session, const std::string& path, const std::vector<std::string>& keys) {
  ASSIGN_OR_RETURN(TrustedKeys trusted, TrustedKeys::LoadFiles(keys));
  ASSIGN_OR_RETURN(Reader reader, Reader::Open(path));
  const Header& header = reader.header();
  absl::StatusOr<std::string> signer = trusted.Verify(header.manifest_bytes, header.signatures);
  if (!signer.ok()) return Annotate(signer.status(), path);
  absl::Status bytes = VerifyBytes(reader, session.console());
  if (!bytes.ok()) return Annotate(bytes, path);
  return absl::StrCat(path, ": good: version ", header.manifest.version(), " for ", header.manifest.architecture(),
                      ", ", HumanBytes(header.total_size), ", signed by ", *signer, "\n");
}

}  // namespace

Command InspectImageCommand() {
  auto path = std::make_shared<std::string>();
  auto output = std::make_shared<std::string>("table");
  Command command;
  command.name = "inspect";
  command.summary = "shows what a Stele image file says of itself";
  command.description =
      "Reads the header and nothing else, on this machine: it believes the file. `osctl image verify` does not.\n"
      "A file that is damaged in a way that shows here, or is no image, ends with exit code 8.";
  command.arguments = {
      {"", "FILE", "the image file", path.get(), Presence::kRequired, Completion::kFile},
      OutputArgument(output.get(), {"table", "json", "yaml"}),
  };
  command.run = [path, output](Session& session) { return Inspect(session, *path, *output); };
  return command;
}

Command VerifyImageCommand() {
  auto path = std::make_shared<std::string>();
  auto keys = std::make_shared<std::vector<std::string>>();
  Command command;
  command.name = "verify";
  command.summary = "checks a Stele image file: its signature, and every byte of it";
  command.description =
      "On this machine, as a node does before it takes the file. Ends with 0 when one of the keys signed it and\n"
      "all of it is there; with 8 otherwise, and a line that names the part and the offset of what is wrong.";
  command.arguments = {
      {"", "FILE", "the image file", path.get(), Presence::kRequired, Completion::kFile},
      {"--key", "PEM", "a public key to trust, Ed25519 or P-256", keys.get(), Presence::kRequired, Completion::kFile},
  };
  command.run = [path, keys](Session& session) {
    absl::StatusOr<std::string> good = Verify(session, *path, *keys);
    if (!good.ok()) return session.Report("", AsLocal(Annotate(good.status(), "image verify")));
    session.console().Out(*good);
    return ExitCode::kOk;
  };
  return command;
}

}  // namespace stele::osctl
