// What attention.cpp and its vector code (tile.h) work on.
#pragma once
#include <cstdint>

namespace dovetail {

constexpr int PIECE = 64;  // keys at a time: with 64 floats each, keys and values are 32 KiB
constexpr int TILE = 4;    // rows at a time

// Some rows' running softmax: `total` is the sum of exp(score - top), `sum` the values weighted with it.
struct Rows {
  const float* q[TILE];
  float* sum[TILE];
  float* top;
  float* total;
  int64_t low[TILE], high[TILE];  // of this piece, which keys each row sees
};

}  // namespace dovetail
