// Attention of prompt chunks on AMX tiles, sixteen times the arithmetic of float32: the usual contract of bfloat16 models.
//
// First every sequence's keys and values are copied as bfloat16 in the shape of right operands: the chunk's many rows read
// them again and again. Then a task takes 32 rows that share a key head (queries times the heads of a group) over the keys
// in pieces of 128: scores on tiles, the running softmax (powers of 2) on vectors, weighted values on tiles. Positions that
// a row may not see get weight 0; slots that the sequence does not own are never read.
#include "attention.h"

#include "../cpu/amx.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#if DOVETAIL_AMX

DOVETAIL_AMX_BEGIN

namespace dovetail {
namespace {

constexpr int ROWS = 2 * ROW_TILE, PIECE = 128, STEP = 32, MAX_WIDTH = 256;

struct Task {
  const int64_t* sequence;
  int64_t head, first;  // of its rows (tasks of attention) or keys (tasks of copying)
};

// Copies: keys as [16 keys][STEP of width] tiles, values as [STEP of keys][16 of width] tiles, zeros where there is nothing.
struct Prompt {
  Attention a;
  std::vector<int64_t> offsets;  // of each sequence's copies, in tiles
  std::vector<Task> copies, tasks;
  int64_t key_tiles, value_tiles;  // of STEP keys
  uint8_t* keys;
  uint8_t* values;

  int64_t tile(const Task& task, int64_t key, int64_t per_step) const {
    const int64_t steps = (task.sequence[3] + PIECE - 1) / PIECE * (PIECE / STEP);
    return (offsets[(task.sequence - a.sequences) / 4] * a.kv_heads + task.head * steps + key / STEP) * per_step;
  }
};

const float* at(const Attention& a, const float* cache, const Task& task, int64_t key) {
  const int64_t* table = a.tables + task.sequence[0] * a.table_width;
  const int64_t slot = table[key / a.block_size] * a.block_size + key % a.block_size;
  return cache + (slot * a.kv_heads + task.head) * a.width;
}

__m512i bits_of(const float* from) {
  return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from)));
}

// One piece of keys and values of one head. What lies before the first key that a row sees is not needed.
void copy_piece(void* context, int64_t index) {
  const Prompt& p = *static_cast<const Prompt*>(context);
  const Attention& a = p.a;
  const Task& task = p.copies[index];
  const int64_t end = std::min(task.first + PIECE, task.sequence[3]);
  uint8_t* keys = p.keys + p.tile(task, task.first, p.key_tiles) * TILE_BYTES;
  uint8_t* values = p.values + p.tile(task, task.first, p.value_tiles) * TILE_BYTES;
  memset(keys, 0, PIECE / STEP * p.key_tiles * TILE_BYTES);
  memset(values, 0, PIECE / STEP * p.value_tiles * TILE_BYTES);
  const int64_t steps = p.key_tiles / 2;  // of the width
  for (int64_t key = task.first; key < end; ++key) {
    const float* from = at(a, a.keys, task, key);
    uint32_t* to = reinterpret_cast<uint32_t*>(keys + (key - task.first) / 16 * steps * TILE_BYTES) + key % 16;
    for (int64_t d = 0; d < a.width; d += 16) {
      alignas(32) uint32_t words[8];
      _mm256_store_si256(reinterpret_cast<__m256i*>(words), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + d)));
      for (int i = 0; i < 8; ++i) to[(d / 2 + i) * 16] = words[i];
    }
  }
  for (int64_t key = task.first; key < end; key += 2) {
    const float* even = at(a, a.values, task, key);
    const float* odd = key + 1 < end ? at(a, a.values, task, key + 1) : nullptr;
    uint8_t* to = values + (key - task.first) / STEP * p.value_tiles * TILE_BYTES + key % STEP / 2 * 64;
    for (int64_t d = 0; d < a.width; d += 16, to += TILE_BYTES) {
      const __m512i high = odd == nullptr ? _mm512_setzero_si512() : _mm512_slli_epi32(bits_of(odd + d), 16);
      _mm512_storeu_si512(to, _mm512_or_si512(bits_of(even + d), high));
    }
  }
}

// 2^x for x <= 0, good to 4e-5: what it is for is rounded to 8 bits.
__m512 power(__m512 x) {
  x = _mm512_max_ps(x, _mm512_set1_ps(-126.0f));
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), r = _mm512_sub_ps(x, whole);
  __m512 y = _mm512_fmadd_ps(r, _mm512_set1_ps(0.00961813f), _mm512_set1_ps(0.05550411f));
  y = _mm512_fmadd_ps(r, y, _mm512_set1_ps(0.24022651f));
  y = _mm512_fmadd_ps(r, y, _mm512_set1_ps(0.69314718f));
  y = _mm512_fmadd_ps(r, y, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(y, whole);
}

// The state of a task's rows: `top` the largest score, `total` the sum of 2^(score - top), `sum` the values weighted so.
struct alignas(64) Room {
  uint8_t queries[2][MAX_WIDTH / STEP][TILE_BYTES];
  uint8_t weights[2][PIECE / STEP][TILE_BYTES];
  float scores[ROWS][PIECE];
  float sum[ROWS][MAX_WIDTH];
  float top[ROWS], total[ROWS];
  int64_t low[ROWS], high[ROWS];  // keys that a row sees
};

// scores = queries . keys for a piece.
void score(Room& room, const uint8_t* keys, int64_t steps) {
  for (int k = 0; k < PIECE / 16; k += 2, keys += 2 * steps * TILE_BYTES) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t step = 0; step < steps; ++step) {
      _tile_loadd(4, room.queries[0][step], 64);
      _tile_loadd(5, room.queries[1][step], 64);
      _tile_loadd(6, keys + step * TILE_BYTES, 64);
      _tile_loadd(7, keys + (steps + step) * TILE_BYTES, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, &room.scores[0][16 * k], 4 * PIECE);
    _tile_stored(1, &room.scores[0][16 * k + 16], 4 * PIECE);
    _tile_stored(2, &room.scores[ROW_TILE][16 * k], 4 * PIECE);
    _tile_stored(3, &room.scores[ROW_TILE][16 * k + 16], 4 * PIECE);
  }
}

// Scores of row r to weights, for the piece that begins at key `from`; what was summed before is scaled to the new top.
void soften(Room& room, int r, int64_t from, int64_t width) {
  constexpr int VECTORS = PIECE / 16;
  const __m512 least = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  const int low = static_cast<int>(std::clamp<int64_t>(room.low[r] - from, 0, PIECE));
  const int high = static_cast<int>(std::clamp<int64_t>(room.high[r] - from, 0, PIECE));
  __m512 v[VECTORS], largest = least;
  for (int i = 0; i < VECTORS; ++i) {
    v[i] = _mm512_load_ps(&room.scores[r][16 * i]);
    if (low > 0 || high < PIECE) {
      const int first = std::clamp(low - 16 * i, 0, 16), last = std::clamp(high - 16 * i, 0, 16);
      v[i] = _mm512_mask_mov_ps(least, static_cast<__mmask16>((1u << last) - (1u << std::min(first, last))), v[i]);
    }
    largest = _mm512_max_ps(v[i], largest);
  }
  uint8_t* to = room.weights[r / ROW_TILE][0] + r % ROW_TILE * 64;
  if (low >= high) {
    for (int i = 0; i < PIECE / STEP; ++i) _mm512_storeu_si512(to + i * TILE_BYTES, _mm512_setzero_si512());
    return;
  }
  const float top = std::max(room.top[r], _mm512_reduce_max_ps(largest));
  const __m512 tops = _mm512_set1_ps(top);
  __m512 total = _mm512_setzero_ps();
  for (int i = 0; i < VECTORS; ++i) {
    v[i] = power(_mm512_sub_ps(v[i], tops));
    total = _mm512_add_ps(total, v[i]);
  }
  for (int i = 0; i < VECTORS; i += 2)
    _mm512_storeu_si512(to + i / 2 * TILE_BYTES, (__m512i)_mm512_cvtne2ps_pbh(v[i + 1], v[i]));
  const __m512 keep = power(_mm512_sub_ps(_mm512_set1_ps(room.top[r]), tops));
  if (top != room.top[r])
    for (int64_t d = 0; d < width; d += 16)
      _mm512_store_ps(room.sum[r] + d, _mm512_mul_ps(_mm512_load_ps(room.sum[r] + d), keep));
  room.total[r] = room.total[r] * _mm512_cvtss_f32(keep) + _mm512_reduce_add_ps(total);
  room.top[r] = top;
}

// sum += weights . values for a piece, sixteen columns at a time.
void add_values(Room& room, const uint8_t* values, int64_t tiles) {
  for (int64_t column = 0; column < tiles; ++column) {
    float* first = &room.sum[0][16 * column];
    float* second = &room.sum[ROW_TILE][16 * column];
    _tile_loadd(0, first, 4 * MAX_WIDTH);
    _tile_loadd(2, second, 4 * MAX_WIDTH);
    for (int step = 0; step < PIECE / STEP; ++step) {
      _tile_loadd(4, room.weights[0][step], 64);
      _tile_loadd(5, room.weights[1][step], 64);
      _tile_loadd(6, values + (step * tiles + column) * TILE_BYTES, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(2, 5, 6);
    }
    _tile_stored(0, first, 4 * MAX_WIDTH);
    _tile_stored(2, second, 4 * MAX_WIDTH);
  }
}

void lay_out_queries(Room& room, const Prompt& p, const Task& task, int64_t rows) {
  const Attention& a = p.a;
  const int64_t group = a.heads / a.kv_heads, queries = task.sequence[2], end = task.sequence[3];
  const __m512 scale = _mm512_set1_ps(a.scale * 1.44269504f);
  memset(room.queries, 0, sizeof room.queries);
  for (int64_t r = 0; r < ROWS; ++r) {
    const int64_t row = task.first + std::min(r, rows - 1), query = row / group, position = end - queries + query;
    const float* from = a.q + (task.sequence[1] + query) * a.q_stride + (task.head * group + row % group) * a.width;
    for (int64_t d = 0; d < a.width; d += 16) {
      const __m256i bits = (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(_mm512_loadu_ps(from + d), scale));
      uint8_t* to = room.queries[r / ROW_TILE][d / STEP] + r % ROW_TILE * 64 + d % STEP * 2;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), bits);
    }
    room.low[r] = a.window > 0 ? std::max<int64_t>(0, position - a.window + 1) : 0;
    room.high[r] = position + 1;
    room.top[r] = -std::numeric_limits<float>::infinity();
    room.total[r] = 0.0f;
    std::fill(room.sum[r], room.sum[r] + a.width, 0.0f);
  }
}

void run_task(void* context, int64_t index) {
  const Prompt& p = *static_cast<const Prompt*>(context);
  const Attention& a = p.a;
  const Task& task = p.tasks[index];
  const int64_t group = a.heads / a.kv_heads, rows = std::min<int64_t>(ROWS, task.sequence[2] * group - task.first);
  static thread_local std::vector<uint8_t> memory(sizeof(Room) + 64);
  Room& room = *reinterpret_cast<Room*>(memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64);
  lay_out_queries(room, p, task, rows);
  configure_tiles(ROW_TILE, 16);
  for (int64_t from = room.low[0] / PIECE * PIECE; from < room.high[ROWS - 1]; from += PIECE) {
    score(room, p.keys + p.tile(task, from, p.key_tiles) * TILE_BYTES, p.key_tiles / 2);
    for (int r = 0; r < ROWS; ++r) soften(room, r, from, a.width);
    add_values(room, p.values + p.tile(task, from, p.value_tiles) * TILE_BYTES, p.value_tiles);
  }
  _tile_release();
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = task.first + r;
    float* to = a.out + ((task.sequence[1] + row / group) * a.heads + task.head * group + row % group) * a.width;
    const __m512 inverse = _mm512_set1_ps(1.0f / room.total[r]);
    for (int64_t d = 0; d < a.width; d += 16) _mm512_storeu_ps(to + d, _mm512_mul_ps(_mm512_load_ps(room.sum[r] + d), inverse));
  }
}

}  // namespace

bool prompt_attention_fits(int64_t width) { return isa_level() == 4 && width % 16 == 0 && width <= MAX_WIDTH; }

void prompt_attention(const Attention& a, int threads) {
  static thread_local std::vector<uint8_t> memory;
  Prompt p{a, {}, {}, {}, (a.width + STEP - 1) / STEP * 2, a.width / 16, nullptr, nullptr};
  int64_t steps = 0;
  for (int64_t s = 0; s < a.count; ++s) {
    const int64_t* sequence = a.sequences + 4 * s;
    p.offsets.push_back(steps);
    steps += (sequence[3] + PIECE - 1) / PIECE * (PIECE / STEP);
    const int64_t start = a.window > 0 ? std::max<int64_t>(0, sequence[3] - sequence[2] + 1 - a.window) : 0;
    for (int64_t head = 0; head < a.kv_heads; ++head) {
      for (int64_t key = start / PIECE * PIECE; key < sequence[3]; key += PIECE) p.copies.push_back({sequence, head, key});
      for (int64_t row = 0; row < sequence[2] * (a.heads / a.kv_heads); row += ROWS) p.tasks.push_back({sequence, head, row});
    }
  }
  const int64_t key_bytes = steps * a.kv_heads * p.key_tiles * TILE_BYTES;
  const int64_t value_bytes = steps * a.kv_heads * p.value_tiles * TILE_BYTES;
  if (static_cast<int64_t>(memory.size()) < key_bytes + value_bytes + 64) memory.resize(key_bytes + value_bytes + 64);
  p.keys = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  p.values = p.keys + key_bytes;
  run_parallel(threads, static_cast<int64_t>(p.copies.size()), copy_piece, &p);
  run_parallel(threads, static_cast<int64_t>(p.tasks.size()), run_task, &p);
}

}  // namespace dovetail

DOVETAIL_AMX_END

#else

namespace dovetail {

bool prompt_attention_fits(int64_t) { return false; }
void prompt_attention(const Attention&, int) {}

}  // namespace dovetail

#endif
