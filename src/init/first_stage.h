// The first stage: in the initramfs, from the kernel's hand to the real root.
#pragma once

#include <string>
#include <vector>

#include "base/init_protocol.h"
#include "base/status.h"

namespace stele::init {

// The root image inside the initramfs.
inline constexpr char kRootImage[] = "/root.squashfs";
// Where the first stage leaves its phases for the second.
inline constexpr char kFirstStagePhases[] = "/run/stele/first-stage";

// Whether this process stands in the initramfs.
bool InInitramfs();

// Mounts the kernel's file systems, attaches the root, moves into it and executes the second stage
// from there. Returns only with why it could not.
absl::Status RunFirstStage();

// Phases as lines of text: name state start end message.
std::string FormatPhases(const std::vector<init_protocol::Phase>& phases);
std::vector<init_protocol::Phase> ParsePhases(absl::string_view text);

}  // namespace stele::init
