// For tables of which a process uses little, if anything: at the end of .bss, in the order of `place`
// (--sort-section=name). What is small, and the beginning of the first, then share a page with what is
// written to anyway.
#pragma once

#define SOCKSIFY_SPARSE(place) [[gnu::section(".bss.~" #place)]]
