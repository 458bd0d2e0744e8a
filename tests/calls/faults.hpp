// What faults.cpp, a preloaded library, takes from the victim that it is loaded into.
#pragma once

/// In place of an errno: the call moves one octet and no more.
constexpr int faults_short = -1;

extern "C" {
/// The `nth` call of `function` (from 1) that libsocksify.so makes from now on fails with `error`, and so do
/// all later ones if `and_all_later`. Of fcntl(), the command is the name.
using FaultsArm = void(const char* function, long nth, int error, bool and_all_later);
using FaultsDisarm = void();
/// Whether a call has failed.
using FaultsFailed = bool();
}
