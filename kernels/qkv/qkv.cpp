// Between the fused query-key-value projection and attention: normalise each head (where the model does), turn queries and
// keys by their position, store keys and values in the paged cache. One pass over rows that are in the L1 cache.
#ifndef DOVETAIL_ISA

#include "../cpu/exports.h"

#include <cmath>

namespace dovetail {

struct Qkv {
  float* q;          // [T, heads, width], dense
  float* keys;       // [slots, kv_heads, width]
  float* values;     // the same
  const float* qkv;  // [T, (heads + 2 kv_heads) * width], rows `stride` apart
  const float* query_norm;  // [width] or null
  const float* key_norm;
  const float* cos;  // [T, width / 2]
  const float* sin;
  const int64_t* slots;  // [T]
  int64_t rows, stride, heads, kv_heads, width;
  float eps;
};

}  // namespace dovetail

#define DOVETAIL_SOURCE "../qkv/qkv.cpp"
#include "../cpu/every_isa.h"

namespace dovetail {
namespace {

void run_row(void* context, int64_t row) { DOVETAIL_PICK(prepare_row)(*static_cast<const Qkv*>(context), row); }

}  // namespace
}  // namespace dovetail

DOVETAIL_EXPORT void dovetail_prepare_qkv(float* q, float* keys, float* values, const float* qkv, int64_t stride,
                                          const float* query_norm, const float* key_norm, const float* cos, const float* sin,
                                          const int64_t* slots, int64_t rows, int64_t heads, int64_t kv_heads, int64_t width,
                                          float eps, int threads) {
  using namespace dovetail;
  Qkv call{q, keys, values, qkv, query_norm, key_norm, cos, sin, slots, rows, stride, heads, kv_heads, width, eps};
  run_parallel(rows * heads * width < 65536 ? 1 : threads, rows, run_row, &call);
}

#else

namespace DOVETAIL_ISA {

using namespace dovetail;

static void turn(float* out, const float* x, const float* norm, const float* cos, const float* sin, int64_t width, float eps) {
  const int64_t half = width / 2;
  float scale = 1.0f;
  if (norm != nullptr) {
    Vec squares = Vec{};
    int64_t d = 0;
    for (; d + W <= width; d += W) squares += load(x + d) * load(x + d);
    float total = sum(squares);
    for (; d < width; ++d) total += x[d] * x[d];
    scale = 1.0f / std::sqrt(total / static_cast<float>(width) + eps);
  }
  int64_t d = 0;
  for (; d + W <= half; d += W) {
    Vec a = load(x + d) * splat(scale), b = load(x + half + d) * splat(scale);
    if (norm != nullptr) a *= load(norm + d), b *= load(norm + half + d);
    const Vec c = load(cos + d), s = load(sin + d);
    store(out + d, a * c - b * s);
    store(out + half + d, b * c + a * s);
  }
  for (; d < half; ++d) {
    float a = x[d] * scale, b = x[half + d] * scale;
    if (norm != nullptr) a *= norm[d], b *= norm[half + d];
    out[d] = a * cos[d] - b * sin[d];
    out[half + d] = b * cos[d] + a * sin[d];
  }
}

static void prepare_row(const Qkv& c, int64_t row) {
  const float* x = c.qkv + row * c.stride;
  const float* cos = c.cos + row * (c.width / 2);
  const float* sin = c.sin + row * (c.width / 2);
  for (int64_t h = 0; h < c.heads; ++h, x += c.width)
    turn(c.q + (row * c.heads + h) * c.width, x, c.query_norm, cos, sin, c.width, c.eps);
  const int64_t slot = c.slots[row] * c.kv_heads * c.width;
  for (int64_t h = 0; h < c.kv_heads; ++h, x += c.width)
    turn(c.keys + slot + h * c.width, x, c.key_norm, cos, sin, c.width, c.eps);
  memcpy(c.values + slot, x, sizeof(float) * c.kv_heads * c.width);
}

}  // namespace DOVETAIL_ISA

#endif
