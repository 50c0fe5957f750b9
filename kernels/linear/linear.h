// What linear.cpp (float32 arithmetic) and integer.cpp (integer arithmetic) share.
#pragma once
#include <cstdint>

namespace dovetail {

constexpr int PANEL = 32;
constexpr int MAX_ROWS = 12;         // of a tile
constexpr int MAX_INTEGER_ROWS = 5;  // 5 x 2 x 2 accumulators; with 24 the compiler runs out of registers
constexpr int MAX_SLAB = 48;         // rows that go through one reading of the weights
constexpr int MAX_TILES = 10;
enum Kind { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2, INT4 = 3 };
constexpr int PER_WORD[4] = {1, 2, 4, 8};

// What a tile function gets: `words` and `params` at the first panel's first block, `x` and `x_sums` as laid out for it,
// `total` as [panels][R][PANEL], added to. Float tiles: x is [K][R], x_sums [blocks][R]. Integer tiles: see integer.cpp.
struct TileArgs {
  const uint32_t* words;
  int64_t panel_words, words_per_block, words_total;
  const uint32_t* params;
  int64_t panel_params;
  int params_step;  // 0: one set for all blocks
  int64_t blocks;
  const float* x;
  const float* x_sums;
  float* total;
};

struct TileKernel {
  void (*run)(const TileArgs&, int lane);  // `lane`: first lane of the panel that this pass computes
  int lanes, panels;
};

// Two lines of a panel some 2 KiB ahead: the processor's own prefetcher stops at each 4 KiB page (a third of the time).
static inline __attribute__((always_inline)) void prefetch(const uint32_t* words) {
  __builtin_prefetch(words + 512);
  __builtin_prefetch(words + 528);
}

// The tiles of integer.cpp for INT8 or INT4, indexed by rows; null where the processor has no AVX-512 VNNI.
const TileKernel* integer_kernels(int kind);

// Rounds one row of k floats (padded with zeros to a whole number of words) for an integer tile of `rows` rows, as its row
// `row`. x: 4-byte units, integer_units(kind) per word and row.
void integer_lay_out(int kind, const float* from, int64_t k, int64_t block, float* x, float* x_sums, int64_t rows, int64_t row);

constexpr int integer_units(int kind) { return kind == INT4 ? 4 : 2; }

}  // namespace dovetail

