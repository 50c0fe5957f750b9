// Root-mean-square normalisation of float32 rows, with the residual addition before it.
#ifndef DOVETAIL_ISA

#include "../cpu/exports.h"

#include <cmath>

namespace dovetail {

struct RmsNorm {
  float* out;          // [rows, width], dense
  float* sum;          // x + delta, dense; unused where delta is null
  const float* x;      // rows x_stride apart
  const float* delta;  // dense, or null
  const float* weight;
  int64_t rows, x_stride, width, per_chunk;
  float eps;
};

}  // namespace dovetail

#define DOVETAIL_SOURCE "../rms_norm/rms_norm.cpp"
#include "../cpu/every_isa.h"

namespace dovetail {
namespace {

void run_chunk(void* context, int64_t chunk) {
  const RmsNorm& c = *static_cast<const RmsNorm*>(context);
  const int64_t end = c.rows < (chunk + 1) * c.per_chunk ? c.rows : (chunk + 1) * c.per_chunk;
  const auto run = DOVETAIL_PICK(norm_row);
  for (int64_t row = chunk * c.per_chunk; row < end; ++row) run(c, row);
}

}  // namespace
}  // namespace dovetail

DOVETAIL_EXPORT void dovetail_rms_norm(float* out, float* sum, const float* x, int64_t x_stride, const float* delta,
                                       const float* weight, int64_t rows, int64_t width, float eps, int threads) {
  using namespace dovetail;
  const int64_t per_chunk = width > 16384 ? 1 : 16384 / width + 1;
  RmsNorm call{out, sum, x, delta, weight, rows, x_stride, width, per_chunk, eps};
  run_parallel(rows * width < 65536 ? 1 : threads, (rows + per_chunk - 1) / per_chunk, run_chunk, &call);
}

#else

namespace DOVETAIL_ISA {

using namespace dovetail;

static void norm_row(const RmsNorm& c, int64_t row) {
  const float* x = c.x + row * c.x_stride;
  float* out = c.out + row * c.width;
  const int64_t whole = c.width - c.width % W;
  if (c.delta != nullptr) {
    const float* delta = c.delta + row * c.width;
    float* added = c.sum + row * c.width;
    for (int64_t i = 0; i < whole; i += W) store(added + i, load(x + i) + load(delta + i));
    for (int64_t i = whole; i < c.width; ++i) added[i] = x[i] + delta[i];
    x = added;
  }
  Vec squares[2] = {};
  int64_t i = 0;
  for (; i + 2 * W <= c.width; i += 2 * W) {
    squares[0] += load(x + i) * load(x + i);
    squares[1] += load(x + i + W) * load(x + i + W);
  }
  float total = sum(squares[0] + squares[1]);
  for (; i < c.width; ++i) total += x[i] * x[i];
  const float scale = 1.0f / std::sqrt(total / static_cast<float>(c.width) + c.eps);
  for (i = 0; i < whole; i += W) store(out + i, load(x + i) * splat(scale) * load(c.weight + i));
  for (; i < c.width; ++i) out[i] = x[i] * scale * c.weight[i];
}

}  // namespace DOVETAIL_ISA

#endif
