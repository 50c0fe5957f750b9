// What the kernels share: which instruction set to use, and a small pool of threads.
#pragma once
#include <cstdint>

#define DOVETAIL_EXPORT extern "C" __attribute__((visibility("default")))

// Whether this compiler knows AMX, and this system how to ask for it.
#if defined(__x86_64__) && defined(__linux__) && ((defined(__clang__) && __clang_major__ >= 12) || (!defined(__clang__) && __GNUC__ >= 11))
#define DOVETAIL_AMX 1
#else
#define DOVETAIL_AMX 0
#endif

namespace dovetail {

// 0 plain, 1 AVX2 with FMA, 2 AVX-512 (F, BW, DQ, VL), 3 AVX-512 with VNNI, 4 with AMX (tiles of bfloat16 and int8) too.
int isa_level();

// Calls task(context, i) for i in 0 .. chunks - 1, on up to `threads` threads, the caller included; returns when all are
// done. Chunks are handed out one by one, so a thread that another process keeps from running costs one chunk at most.
void run_parallel(int threads, int64_t chunks, void (*task)(void*, int64_t), void* context);

}  // namespace dovetail
