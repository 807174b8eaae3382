#include "machined/providers/provider_reads.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace stele::machined {
namespace {

constexpr size_t kMaxAsked = 256;

}  // namespace

void ProviderReads::Read(const Provider& provider, Then then) {
  loop_.Post([this, &provider, then = std::move(then)]() mutable {
    Asked& asked = asked_[&provider];
    if (asked.next.size() >= kMaxAsked) {
      return then(absl::ResourceExhaustedError(
          absl::StrCat(provider.type, " are being read for others, and that takes long: a device does not answer?")));
    }
    asked.next.push_back(std::move(then));
    if (asked.reading.empty()) Begin(provider);
  });
}

void ProviderReads::Begin(const Provider& provider) {
  Asked& asked = asked_[&provider];
  asked.reading = std::exchange(asked.next, {});
  workers_.Add([this, &provider] {
    auto result = std::make_shared<Result>(provider.read());
    loop_.Post([this, &provider, result] { End(provider, *result); });
  });
}

void ProviderReads::End(const Provider& provider, const Result& result) {
  Asked& asked = asked_[&provider];
  // While they are told, others may ask: those wait for the next reading.
  for (const Then& then : asked.reading) then(result);
  asked.reading.clear();
  if (!asked.next.empty()) Begin(provider);
}

}  // namespace stele::machined
