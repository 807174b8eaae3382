// The first stage: in the initramfs, from the kernel's hand to the real root.
#pragma once

#include <string>
#include <vector>

#include "base/init_protocol.h"
#include "base/status.h"

namespace stele::init {

// A medium's image file inside the initramfs: its root part, and beside it what comes before that, if it is there.
inline constexpr char kRootImage[] = "/root.img";
inline constexpr char kHeadImage[] = "/head.img";
// Where machined finds the latter.
inline constexpr char kMediumHead[] = "/run/stele/medium/head";
// Where the first stage leaves its phases for the second.
inline constexpr char kFirstStagePhases[] = "/run/stele/first-stage";
// The environment's word for the descriptor of the watchdog that the first stage started.
inline constexpr char kWatchdogVariable[] = "STELE_WATCHDOG";

// Whether this process stands in the initramfs.
bool InInitramfs();

// Mounts the kernel's file systems, starts the watchdog, attaches the root (the medium's image, or the
// slot that the command line names), moves into it and executes the second stage from there. Returns
// only with why it could not.
absl::Status RunFirstStage();

// Phases as lines of text: name state start end message.
std::string FormatPhases(const std::vector<init_protocol::Phase>& phases);
std::vector<init_protocol::Phase> ParsePhases(absl::string_view text);

}  // namespace stele::init
