#include "base/idle_pages.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace stele {
namespace {

int UnmapCleanPages(dl_phdr_info* object, size_t, void*) {
  uintptr_t page = ::sysconf(_SC_PAGESIZE);
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = object->dlpi_phdr[i];
    // Writable segments hold relocated data, which would be lost; the others are as they are on disk.
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) & ~(page - 1);
    uintptr_t end = (object->dlpi_addr + segment.p_vaddr + segment.p_memsz) & ~(page - 1);
    if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }
  return 0;
}

}  // namespace

void GiveIdlePagesBack() {
  ::malloc_trim(0);
  ::dl_iterate_phdr(UnmapCleanPages, nullptr);
}

}  // namespace stele
