// The tiles for int8 and uint4 weights in integer arithmetic (AVX-512 VNNI): 64 products per instruction instead of 16.
//
// Activations are rounded, x = unit * X with one unit per row and block, and the products are exact in 32 bits, so what is
// lost is the rounding of x. With int8 weights X has 16 bits (the largest value is 32512 units: 1.5e-5 of it is lost), split
// into X = 256 * high + low, both signed bytes: two instructions. With uint4 weights, which lose a hundred times as much
// themselves, X has 8 bits (the largest value is 127 units).
//
// Weights are the unsigned operand: int8 has 128 added (and 128 * sum(X) taken off again), uint4 is split into the even and
// the odd nibbles of each word, and x is laid out to match.
//
// x: [word][high, low][R] (int8) or [word][even, odd nibbles][R] (uint4) words of four bytes. x_sums: [blocks][2][R]: the
// unit; for int8 the bits of -128 * sum(X) as an int32, for uint4 the float32 sum of unit * X.
#include "linear.h"

#include "../cpu/threads.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,fma")
#endif

namespace dovetail {
namespace {

constexpr int W = 16;

// R rows by V vectors of each of P panels, over some blocks of K.
template <int KIND, int R, int V, int P>
void tile(const TileArgs& a, int lane) {
  constexpr int PARTS = KIND == INT4 ? 2 : 1, BYTES = KIND == INT4 ? 1 : 2;  // of a word, of an activation
  const uint32_t* words = a.words + lane;
  const uint32_t* params = a.params + lane;
  const int32_t* x = reinterpret_cast<const int32_t*>(a.x);
  const float* x_sums = a.x_sums;
  int64_t left = a.words_total;
  for (int64_t block = 0; block < a.blocks; ++block) {
    const int64_t count = left < a.words_per_block ? left : a.words_per_block;
    left -= count;
    __m512i acc[BYTES][R][P * V];
#pragma GCC unroll 2
    for (int byte = 0; byte < BYTES; ++byte)
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
        for (int v = 0; v < P * V; ++v) acc[byte][r][v] = _mm512_setzero_si512();
    for (int64_t i = 0; i < count; ++i) {
      if (lane == 0)
#pragma GCC unroll 2
        for (int p = 0; p < P; ++p) prefetch(words + p * a.panel_words);
      __m512i w[P * V];
#pragma GCC unroll 4
      for (int v = 0; v < P * V; ++v) w[v] = _mm512_loadu_si512(words + (v / V) * a.panel_words + (v % V) * W);
      words += PANEL;
#pragma GCC unroll 2
      for (int part = 0; part < PARTS; ++part) {
        __m512i bytes[P * V];
#pragma GCC unroll 4
        for (int v = 0; v < P * V; ++v) {
          if (KIND == INT8) bytes[v] = _mm512_xor_si512(w[v], _mm512_set1_epi8(-128));
          if (KIND == INT4) bytes[v] = _mm512_and_si512(part == 0 ? w[v] : _mm512_srli_epi32(w[v], 4), _mm512_set1_epi8(15));
        }
#pragma GCC unroll 2
        for (int byte = 0; byte < BYTES; ++byte)
#pragma GCC unroll 16
          for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
            for (int v = 0; v < P * V; ++v)
              acc[byte][r][v] = _mm512_dpbusd_epi32(acc[byte][r][v], bytes[v], _mm512_set1_epi32(x[byte * R + r]));
        x += BYTES * R;
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < P * V; ++v) {
      const __m512i p = _mm512_loadu_si512(params + (v / V) * a.panel_params + (v % V) * W);
      const __m512 scale = _mm512_castsi512_ps(KIND == INT8 ? p : _mm512_slli_epi32(p, 16));
      const __m512 offset = _mm512_castsi512_ps(_mm512_and_si512(p, _mm512_set1_epi32(-65536)));
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        __m512i products = acc[0][r][v];
        if (KIND == INT8) {
          products = _mm512_add_epi32(_mm512_slli_epi32(products, 8), acc[BYTES - 1][r][v]);
          int32_t correction;
          memcpy(&correction, x_sums + R + r, 4);
          products = _mm512_add_epi32(products, _mm512_set1_epi32(correction));
        }
        float* total = a.total + (v / V) * R * PANEL + r * PANEL + lane + (v % V) * W;
        const __m512 unit = _mm512_mul_ps(scale, _mm512_set1_ps(x_sums[r]));
        __m512 sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), unit, _mm512_loadu_ps(total));
        if (KIND == INT4) sum = _mm512_fmadd_ps(offset, _mm512_set1_ps(x_sums[R + r]), sum);
        _mm512_storeu_ps(total, sum);
      }
    }
    params += a.params_step;
    x_sums += 2 * R;
  }
}

// One row reads two panels at a time: two streams of memory.
template <int KIND, int R>
constexpr TileKernel kernel(bool pair = false) {
  constexpr int V = PANEL / W, P = R == 1 ? 2 : 1;
  return pair ? TileKernel{tile<KIND, R, V, P>, V * W, P} : TileKernel{tile<KIND, R, V, 1>, V * W, P};
}

template <int KIND>
const TileKernel* kernels_of() {
  constexpr int MORE = KIND == INT4 ? 5 : 0;  // rows whose sums still have registers
  static const TileKernel table[MAX_ROWS + 3] = {
      {nullptr, PANEL, 1}, kernel<KIND, 1>(),        kernel<KIND, 2>(),        kernel<KIND, 3>(),
      kernel<KIND, 4>(),   kernel<KIND, 5>(),        kernel<KIND, 1 + MORE>(), kernel<KIND, 2 + MORE>(),
      kernel<KIND, 3 + MORE>(), kernel<KIND, 4 + MORE>(), kernel<KIND, 5 + MORE>(), {nullptr, PANEL, 1},
      {nullptr, PANEL, 1}, {nullptr, PANEL, 1}, kernel<KIND, 1>(true),
  };
  return table;
}

// Sixteen values from `from` on, zeros from `end` on.
__m512 sixteen(const float* from, const float* end) {
  const int64_t there = end - from;
  if (there >= W) return _mm512_loadu_ps(from);
  return _mm512_maskz_loadu_ps(there <= 0 ? 0 : static_cast<__mmask16>((1u << there) - 1), from);
}

}  // namespace

const TileKernel* integer_kernels(int kind) { return kind == INT8 ? kernels_of<INT8>() : kernels_of<INT4>(); }

void integer_lay_out(int kind, const float* from, int64_t k, int64_t block, float* x, const UnitPlaces& places, float* x_sums,
                     int64_t rows, int64_t row) {
  const int per_word = PER_WORD[kind];
  const int64_t words = (k + per_word - 1) / per_word;
  const float* end = from + k;
  const __m128i apart = _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
  for (int64_t first = 0, b = 0; first < words * per_word; first += block, ++b) {
    const int64_t last = std::min(first + block, words * per_word);
    __m512 largest = _mm512_setzero_ps(), sum = _mm512_setzero_ps();
    for (int64_t i = first; i < last; i += W) {
      const __m512 v = sixteen(from + i, end);
      largest = _mm512_max_ps(largest, _mm512_abs_ps(v));
      sum = _mm512_add_ps(sum, v);
    }
    const float total = _mm512_reduce_add_ps(sum), top = _mm512_reduce_max_ps(largest);
    // NaN must not become a number.
    const float unit = total != total ? total : top > 0.0f ? top / (kind == INT8 ? 32512.0f : 127.0f) : 1.0f;
    const __m512 inverse = _mm512_set1_ps(1.0f / unit);
    __m512i whole = _mm512_setzero_si512();
    for (int64_t i = first; i < last; i += W) {
      const __m512i rounded = _mm512_cvtps_epi32(_mm512_mul_ps(sixteen(from + i, end), inverse));
      whole = _mm512_add_epi32(whole, rounded);
      const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(rounded, _mm512_set1_epi32(128)), 8);
      const __m512i low = _mm512_sub_epi32(rounded, _mm512_slli_epi32(high, 8));
      __m128i parts[2] = {_mm512_cvtepi32_epi8(high), _mm512_cvtepi32_epi8(low)};
      if (kind == INT4) parts[0] = _mm_shuffle_epi8(_mm512_cvtepi32_epi8(rounded), apart);
      // int8: four words of each part; uint4: two words, each with an even and an odd unit.
      const int64_t first_unit = i / 4, units = std::min<int64_t>(4, words * per_word / 4 - first_unit);
      for (int part = 0; part < (kind == INT8 ? 2 : 1); ++part) {
        alignas(16) int32_t four[4];
        _mm_store_si128(reinterpret_cast<__m128i*>(four), parts[part]);
        const int64_t step = first_unit >> places.log_step, in_step = first_unit - (step << places.log_step);
        float* to = x + part * places.part_stride + step * places.step_stride + in_step * places.unit_stride;
        for (int64_t u = 0; u < units; ++u) memcpy(to + u * places.unit_stride, four + u, 4);
      }
    }
    float* sums = x_sums + 2 * b * rows + row;
    sums[0] = unit;
    const int32_t rounded_sum = _mm512_reduce_add_epi32(whole);
    const int32_t correction = static_cast<int32_t>(-128u * static_cast<uint32_t>(rounded_sum));
    if (kind == INT8) memcpy(sums + rows, &correction, 4);
    else sums[rows] = unit * static_cast<float>(rounded_sum);  // of what is multiplied, not of x: then offsets lose no more
  }
}

}  // namespace dovetail

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else

namespace dovetail {

const TileKernel* integer_kernels(int) { return nullptr; }
void integer_lay_out(int, const float*, int64_t, int64_t, float*, const UnitPlaces&, float*, int64_t, int64_t) {}

}  // namespace dovetail

#endif
