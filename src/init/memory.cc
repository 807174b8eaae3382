#include "init/memory.h"

#include <link.h>
#include <malloc.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#include <cstdint>

namespace stele::init {

void ReleaseMemory() {
  ::malloc_trim(0);
  auto headers = reinterpret_cast<const ElfW(Phdr)*>(::getauxval(AT_PHDR));
  for (unsigned long i = 0; headers != nullptr && i < ::getauxval(AT_PHNUM); ++i) {
    if (headers[i].p_type != PT_LOAD || (headers[i].p_flags & PF_W) != 0) continue;
    uintptr_t begin = headers[i].p_vaddr & ~uintptr_t{4095};  // static and not relocated: as linked
    uintptr_t end = (headers[i].p_vaddr + headers[i].p_memsz) & ~uintptr_t{4095};
    if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
}

}  // namespace stele::init
