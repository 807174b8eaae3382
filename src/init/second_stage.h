// The second stage: on the real root, from exec to the main loop.
#pragma once

namespace stele::init {

// Sets the machine up, phase by phase, starts machined and runs the loop. A phase that fails is
// told and passed over: the node is better reached than dead. Where init is PID 1 of a namespace
// and not of a machine, what would change the machine is skipped, and what needs a missing
// capability is skipped with the reason.
[[noreturn]] void RunSecondStage();

// Logs why and ends: a machine reboots after a moment, a namespace ends with status 1.
[[noreturn]] void GiveUp(const char* why);

}  // namespace stele::init
