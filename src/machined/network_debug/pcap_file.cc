#include "machined/network_debug/pcap_file.h"

#include <cstring>

namespace stele::machined {
namespace {

constexpr uint32_t kNanosecondMagic = 0xa1b23c4d;

struct FileHeader {
  uint32_t magic = kNanosecondMagic;
  uint16_t major = 2, minor = 4;
  uint32_t zone = 0, accuracy = 0;
  uint32_t snap_length = 0, link = 0;
};
static_assert(sizeof(FileHeader) == kPcapHeaderSize);

struct RecordHeader {
  uint32_t seconds, nanoseconds;
  uint32_t kept, original;
};
static_assert(sizeof(RecordHeader) == kPcapRecordSize);

}  // namespace

std::string PcapHeader(LinkType link, uint32_t snap_length) {
  FileHeader header;
  header.snap_length = snap_length;
  header.link = static_cast<uint32_t>(link);
  return std::string(reinterpret_cast<const char*>(&header), sizeof header);
}

void PutPcapRecord(timespec time, uint32_t kept, uint32_t original, char* out) {
  RecordHeader header = {static_cast<uint32_t>(time.tv_sec), static_cast<uint32_t>(time.tv_nsec), kept, original};
  std::memcpy(out, &header, sizeof header);
}

}  // namespace stele::machined
