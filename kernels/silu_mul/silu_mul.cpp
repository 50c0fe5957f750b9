// silu(gate) * up for float32 rows of a fused gate-and-up projection.
#ifndef DOVETAIL_ISA

#include "../cpu/exports.h"

#include <cmath>

namespace dovetail {

struct SiluMul {
  float* out;            // [rows, width]
  const float* gate_up;  // [rows, 2 * width], dense
  int64_t rows, width, per_chunk;
};

}  // namespace dovetail

#define DOVETAIL_SOURCE "../silu_mul/silu_mul.cpp"
#include "../cpu/every_isa.h"

namespace dovetail {
namespace {

void run_chunk(void* context, int64_t chunk) {
  const SiluMul& c = *static_cast<const SiluMul*>(context);
  const int64_t end = c.rows < (chunk + 1) * c.per_chunk ? c.rows : (chunk + 1) * c.per_chunk;
  const auto run = DOVETAIL_PICK(silu_mul_row);
  for (int64_t row = chunk * c.per_chunk; row < end; ++row)
    run(c.out + row * c.width, c.gate_up + 2 * row * c.width, c.width);
}

}  // namespace
}  // namespace dovetail

DOVETAIL_EXPORT void dovetail_silu_mul(float* out, const float* gate_up, int64_t rows, int64_t width, int threads) {
  using namespace dovetail;
  const int64_t per_chunk = width > 8192 ? 1 : 8192 / width + 1;
  SiluMul call{out, gate_up, rows, width, per_chunk};
  run_parallel(rows * width < 32768 ? 1 : threads, (rows + per_chunk - 1) / per_chunk, run_chunk, &call);
}

#else

namespace DOVETAIL_ISA {

static void silu_mul_row(float* out, const float* gate_up, int64_t width) {
  int64_t i = 0;
  for (; i + W <= width; i += W) {
    const Vec gate = load(gate_up + i);
    store(out + i, gate / (exponential(-gate) + 1.0f) * load(gate_up + width + i));
  }
  for (; i < width; ++i) out[i] = gate_up[i] / (1.0f + std::exp(-gate_up[i])) * gate_up[width + i];
}

}  // namespace DOVETAIL_ISA

#endif
