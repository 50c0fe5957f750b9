// What code for AMX tiles shares: DOVETAIL_AMX_BEGIN and DOVETAIL_AMX_END around it, and how tiles are configured. Only called
// where isa_level() is 4.
#pragma once
#include "threads.h"

#if DOVETAIL_AMX

#include <immintrin.h>

#define DOVETAIL_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define DOVETAIL_AMX_BEGIN                                                                                           \
  DOVETAIL_PRAGMA(clang attribute push(                                                                              \
      __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,fma,amx-tile,amx-int8,amx-bf16"))), \
      apply_to = function))
#define DOVETAIL_AMX_END DOVETAIL_PRAGMA(clang attribute pop)
#else
#define DOVETAIL_AMX_BEGIN        \
  DOVETAIL_PRAGMA(GCC push_options) \
  DOVETAIL_PRAGMA(GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,fma,amx-tile,amx-int8,amx-bf16"))
#define DOVETAIL_AMX_END DOVETAIL_PRAGMA(GCC pop_options)
#endif

DOVETAIL_AMX_BEGIN

namespace dovetail {

constexpr int ROW_TILE = 16, TILE_BYTES = 1024;

// Tiles 0 to 3 are sums and 4 and 5 left operands, both of `rows` rows; 6 and 7 are right operands of `words` rows.
static inline void configure_tiles(int64_t rows, int64_t words) {
  struct alignas(64) {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};
  } shapes;
  for (int i = 0; i < 8; ++i) {
    shapes.rows[i] = static_cast<uint8_t>(i < 6 ? rows : words);
    shapes.bytes[i] = static_cast<uint16_t>(i == 4 || i == 5 ? 4 * words : 64);
  }
  _tile_loadconfig(&shapes);
}

}  // namespace dovetail

DOVETAIL_AMX_END

#endif
