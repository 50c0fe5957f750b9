// Attention of the last few rows of each sequence over the paged cache, in place: no key or value is copied.
//
// One task is a key head and a family of sequences that begin with the same blocks. It walks over the keys in pieces of 64 (their
// block table looked up once), and for all rows that share the key head computes scores, the running softmax and the weighted sum
// of values (tile.h). Positions that a row may not see get weight 0; slots that the sequence does not own are never read. For many
// rows (drafts) a piece's keys are transposed first, and scores need no sums across a vector: they are added up in the same
// order, to the same bits.
#include "attention.h"

#include "../cpu/exports.h"
#include "rows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#define DOVETAIL_SOURCE "../attention/tile.h"
#include "../cpu/every_isa.h"

namespace dovetail {
namespace {

constexpr int FEW_ROWS = 32;   // of a sequence, see native.py
constexpr int TURN_ROWS = 16;  // rows that are worth transposing keys for

// Sequences whose first `shared` keys (whole pieces) lie in the same blocks: branches of a draft, or requests with one prompt.
struct Family {
  std::vector<const int64_t*> members;
  int64_t shared;
};

struct Job {
  const Attention& a;
  std::vector<Family> families;
};

// A query row of one head, and where its state is kept.
struct Place {
  const float* q;
  float* out;
  int64_t position, head;
};

int64_t first_key(const Attention& a, const int64_t* sequence) {
  return a.window > 0 ? std::max<int64_t>(0, sequence[3] - sequence[2] + 1 - a.window) / PIECE * PIECE : 0;
}

// Some rows over the keys from `from` up to `end`. Pieces begin at multiples of their length: a row's sums do not depend on which
// rows come with it.
void walk(const Attention& a, int64_t kv_head, const int64_t* table, int64_t from, int64_t end, const Place* places, int64_t rows,
          float* sums, float* tops, float* totals) {
  const auto run = DOVETAIL_PICK(run_tile);
  const auto turn = DOVETAIL_PICK(transpose);
  static thread_local std::vector<float> turned;
  const bool turns = rows >= TURN_ROWS && a.width % 16 == 0;
  if (turns) turned.resize(a.width * PIECE);
  for (; from < end; from += PIECE) {
    const int keys = static_cast<int>(std::min<int64_t>(PIECE, end - from));
    const float* k[PIECE];
    const float* v[PIECE];
    for (int i = 0; i < keys; ++i) {
      const int64_t slot = table[(from + i) / a.block_size] * a.block_size + (from + i) % a.block_size;
      k[i] = a.keys + (slot * a.kv_heads + kv_head) * a.width;
      v[i] = a.values + (slot * a.kv_heads + kv_head) * a.width;
    }
    if (turns) turn(k, keys, a.width, turned.data());
    for (int64_t row = 0; row < rows; row += TILE) {
      const int count = static_cast<int>(std::min<int64_t>(TILE, rows - row));
      Rows tile{};
      bool any = false;
      for (int i = 0; i < TILE; ++i) {
        const int64_t r = row + std::min(i, count - 1), position = places[r].position;
        tile.q[i] = places[r].q;
        tile.sum[i] = sums + r * a.width;
        tile.low[i] = a.window > 0 ? std::max<int64_t>(0, position - a.window + 1 - from) : 0;
        tile.high[i] = std::min<int64_t>(keys, position + 1 - from);
        any = any || tile.low[i] < tile.high[i];
      }
      tile.top = tops + row;
      tile.total = totals + row;
      if (any) run(tile, count, k, v, turns ? turned.data() : nullptr, keys, a.width, a.scale, a.softcap);
    }
  }
}

void run_head(void* context, int64_t index) {
  const Job& job = *static_cast<const Job*>(context);
  const Attention& a = job.a;
  const Family& family = job.families[index / a.kv_heads];
  const int64_t kv_head = index % a.kv_heads, group = a.heads / a.kv_heads;
  static thread_local std::vector<Place> places;
  static thread_local std::vector<float> room;
  places.clear();
  int64_t start = family.shared;
  for (const int64_t* sequence : family.members) {
    start = std::min(start, first_key(a, sequence));
    for (int64_t r = 0; r < sequence[2] * group; ++r) {
      const int64_t query = sequence[1] + r / group, head = kv_head * group + r % group;
      places.push_back({a.q + query * a.q_stride + head * a.width, a.out + (query * a.heads + head) * a.width,
                        sequence[3] - sequence[2] + r / group, head});
    }
  }
  const int64_t rows = static_cast<int64_t>(places.size());
  room.assign(rows * (a.width + 2), 0.0f);
  float* sums = room.data();
  float* tops = sums + rows * a.width;
  float* totals = tops + rows;
  std::fill(tops, tops + rows, -std::numeric_limits<float>::infinity());
  walk(a, kv_head, a.tables + family.members[0][0] * a.table_width, start, family.shared, places.data(), rows, sums, tops, totals);
  int64_t first = 0;
  for (const int64_t* sequence : family.members) {
    const int64_t from = std::max(family.shared, first_key(a, sequence)), own = sequence[2] * group;
    walk(a, kv_head, a.tables + sequence[0] * a.table_width, from, sequence[3], places.data() + first, own,
         sums + first * a.width, tops + first, totals + first);
    first += own;
  }
  for (int64_t r = 0; r < rows; ++r) {
    if (a.sinks != nullptr) totals[r] += std::exp(a.sinks[places[r].head] - tops[r]);
    for (int64_t d = 0; d < a.width; ++d) places[r].out[d] = sums[r * a.width + d] / totals[r];
  }
}

// Each sequence with those that begin with the same blocks; alone, where that would leave threads without work.
std::vector<Family> families_of(const Attention& a, int threads) {
  std::vector<Family> families;
  for (int64_t i = 0; i < a.count; ++i) {
    const int64_t* sequence = a.sequences + 4 * i;
    const int64_t* table = a.tables + sequence[0] * a.table_width;
    const auto same = std::find_if(families.begin(), families.end(), [&](const Family& family) {
      return a.tables[family.members[0][0] * a.table_width] == table[0];
    });
    const int64_t before = sequence[3] - sequence[2];  // keys that are older than its rows
    if (same == families.end()) {
      families.push_back({{sequence}, before / PIECE * PIECE});
      continue;
    }
    const int64_t* theirs = a.tables + same->members[0][0] * a.table_width;
    const int64_t most = std::min(same->shared, before) / a.block_size;
    const int64_t blocks = std::mismatch(table, table + most, theirs).first - table;
    const int64_t shared = blocks * a.block_size / PIECE * PIECE;
    if (shared == 0) {
      families.push_back({{sequence}, before / PIECE * PIECE});
    } else {
      same->members.push_back(sequence);
      same->shared = shared;
    }
  }
  if (static_cast<int64_t>(families.size()) == a.count) return families;
  if (static_cast<int64_t>(families.size()) * a.kv_heads >= threads) return families;
  families.clear();
  for (int64_t i = 0; i < a.count; ++i) families.push_back({{a.sequences + 4 * i}, 0});
  return families;
}

}  // namespace
}  // namespace dovetail

// Every query row sees at least itself: context >= query rows >= 1. window: positions a row sees, itself included; 0: all.
// rounded: sequences with more than FEW_ROWS rows may go through tiles of bfloat16, where there are some; these know neither
// softcap nor sinks.
DOVETAIL_EXPORT void dovetail_attention(float* out, const float* q, int64_t q_stride, const float* keys, const float* values,
                                        const int64_t* tables, int64_t table_width, const int64_t* sequences, int64_t count,
                                        int64_t heads, int64_t kv_heads, int64_t width, int64_t block_size, int64_t window,
                                        float scale, float softcap, const float* sinks, int rounded, int threads) {
  using namespace dovetail;
  const bool tiles = rounded != 0 && softcap == 0 && sinks == nullptr && prompt_attention_fits(width);
  std::vector<int64_t> parts[2];  // sequences with few rows, and with many
  int64_t work = 0;               // of the few, multiply-adds
  for (int64_t i = 0; i < count; ++i) {
    const int64_t* sequence = sequences + 4 * i;
    const bool many = tiles && sequence[2] > FEW_ROWS;
    parts[many].insert(parts[many].end(), sequence, sequence + 4);
    if (!many) work += 2 * sequence[2] * sequence[3] * heads * width;
  }
  Attention a{out, q, keys, values, tables, parts[0].data(), static_cast<int64_t>(parts[0].size()) / 4, table_width, q_stride,
              heads, kv_heads, width, block_size, window, scale, softcap, sinks};
  Job job{a, families_of(a, threads)};
  run_parallel(work < 200000 ? 1 : threads, static_cast<int64_t>(job.families.size()) * kv_heads, run_head, &job);
  if (parts[1].empty()) return;
  a.sequences = parts[1].data(), a.count = static_cast<int64_t>(parts[1].size()) / 4;
  prompt_attention(a, threads);
}

DOVETAIL_EXPORT int dovetail_attention_tiles(int64_t width) { return dovetail::prompt_attention_fits(width) ? 1 : 0; }
