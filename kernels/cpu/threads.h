// What the kernels share: which instruction set to use, and a small pool of threads.
#pragma once
#include <cstdint>

#define DOVETAIL_EXPORT extern "C" __attribute__((visibility("default")))

namespace dovetail {

// 0 plain, 1 AVX2 with FMA, 2 AVX-512 (F, BW, DQ, VL), 3 AVX-512 with VNNI.
int isa_level();

// Calls task(context, i) for i in 0 .. chunks - 1, on up to `threads` threads, the caller included; returns when all are
// done. Chunks are handed out one by one, so a thread that another process keeps from running costs one chunk at most.
void run_parallel(int threads, int64_t chunks, void (*task)(void*, int64_t), void* context);

}  // namespace dovetail
