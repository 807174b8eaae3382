#include "machined/network_debug/resolve.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "base/file.h"
#include "machined/network_debug/dns_exchange.h"
#include "machined/network_debug/request_bounds.h"
#include "machined/proto_time.h"
#include "machined/uptime.h"

namespace stele::machined {
namespace {

using machine::v1::IpFamily;
using machine::v1::ResolveQuery;
using machine::v1::ResolveRequest;
using machine::v1::ResolveResponse;

constexpr DurationBounds kTimeout = {"timeout", absl::Milliseconds(10), absl::Seconds(10), absl::Seconds(2)};
constexpr absl::Duration kLongest = absl::Seconds(30);  // of one call, whatever the lists say
constexpr size_t kMaxHost = 255;

struct TypeName {
  DnsType type;
  const char* name;
};

std::vector<TypeName> TypesOf(IpFamily family) {
  std::vector<TypeName> types;
  if (family != machine::v1::IP_FAMILY_IPV6) types.push_back({DnsType::kA, "A"});
  if (family != machine::v1::IP_FAMILY_IPV4) types.push_back({DnsType::kAaaa, "AAAA"});
  return types;
}

bool Fits(const SocketAddress& address, IpFamily family) {
  if (family == machine::v1::IP_FAMILY_IPV4) return address.family() == AF_INET;
  if (family == machine::v1::IP_FAMILY_IPV6) return address.family() == AF_INET6;
  return true;
}

class Lookup {
 public:
  Lookup(const ResolveRequest& request, absl::Duration timeout, Resolver resolver, std::string hosts, const Stop& stop)
      : request_(request),
        timeout_(timeout),
        resolver_(std::move(resolver)),
        hosts_(std::move(hosts)),
        stop_(stop),
        end_(Uptime() + kLongest) {}

  absl::StatusOr<ResolveResponse> Run() {
    absl::StatusOr<SocketAddress> address = ParseAddress(request_.name(), 0);
    RETURN_IF_ERROR(address.ok() ? NamesOf(*address) : AddressesOf(request_.name()));
    return std::move(response_);
  }

 private:
  // A server that was asked for is asked: then nothing else is looked at.
  bool asks_hosts() const { return request_.server().empty(); }

  absl::Status NamesOf(const SocketAddress& address) {
    if (asks_hosts()) {
      for (const std::string& name : HostsNames(hosts_, address)) response_.add_answers(name);
      if (response_.answers_size() > 0) return FromHosts(request_.name(), "PTR");
    }
    return Ask(ReverseName(address.bytes()), {DnsType::kPtr, "PTR"}).status();
  }

  absl::Status AddressesOf(const std::string& name) {
    if (asks_hosts()) {
      for (const SocketAddress& address : HostsAddresses(hosts_, name)) {
        if (Fits(address, request_.family())) response_.add_answers(address.Text());
      }
      if (response_.answers_size() > 0)
        return FromHosts(name, request_.family() == machine::v1::IP_FAMILY_IPV6 ? "AAAA" : "A");
    }
    for (const std::string& candidate : CandidatesOf(name, resolver_)) {
      bool silent = true;
      for (const TypeName& type : TypesOf(request_.family())) {
        absl::StatusOr<int> code = Ask(candidate, type);
        if (!code.ok()) return code.status();
        if (*code >= 0) silent = false;
        if (*code == kNxDomain) break;  // of any type
      }
      // Nobody answers: asking for the next name would only take longer.
      if (silent || response_.answers_size() > 0) break;
    }
    return absl::OkStatus();
  }

  absl::Status FromHosts(const std::string& name, const char* type) {
    ResolveQuery* query = response_.add_queries();
    query->set_name(name);
    query->set_type(type);
    query->set_server("/etc/hosts");
    query->set_code("NOERROR");
    return absl::OkStatus();
  }

  // One question to one server after the other until one answers; what it said, -1 when none did.
  absl::StatusOr<int> Ask(const std::string& name, const TypeName& type) {
    if (resolver_.servers.empty()) {
      return absl::FailedPreconditionError(
          "no name server is configured, nor known from DHCP: see `osctl get resolvers`");
    }
    for (size_t i = 0; i < resolver_.servers.size(); ++i) {
      if (silent_.size() < resolver_.servers.size() && IsSilent(i)) continue;
      absl::Duration began = Uptime();
      if (began >= end_) break;
      absl::StatusOr<DnsReply> reply =
          AskDns(resolver_.servers[i], name, type.type, std::min(began + timeout_, end_), stop_);
      if (absl::IsCancelled(reply.status()) || absl::IsInvalidArgument(reply.status())) return reply.status();
      ResolveQuery* query = response_.add_queries();
      query->set_name(name);
      query->set_type(type.name);
      query->set_server(resolver_.servers[i].TextWithPort());
      SetDuration(Uptime() - began, query->mutable_duration());
      if (!reply.ok()) {
        query->set_message(absl::IsDeadlineExceeded(reply.status())
                               ? absl::StrCat("no answer within ", absl::FormatDuration(timeout_))
                               : std::string(reply.status().message()));
        if (!IsSilent(i)) silent_.push_back(i);
        continue;
      }
      Fill(*reply, type.type, query);
      // Another server may know better than one that cannot say.
      if (reply->answer.code == kNoError || reply->answer.code == kNxDomain) return reply->answer.code;
    }
    return -1;
  }

  bool IsSilent(size_t server) const { return std::find(silent_.begin(), silent_.end(), server) != silent_.end(); }

  void Fill(const DnsReply& reply, DnsType type, ResolveQuery* query) {
    query->set_code(DnsCodeName(reply.answer.code));
    query->set_tcp(reply.tcp);
    for (const DnsAnswer::Record& record : reply.answer.records) {
      auto* out = query->add_records();
      out->set_name(record.name);
      out->set_type(DnsTypeName(record.type));
      out->set_ttl(record.ttl);
      out->set_data(record.data);
      if (record.type == static_cast<uint16_t>(type)) response_.add_answers(record.data);
    }
  }

  const ResolveRequest& request_;
  const absl::Duration timeout_;
  const Resolver resolver_;
  const std::string hosts_;
  const Stop& stop_;
  const absl::Duration end_;
  std::vector<size_t> silent_;  // servers that did not answer; asked again only when all are
  ResolveResponse response_;
};

// Whether the node knows a way there; nothing is sent.
bool HasRoute(const SocketAddress& to, const Source& source) {
  UniqueFd fd(::socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  SocketAddress port = to;
  if (port.port() == 0) port.set_port(9);
  return fd.ok() && source.Apply(fd.get(), to.family()).ok() && ::connect(fd.get(), port.get(), port.size) == 0;
}

absl::Status WhyNone(const std::string& host, const ResolveResponse& response) {
  std::vector<std::string> silent;
  bool answered = false;
  for (const ResolveQuery& query : response.queries()) {
    if (query.code() == "NOERROR" || query.code() == "NXDOMAIN") answered = true;
    silent.push_back(absl::StrCat(query.server(), ": ", query.code().empty() ? query.message() : query.code()));
  }
  if (answered)
    return absl::NotFoundError(absl::StrCat(host, ": the name has no such address; see `osctl resolve ", host, "`"));
  return absl::UnavailableError(absl::StrCat(host, ": no name server tells: ", absl::StrJoin(silent, ", ")));
}

}  // namespace

absl::StatusOr<ResolveResponse> Resolve(const ResolveRequest& request, const ResolverFiles& files, const Stop& stop) {
  if (request.name().empty() || request.name().size() > kMaxHost) {
    return absl::InvalidArgumentError("name must have between 1 and 255 bytes");
  }
  ASSIGN_OR_RETURN(absl::Duration timeout, Bounded(request.has_timeout(), request.timeout(), kTimeout));
  // Either may be missing: then it says nothing.
  Resolver resolver = ParseResolvConf(ReadFile(files.resolv_conf).value_or(""));
  if (!request.server().empty()) {
    absl::StatusOr<SocketAddress> server = ParseAddress(request.server(), 53);
    if (!server.ok()) {
      ASSIGN_OR_RETURN(HostPort parts, ParseHostPort(request.server(), 53));
      server = ParseAddress(parts.host, parts.port);
    }
    if (!server.ok()) return Annotate(server.status(), "server");
    resolver.servers = {*server};
  }
  return Lookup(request, timeout, std::move(resolver), ReadFile(files.hosts).value_or(""), stop).Run();
}

absl::StatusOr<SocketAddress> FindHost(const std::string& host, uint16_t port, IpFamily family, const Source& source,
                                       const ResolverFiles& files, const Stop& stop) {
  if (family == machine::v1::IP_FAMILY_UNSPECIFIED && source.family() != AF_UNSPEC) {
    family = source.family() == AF_INET ? machine::v1::IP_FAMILY_IPV4 : machine::v1::IP_FAMILY_IPV6;
  }
  absl::StatusOr<SocketAddress> literal = ParseAddress(host, port);
  if (absl::IsNotFound(literal.status())) return literal.status();  // its interface is not there
  if (literal.ok()) {
    if (Fits(*literal, family)) return literal;
    return absl::InvalidArgumentError(absl::StrCat(host, " is of the other IP family than was asked for"));
  }
  ResolveRequest request;
  request.set_name(host);
  request.set_family(family);
  absl::StatusOr<ResolveResponse> response = Resolve(request, files, stop);
  if (!response.ok()) return response.status();
  std::vector<SocketAddress> addresses;
  for (const std::string& text : response->answers()) {
    absl::StatusOr<SocketAddress> address = ParseAddress(text, port);
    if (address.ok()) addresses.push_back(*address);
  }
  if (addresses.empty()) return WhyNone(host, *response);
  std::stable_partition(addresses.begin(), addresses.end(),
                        [](const SocketAddress& address) { return address.family() == AF_INET6; });
  for (const SocketAddress& address : addresses) {
    if (HasRoute(address, source)) return address;
  }
  return addresses.front();
}

}  // namespace stele::machined
