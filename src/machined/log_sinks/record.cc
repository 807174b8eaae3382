#include "machined/log_sinks/record.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace stele::machined {
namespace {

constexpr char kReplacement[] = "\xef\xbf\xbd";
// Facility and severity in one number: daemon.info, and kern.info for the kernel's own.
constexpr int kDaemonInfo = 3 * 8 + 6, kKernelInfo = 0 * 8 + 6;

// Bytes of the UTF-8 character that `text` begins with; 0 for what is none.
size_t CharacterAt(absl::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char first = byte(0);
  size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (size == 0 || size > text.size()) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Longer than need be, surrogates, beyond U+10FFFF.
  bool wrong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
               (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f);
  return wrong ? 0 : size;
}

// `text` as UTF-8, with what `escape` makes of a character of one byte where it makes something.
template <typename Escape>
std::string Clean(absl::string_view text, const Escape& escape) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    size_t size = CharacterAt(text);
    if (size == 0) out += kReplacement;
    if (size == 1) escape(text[0], out);
    if (size > 1) out.append(text.data(), size);
    text.remove_prefix(size == 0 ? 1 : size);
  }
  return out;
}

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"",
                      Clean(text,
                            [](char c, std::string& out) {
                              if (c == '"' || c == '\\') out += '\\';
                              if (c == '\t') {
                                out += "\\t";
                              } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
                                absl::StrAppend(&out, "\\u", absl::Hex(static_cast<unsigned char>(c), absl::kZeroPad4));
                              } else {
                                out += c;
                              }
                            }),
                      "\"");
}

std::string Json(const RecordOrigin& origin, absl::Time time, absl::string_view message) {
  std::string when = "null";
  if (time != absl::InfinitePast()) {
    when = absl::FormatTime("\"%Y-%m-%d%ET%H:%M:%E9SZ\"", time, absl::UTCTimeZone());
  }
  return absl::StrCat("{\"time\":", when, ",\"host\":", Quoted(origin.host), ",\"boot\":", Quoted(origin.boot_id),
                      ",\"source\":", Quoted(origin.source), ",\"message\":", Quoted(message), "}\n");
}

// A header's field: printable ASCII without blanks, "-" for none.
std::string Field(absl::string_view text, size_t most) {
  std::string field(text.substr(0, most));
  for (char& c : field) c = c > ' ' && c < 0x7f ? c : '?';
  return field.empty() ? "-" : field;
}

std::string Syslog(const RecordOrigin& origin, absl::Time time, absl::string_view message) {
  std::string when = "-";
  // At most six digits of a second.
  if (time != absl::InfinitePast()) when = absl::FormatTime("%Y-%m-%d%ET%H:%M:%E6SZ", time, absl::UTCTimeZone());
  std::string text = Clean(
      message, [](char c, std::string& out) { out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c; });
  return absl::StrCat("<", origin.source == "kernel" ? kKernelInfo : kDaemonInfo, ">1 ", when, " ",
                      Field(origin.host, 255), " ", Field(origin.source, 48), " - - - ", text);
}

}  // namespace

size_t MaxMessage(RecordFormat format) {
  switch (format) {
    case RecordFormat::kJson:
      return 64 << 10;
    case RecordFormat::kSyslogStream:
      return 8 << 10;
    case RecordFormat::kSyslogDatagram:
      return 1 << 10;  // with its header within what passes every network whole
  }
  return 1 << 10;
}

std::vector<std::string> MakeRecords(RecordFormat format, const RecordOrigin& origin, absl::Time time,
                                     absl::string_view line) {
  std::vector<std::string> records;
  do {
    size_t most = MaxMessage(format);
    // Not in the middle of a character, as far as it is one.
    size_t size = std::min(line.size(), most);
    while (size < line.size() && size > most - 4 && (static_cast<unsigned char>(line[size]) & 0xc0) == 0x80) --size;
    absl::string_view message = line.substr(0, size);
    line.remove_prefix(size);
    if (format == RecordFormat::kJson) {
      records.push_back(Json(origin, time, message));
      continue;
    }
    std::string record = Syslog(origin, time, message);
    records.push_back(format == RecordFormat::kSyslogStream ? absl::StrCat(record.size(), " ", record) : record);
  } while (!line.empty());
  return records;
}

}  // namespace stele::machined
