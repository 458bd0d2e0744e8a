// What every hook wears.
#pragma once

#include "shim/verdict.hpp"
#include "sys/real.hpp"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace real = socksify::real;
namespace shim = socksify::shim;
