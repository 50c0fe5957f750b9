// What linear.cpp (float32 arithmetic) and integer.cpp (integer arithmetic) share.
#pragma once
#include <cstdint>

namespace dovetail {

constexpr int PANEL = 32;
constexpr int MAX_ROWS = 12;         // of a tile
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

// Where the 4-byte units of one row of x go: in steps of 2^log_step units (4 at least), step_stride apart, units within a step
// unit_stride apart, and the low bytes part_stride behind the high ones.
struct UnitPlaces {
  int64_t unit_stride, part_stride, step_stride;
  int log_step;
};

// Rounds one row of k floats (padded with zeros to a whole number of words) for integer products, as row `row` of `rows`.
// x: 4-byte units, two per word and row, the row's first; x_sums: [blocks][2][rows].
void integer_lay_out(int kind, const float* from, int64_t k, int64_t block, float* x, const UnitPlaces& places, float* x_sums,
                     int64_t rows, int64_t row);

// Rows of an integer tile: 20 accumulators; with 24 the compiler runs out of registers.
constexpr int integer_rows(int kind) { return kind == INT4 ? 10 : 5; }

// The arguments of dovetail_linear.
struct LinearCall {
  float* y;
  const float* x;
  int64_t x_stride;
  const uint32_t* words;
  const uint32_t* params;
  const float* bias;
  int64_t m, n, k;
  int kind;
  int64_t block, params_per_panel;
  int threads;
  bool gated;  // y = silu(first half of the outputs) * second half, [m, n / 2]
};

// Up to how many rows, on AMX, a row's result is the same bits whatever shares its step; int8 has no limit.
constexpr int64_t SAME_BITS_BFLOAT16 = 256, SAME_BITS_INT4 = 16;

// Computes it on AMX tiles; false where other kernels are better. Only for processors that have AMX.
bool amx_linear(const LinearCall& call);

}  // namespace dovetail

