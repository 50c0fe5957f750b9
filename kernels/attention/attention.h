// The arguments of attention, for attention.cpp (few rows of a sequence) and prompt.cpp (many).
#pragma once
#include <cstdint>

namespace dovetail {

struct Attention {
  float* out;           // [T, heads, width], dense
  const float* q;       // [T, heads, width], rows q_stride apart
  const float* keys;    // [blocks, block_size, kv_heads, width]
  const float* values;  // the same
  const int64_t* tables;
  const int64_t* sequences;  // [count][4]: row of the block table, first query row, query rows, context
  int64_t count, table_width, q_stride, heads, kv_heads, width, block_size, window;
  float scale;
  float softcap;       // scores become softcap * tanh(score / softcap); 0: they stay
  const float* sinks;  // [heads]: a score of each head that adds nothing; or null
};

// Whether there are tiles here for heads of this width.
bool prompt_attention_fits(int64_t width);

// Attention on AMX tiles: queries, keys, values and weights enter as bfloat16, sums are float32.
void prompt_attention(const Attention& a, int threads);

}  // namespace dovetail
