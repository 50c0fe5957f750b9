// Bit masks applied to rows of logits, and the probability mass that they leave.
#ifndef DOVETAIL_ISA

#include "../cpu/exports.h"

#include <cmath>

namespace dovetail {

struct LogitMask {
  float* out;           // [rows, width], dense
  float* mass;          // [rows]
  int64_t* counts;      // [rows]
  const float* scores;  // rows scores_stride apart
  const float* logits;  // rows logits_stride apart
  const uint32_t* words;
  int64_t scores_stride, logits_stride, words_stride, width;
};

// All bits of a lane for each bit of a byte.
struct LaneTable {
  uint32_t lanes[256][8];
  LaneTable() {
    for (int byte = 0; byte < 256; ++byte)
      for (int bit = 0; bit < 8; ++bit) lanes[byte][bit] = (byte >> bit) & 1 ? 0xFFFFFFFFu : 0u;
  }
};

inline const LaneTable kLanes;

}  // namespace dovetail

#define DOVETAIL_SOURCE "../logit_mask/logit_mask.cpp"
#include "../cpu/every_isa.h"

namespace dovetail {
namespace {

void run_row(void* context, int64_t row) { DOVETAIL_PICK(mask_row)(*static_cast<const LogitMask*>(context), row); }

}  // namespace
}  // namespace dovetail

DOVETAIL_EXPORT void dovetail_mask_logits(float* out, float* mass, int64_t* counts, const float* scores,
                                          int64_t scores_stride, const float* logits, int64_t logits_stride,
                                          const uint32_t* words, int64_t words_stride, int64_t rows, int64_t width,
                                          int threads) {
  using namespace dovetail;
  LogitMask call{out, mass, counts, scores, logits, words, scores_stride, logits_stride, words_stride, width};
  run_parallel(rows * width < 65536 ? 1 : threads, rows, run_row, &call);
}

#else

namespace DOVETAIL_ISA {

using namespace dovetail;

DOVETAIL_INLINE Vec chosen(Words mask, Vec yes, Vec no) { return (Vec)(((Words)yes & mask) | ((Words)no & ~mask)); }
DOVETAIL_INLINE Vec greater(Vec a, Vec b) { return chosen((Words)(a > b), a, b); }

DOVETAIL_INLINE float greatest(Vec v) {
  float best = v[0];
  for (int i = 1; i < W; ++i) best = v[i] > best ? v[i] : best;
  return best;
}

// The lanes of sixteen tokens from `at` on, a multiple of sixteen.
DOVETAIL_INLINE void lanes_of(const uint32_t* words, int64_t at, uint32_t* lanes) {
  const uint32_t bits = words[at / 32] >> (at % 32);
  memcpy(lanes, kLanes.lanes[bits & 255], 32);
  memcpy(lanes + 8, kLanes.lanes[bits >> 8 & 255], 32);
}

static bool allows(const uint32_t* words, int64_t token) { return words[token / 32] >> (token % 32) & 1; }

// The sum over the allowed tokens, or over all, of e^(logit - top).
static double mass_of(const LogitMask& c, const float* logits, const uint32_t* words, float top, double* total) {
  const int64_t whole = c.width - c.width % 16;
  uint32_t lanes[16];
  Vec all = {}, left = {};
  for (int64_t i = 0; i < whole; i += 16) {
    lanes_of(words, i, lanes);
    for (int j = 0; j < 16; j += W) {
      const Vec weight = exponential(load(logits + i + j) - splat(top));
      all += weight;
      left += (Vec)((Words)weight & load_words(lanes + j));
    }
  }
  double sums[2] = {sum(all), sum(left)};
  for (int64_t i = whole; i < c.width; ++i) {
    const float weight = std::exp(logits[i] - top);
    sums[0] += weight;
    if (allows(words, i)) sums[1] += weight;
  }
  *total = sums[0];
  return sums[1];
}

static void mask_row(const LogitMask& c, int64_t row) {
  const float* logits = c.logits + row * c.logits_stride;
  const float* scores = c.scores + row * c.scores_stride;
  const uint32_t* words = c.words + row * c.words_stride;
  float* out = c.out + row * c.width;
  const int64_t whole = c.width - c.width % 16;
  const float none = -INFINITY;
  uint32_t lanes[16];
  int64_t count = 0;
  Vec highest = splat(none), highest_left = splat(none);
  for (int64_t i = 0; i < whole; i += 16) {
    lanes_of(words, i, lanes);
    count += __builtin_popcount(words[i / 32] >> (i % 32) & 0xFFFFu);
    for (int j = 0; j < 16; j += W) {
      const Words mask = load_words(lanes + j);
      const Vec logit = load(logits + i + j);
      highest = greater(logit, highest);
      highest_left = greater(chosen(mask, logit, splat(none)), highest_left);
      store(out + i + j, chosen(mask, load(scores + i + j), splat(none)));
    }
  }
  float top = greatest(highest), top_left = greatest(highest_left);
  for (int64_t i = whole; i < c.width; ++i) {
    const bool may = allows(words, i);
    count += may;
    top = logits[i] > top ? logits[i] : top;
    if (may && logits[i] > top_left) top_left = logits[i];
    out[i] = may ? scores[i] : none;
  }
  double total, other;
  double left = mass_of(c, logits, words, top, &total), shift = 0.0;
  if (left < 1e-20 && top_left > none) {  // too little for float32 beside the likeliest token
    left = mass_of(c, logits, words, top_left, &other);
    shift = static_cast<double>(top_left) - top;
  }
  c.counts[row] = count;
  c.mass[row] = count == 0 ? none : static_cast<float>(std::log(left / total) + shift);
}

}  // namespace DOVETAIL_ISA

#endif
