// Reads of providers, apart from the node's own work: however many ask, and however long a disk does not answer, what
// the node itself has to do waits for none of it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "machined/owner_loop.h"
#include "machined/providers/provider.h"
#include "machined/worker_pool.h"

namespace stele::machined {

class ProviderReads {
 public:
  using Result = absl::StatusOr<Provided>;
  using Then = std::function<void(const Result&)>;

  explicit ProviderReads(OwnerLoop& loop) : loop_(loop) {}

  // From any thread: `then` gets a reading that began after this call, on the owner thread. A type is read once at a
  // time: all who asked meanwhile share the next reading; RESOURCE_EXHAUSTED where those are more than 256.
  void Read(const Provider& provider, Then then);

 private:
  struct Asked {
    std::vector<Then> reading;
    std::vector<Then> next;
  };
  void Begin(const Provider& provider);
  void End(const Provider& provider, const Result& result);

  OwnerLoop& loop_;
  std::map<const Provider*, Asked> asked_;  // owner thread only
  // More than one, so that one type whose disk hangs does not keep the others.
  WorkerPool workers_{3};  // last: its threads end before what they use
};

}  // namespace stele::machined
