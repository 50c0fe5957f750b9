// Includes DOVETAIL_SOURCE once per instruction set, each time in a namespace of its own (plain, avx2, avx512).
//
// A kernel file includes this header in its first pass and holds its vector code in `#ifdef DOVETAIL_ISA`. The whole
// library is compiled without -march: only the code between the pragmas may use more than the baseline, and it is only
// called after the processor was asked (threads.h: isa_level). So one binary loads on any x86-64, and on other
// processors only `plain` exists.
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define DOVETAIL_ISA plain
#define DOVETAIL_WIDTH 4
#include "vector.h"
#include DOVETAIL_SOURCE
#undef DOVETAIL_ISA
#undef DOVETAIL_WIDTH

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define DOVETAIL_ISA avx2
#define DOVETAIL_WIDTH 8
#include "vector.h"
#include DOVETAIL_SOURCE
#undef DOVETAIL_ISA
#undef DOVETAIL_WIDTH
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,fma")
#endif
#define DOVETAIL_ISA avx512
#define DOVETAIL_WIDTH 16
#include "vector.h"
#include DOVETAIL_SOURCE
#undef DOVETAIL_ISA
#undef DOVETAIL_WIDTH
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif

#undef DOVETAIL_SOURCE

// The variant of a function that fits this processor.
#if defined(__x86_64__)
#define DOVETAIL_PICK(name) \
  (dovetail::isa_level() >= 2 ? avx512::name : dovetail::isa_level() == 1 ? avx2::name : plain::name)
#else
#define DOVETAIL_PICK(name) plain::name
#endif
