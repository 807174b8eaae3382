// What a lab's UKI runs: an EFI program, freestanding and position independent, that tells the serial line which image
// it is and whether all of it was loaded, then powers the machine off, or resets it as a kernel does that panics.
// lab_image.py compiles it to a flat binary and wraps that into a PE file.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

// Filled in by lab_image.py, at the start of the section behind the code.
struct Facts {
  u64 magic;
  u64 padding_offset;  // from this struct
  u64 padding_size;
  u64 padding_sum;  // of the padding's 64-bit words
  u64 reset;        // 0: power off; 1: reset, as after a panic
  char name[24];
};

static void Put(u8 value) {
  u8 status;
  do {
    __asm__ volatile("inb %1, %0" : "=a"(status) : "Nd"((unsigned short)0x3fd));
  } while (!(status & 0x20));
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"((unsigned short)0x3f8));
}

static void Print(const char* text) {
  while (*text) Put((u8)*text++);
}

// EFI_RUNTIME_SERVICES.ResetSystem: behind the 24-byte table header and ten functions. The system table keeps the
// runtime services at 88.
typedef void (*ResetSystem)(u32 type, u64 status, u64 size, void* data) __attribute__((ms_abi));

__attribute__((ms_abi, section(".text.entry"))) u64 Entry(void* image, u8* system_table) {
  extern struct Facts facts __attribute__((visibility("hidden")));
  struct Facts* f = &facts;
  (void)image;
  u64 sum = 0;
  const u64* words = (const u64*)((const u8*)f + f->padding_offset);
  for (u64 i = 0; i < f->padding_size / 8; ++i) sum = sum * 31 + words[i];
  Print("\r\nLAB-IMAGE ");
  Print(f->name);
  Print(sum == f->padding_sum ? " whole\r\n" : " torn\r\n");
  ResetSystem reset = *(ResetSystem*)(*(u8**)(system_table + 88) + 24 + 10 * 8);
  reset(f->reset ? 0 : 2, 0, 0, (void*)0);
  for (;;) __asm__ volatile("hlt");
}
