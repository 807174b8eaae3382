// osctl context list|use|show|add|remove: the file of contexts.
#include <unistd.h>

#include <map>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "base/file.h"
#include "osctl/client/address.h"
#include "osctl/commands/commands.h"
#include "osctl/failure.h"
#include "osctl/output/format.h"
#include "osctl/output/humanize.h"
#include "osctl/output/table.h"
#include "osctl/pki.h"
#include "osctl/session.h"

namespace stele::osctl {
namespace {

using stele::config::v1::ClientConfig;
using stele::config::v1::ClientContext;

struct Loaded {
  std::string path;
  ClientConfig config;
};

absl::StatusOr<Loaded> Load(Session& session) {
  Loaded loaded;
  ASSIGN_OR_RETURN(loaded.path, ContextPath(session.getenv()));
  ASSIGN_OR_RETURN(loaded.config, LoadContexts(loaded.path));
  return loaded;
}

ExitCode Finish(Session& session, absl::string_view doing, const absl::Status& status) {
  return status.ok() ? ExitCode::kOk : session.Report("", Annotate(status, doing));
}

absl::Status List(Session& session, const std::string& output) {
  ASSIGN_OR_RETURN(Loaded loaded, Load(session));
  if (IsStructured(output)) {
    session.console().Out(Structured(FromProto(loaded.config, Defaults::kOmit), output));
    return absl::OkStatus();
  }
  if (output == "name") {
    for (const ClientContext& context : loaded.config.contexts()) session.console().Out(context.name() + "\n");
    return absl::OkStatus();
  }
  Table table({"CURRENT", "NAME", "NODES", "ENDPOINTS"});
  for (const ClientContext& context : loaded.config.contexts()) {
    table.AddRow({context.name() == loaded.config.current_context() ? "*" : " ", context.name(),
                  absl::StrCat(context.nodes_size() + context.endpoints_size()),
                  absl::StrJoin(context.endpoints(), ",")});
  }
  session.console().Out(table.Render());
  return absl::OkStatus();
}

// Those of -n, else all: who would be spoken to. Asks nobody.
absl::Status Nodes(Session& session, const std::string& output) {
  ASSIGN_OR_RETURN(Loaded loaded, Load(session));
  ASSIGN_OR_RETURN(ClientContext context, SelectContext(loaded.config, session.options().context, loaded.path));
  std::vector<std::string> wanted = session.options().nodes;
  if (wanted.empty()) wanted = {"all"};
  ASSIGN_OR_RETURN(std::vector<Target> targets, ChooseTargets(context, wanted));
  std::map<std::string, std::map<std::string, std::string>> labels;
  for (const auto& node : context.nodes()) labels[node.name()] = {node.labels().begin(), node.labels().end()};
  Table table({"NAME", "ADDRESS", "CLASSES", "LABELS"});
  Value items = Value::List();
  for (const Target& target : targets) {
    if (output == "name") session.console().Out(target.name + "\n");
    std::vector<std::string> classes;
    bool in_inventory = labels.count(target.name) != 0;
    for (const auto& group : context.classes()) {
      absl::StatusOr<bool> fits = LabelsFit(group.selector(), labels[target.name]);
      if (in_inventory && fits.ok() && *fits) classes.push_back(group.name());
    }
    table.AddRow({target.name, target.address, absl::StrJoin(classes, ","),
                  absl::StrJoin(labels[target.name], ",", absl::PairFormatter("="))});
    Value names = Value::List(), pairs = Value::Map();
    for (const std::string& name : classes) names.Append(Value::String(name));
    for (const auto& [key, value] : labels[target.name]) pairs.Add(key, Value::String(value));
    items.Append(Value::Map()
                     .Add("name", Value::String(target.name))
                     .Add("address", Value::String(target.address))
                     .Add("classes", std::move(names))
                     .Add("labels", std::move(pairs)));
  }
  if (output == "table") session.console().Out(table.Render());
  if (IsStructured(output)) session.console().Out(Structured(Value::Map().Add("items", std::move(items)), output));
  return absl::OkStatus();
}

absl::Status Use(Session& session, const std::string& name) {
  ASSIGN_OR_RETURN(Loaded loaded, Load(session));
  RETURN_IF_ERROR(SelectContext(loaded.config, name, loaded.path).status());
  loaded.config.set_current_context(name);
  return SaveContexts(loaded.path, loaded.config);
}

absl::Status Show(Session& session, const std::string& name, const std::string& output) {
  ASSIGN_OR_RETURN(Loaded loaded, Load(session));
  ASSIGN_OR_RETURN(ClientContext context,
                   SelectContext(loaded.config, name.empty() ? session.options().context : name, loaded.path));
  ASSIGN_OR_RETURN(ClientKeys keys, LoadKeys(context, loaded.path));
  absl::StatusOr<CertificateInfo> info = ReadCertificate(keys.certificate);
  if (!info.ok()) return LocalError(absl::StrCat("certificate: ", info.status().message()), "mend the context");
  Value value = Value::Map();
  value.Add("name", Value::String(context.name()));
  value.Add("file", Value::String(loaded.path));
  Value endpoints = Value::List();
  for (const std::string& endpoint : context.endpoints()) endpoints.Append(Value::String(endpoint));
  value.Add("endpoints", std::move(endpoints));
  if (!context.server_name().empty()) value.Add("serverName", Value::String(context.server_name()));
  value.Add("user", Value::String(info->common_name));
  value.Add("role", Value::String(info->organization));
  value.Add("notBefore", Value::String(Rfc3339(info->validity.not_before)));
  value.Add("notAfter", Value::String(Rfc3339(info->validity.not_after)));
  session.console().Out(Structured(value, output));
  if (info->validity.not_after < absl::Now()) session.console().Err("the certificate has expired\n");
  return absl::OkStatus();
}

struct AddOptions {
  std::string name;
  std::vector<std::string> endpoints;
  std::string ca;
  std::string certificate;
  std::string key;
  std::string from;
  bool embed = false;
};

// What goes into the file for a key's file: its text, or its path from the root.
absl::StatusOr<std::string> KeyEntry(const std::string& path, bool embed) {
  absl::StatusOr<std::string> pem = ReadFile(path);
  if (!pem.ok()) return WithExit(pem.status(), ExitCode::kLocal);
  if (embed) return pem;
  std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  if (real == nullptr) return WithExit(ErrnoStatus("find ", path), ExitCode::kLocal);
  return std::string(real.get());
}

absl::StatusOr<ClientContext> FromFile(const AddOptions& options) {
  ASSIGN_OR_RETURN(ClientConfig other, LoadContexts(options.from));
  ASSIGN_OR_RETURN(ClientContext context, SelectContext(other, options.name, options.from));
  // Its paths are relative to the other file: the keys come along as text.
  ASSIGN_OR_RETURN(ClientKeys keys, LoadKeys(context, options.from));
  context.set_ca(keys.ca);
  context.set_certificate(keys.certificate);
  context.set_key(keys.key);
  return context;
}

absl::StatusOr<ClientContext> FromFlags(const AddOptions& options) {
  if (options.ca.empty() || options.certificate.empty() || options.key.empty()) {
    return UsageError("--ca, --certificate and --key, or --from, are needed");
  }
  ClientContext context;
  context.set_name(options.name);
  ASSIGN_OR_RETURN(*context.mutable_ca(), KeyEntry(options.ca, options.embed));
  ASSIGN_OR_RETURN(*context.mutable_certificate(), KeyEntry(options.certificate, options.embed));
  ASSIGN_OR_RETURN(*context.mutable_key(), KeyEntry(options.key, options.embed));
  return context;
}

absl::Status Add(Session& session, const AddOptions& options) {
  for (const std::string& endpoint : options.endpoints) RETURN_IF_ERROR(ParseAddress(endpoint).status());
  ASSIGN_OR_RETURN(ClientContext context, options.from.empty() ? FromFlags(options) : FromFile(options));
  if (!options.endpoints.empty()) context.clear_endpoints();
  for (const std::string& endpoint : options.endpoints) context.add_endpoints(endpoint);
  if (!session.options().server_name.empty()) context.set_server_name(session.options().server_name);
  ASSIGN_OR_RETURN(Loaded loaded, Load(session));
  ASSIGN_OR_RETURN(ClientKeys keys, LoadKeys(context, loaded.path));
  absl::Status pair = CheckKeyPair({keys.certificate, keys.key});
  if (!pair.ok()) return LocalError(pair.message(), "nothing was changed");
  PutContext(&loaded.config, std::move(context));
  return SaveContexts(loaded.path, loaded.config);
}

absl::Status Remove(Session& session, const std::string& name) {
  ASSIGN_OR_RETURN(Loaded loaded, Load(session));
  RETURN_IF_ERROR(SelectContext(loaded.config, name, loaded.path).status());
  auto* contexts = loaded.config.mutable_contexts();
  for (int i = contexts->size() - 1; i >= 0; --i) {
    if (contexts->Get(i).name() == name) contexts->DeleteSubrange(i, 1);
  }
  if (loaded.config.current_context() == name) loaded.config.clear_current_context();
  return SaveContexts(loaded.path, loaded.config);
}

Argument NameArgument(std::string* name, Presence presence) {
  return {"", "NAME", "the context", name, presence, Completion::kContext};
}

Command ListPart() {
  auto output = std::make_shared<std::string>("table");
  Command command{"list", "lists the contexts"};
  command.arguments = {OutputArgument(output.get(), {"table", "json", "yaml", "name"})};
  command.run = [output](Session& s) { return Finish(s, "context list", List(s, *output)); };
  return command;
}

Command NodesPart() {
  auto output = std::make_shared<std::string>("table");
  Command command{"nodes", "lists the nodes of the context, or those that -n means; asks none of them",
                  "  osctl context nodes -n @workers"};
  command.arguments = {OutputArgument(output.get(), {"table", "json", "yaml", "name"})};
  command.run = [output](Session& s) { return Finish(s, "context nodes", Nodes(s, *output)); };
  return command;
}

Command UsePart() {
  auto name = std::make_shared<std::string>();
  Command command{"use", "makes a context the current one"};
  command.arguments = {NameArgument(name.get(), Presence::kRequired)};
  command.run = [name](Session& s) { return Finish(s, "context use", Use(s, *name)); };
  return command;
}

Command ShowPart() {
  auto name = std::make_shared<std::string>();
  auto output = std::make_shared<std::string>("yaml");
  Command command{"show", "shows a context, and whom its certificate names; default: the current one"};
  command.arguments = {NameArgument(name.get(), Presence::kOptional), OutputArgument(output.get(), {"yaml", "json"})};
  command.run = [name, output](Session& s) { return Finish(s, "context show", Show(s, *name, *output)); };
  return command;
}

Command AddPart() {
  auto o = std::make_shared<AddOptions>();
  Command command{"add", "adds a context, or replaces the one of that name",
                  "--server-name is stored with it, where the nodes' certificates carry another name than is dialled."};
  command.arguments = {
      NameArgument(&o->name, Presence::kRequired),
      {"--endpoint", "HOST[:PORT]", "a node", &o->endpoints},
      {"--ca", "FILE", "the CA that signed the nodes' certificates", &o->ca, Presence::kOptional, Completion::kFile},
      {"--certificate", "FILE", "the client's certificate", &o->certificate, Presence::kOptional, Completion::kFile},
      {"--key", "FILE", "its private key", &o->key, Presence::kOptional, Completion::kFile},
      {"--embed", "", "stores the keys themselves instead of their paths", &o->embed},
      {"--from", "FILE", "copies the context NAME, with its keys, from a file that `osctl gen node` made", &o->from,
       Presence::kOptional, Completion::kFile},
  };
  command.run = [o](Session& s) { return Finish(s, "context add", Add(s, *o)); };
  return command;
}

Command RemovePart() {
  auto name = std::make_shared<std::string>();
  Command command{"remove", "removes a context; its key files stay"};
  command.arguments = {NameArgument(name.get(), Presence::kRequired)};
  command.run = [name](Session& s) { return Finish(s, "context remove", Remove(s, *name)); };
  return command;
}

}  // namespace

Command ContextCommand() {
  Command command{"context", "lists, chooses and edits contexts: nodes and the keys for them"};
  command.subcommands = {ListPart(), NodesPart(), UsePart(), ShowPart(), AddPart(), RemovePart()};
  return command;
}

}  // namespace stele::osctl
