// All layers of a decoder for one ragged batch, as a sequence of this library's operators: what models/decoder.py does one
// call at a time, without the time between the calls.
#include "../cpu/exports.h"

#include <cstring>
#include <vector>

namespace dovetail {

// The structures of native.py, field by field; every field has eight bytes.
struct Matrix {
  const uint32_t* words;
  const uint32_t* params;
  const float* bias;
  int64_t n, k, kind, block, params_per_panel;
};

struct Layer {
  const float* input_norm;
  const float* query_norm;  // or null, and so key_norm
  const float* key_norm;
  const float* post_attention_norm;
  Matrix qkv, output, gate_up, down;
  int64_t window;  // 0: none
  int64_t angles;  // number of its table of angles
};

struct Model {
  const Layer* layers;
  int64_t layer_count, hidden, heads, kv_heads, width, inner;
  double eps, attention_scale;
  double residual_scale;  // on what a block adds
  int64_t tables;         // of angles
  int64_t rounded;  // whether prompts may be computed with bfloat16 operands
  const float* final_norm;
  Matrix head;
};

struct Batch {
  const float* x;  // [rows, hidden]: the embedded tokens
  int64_t rows;
  const float* const* angles;  // tables, each [positions, width]: cosines of half the width, then sines
  const int64_t* positions;  // [rows]
  const int64_t* slots;      // [rows]
  const int64_t* tables;  // [.., table_width]
  int64_t table_width;
  const int64_t* sequences;  // [count][4], see attention.cpp
  int64_t count;
  float* const* keys;  // of each layer
  float* const* values;
  int64_t block_size;
  const int64_t* logit_rows;
  int64_t logit_count;
  float* logits;  // [logit_count, n of the head]
  int64_t threads;
  float* room;  // rows * dovetail_decoder_step_room(model)
  const int64_t* copied_from;  // [copies]: slots whose keys and values also go to the slots copied_to
  const int64_t* copied_to;
  int64_t copies;
};

// Floats of working memory per row.
static int64_t room_per_row(const Model& m) {
  return 3 * m.hidden + (3 * m.heads + 2 * m.kv_heads) * m.width + 3 * m.inner + m.tables * m.width;
}

namespace {

void multiply(float* y, const float* x, const Matrix& w, int64_t rows, int threads) {
  dovetail_linear(y, x, w.k, w.words, w.params, w.bias, rows, w.n, w.k, static_cast<int>(w.kind), w.block, w.params_per_panel,
                  threads);
}

// silu(gate) * up of the fused projection; `room` for both halves.
void gated_product(float* y, float* room, const float* x, const Matrix& w, int64_t rows, int threads) {
  if (dovetail_gated_linear(y, x, w.k, w.words, w.params, w.bias, rows, w.n, w.k, static_cast<int>(w.kind), w.block,
                            w.params_per_panel, threads))
    return;
  multiply(room, x, w, rows, threads);
  dovetail_silu_mul(y, room, rows, w.n / 2, threads);
}

void weaken(float* x, int64_t count, double by) {
  if (by == 1.0) return;
  const float factor = static_cast<float>(by);
  for (int64_t i = 0; i < count; ++i) x[i] *= factor;
}

void copy_slots(float* cache, const Batch& b, int64_t floats) {
  for (int64_t i = 0; i < b.copies; ++i)
    memcpy(cache + b.copied_to[i] * floats, cache + b.copied_from[i] * floats, floats * sizeof(float));
}

// `rows` becomes its rows of these numbers.
void gather(float* rows, const int64_t* index, int64_t count, int64_t width, std::vector<float>& room) {
  room.resize(count * width);
  for (int64_t i = 0; i < count; ++i) memcpy(room.data() + i * width, rows + index[i] * width, width * sizeof(float));
  memcpy(rows, room.data(), count * width * sizeof(float));
}

}  // namespace
}  // namespace dovetail

DOVETAIL_EXPORT int64_t dovetail_decoder_step_room(const dovetail::Model* model) { return dovetail::room_per_row(*model); }

DOVETAIL_EXPORT void dovetail_decoder_step(const dovetail::Model* model, const dovetail::Batch* batch) {
  using namespace dovetail;
  static thread_local std::vector<float> gathered;
  const Model& m = *model;
  const Batch& b = *batch;
  const int threads = static_cast<int>(b.threads);
  const float eps = static_cast<float>(m.eps), scale = static_cast<float>(m.attention_scale);
  const int64_t query = m.heads * m.width, fused = query + 2 * m.kv_heads * m.width;
  int64_t rows = b.rows;
  float* x = b.room;
  float* normed = x + rows * m.hidden;
  float* delta = normed + rows * m.hidden;  // what the last block adds: added together with the norm that reads the sum
  float* qkv = delta + rows * m.hidden;
  float* q = qkv + rows * fused;
  float* mixed = q + rows * query;
  float* gate_up = mixed + rows * query;
  float* active = gate_up + rows * 2 * m.inner;
  float* turns = active + rows * m.inner;  // of each table the cosines of all rows, then the sines
  memcpy(x, b.x, rows * m.hidden * sizeof(float));
  const int64_t half = m.width / 2, all_rows = rows;
  for (int64_t table = 0; table < m.tables; ++table) {
    float* cos = turns + table * rows * m.width;
    for (int64_t row = 0; row < rows; ++row) {
      const float* angles = b.angles[table] + b.positions[row] * m.width;
      memcpy(cos + row * half, angles, half * sizeof(float));
      memcpy(cos + (rows + row) * half, angles + half, half * sizeof(float));
    }
  }
  for (int64_t i = 0; i < m.layer_count; ++i) {
    const Layer& layer = m.layers[i];
    dovetail_rms_norm(normed, x, x, m.hidden, i == 0 ? nullptr : delta, layer.input_norm, rows, m.hidden, eps, threads);
    multiply(qkv, normed, layer.qkv, rows, threads);
    const float* cos = turns + layer.angles * all_rows * m.width;
    dovetail_prepare_qkv(q, b.keys[i], b.values[i], qkv, fused, layer.query_norm, layer.key_norm, cos, cos + all_rows * half,
                         b.slots, rows, m.heads, m.kv_heads, m.width, eps, threads);
    copy_slots(b.keys[i], b, m.kv_heads * m.width);
    copy_slots(b.values[i], b, m.kv_heads * m.width);
    const bool last = i + 1 == m.layer_count;
    if (last && b.logit_count == 0) return;
    dovetail_attention(mixed, q, query, b.keys[i], b.values[i], b.tables, b.table_width, b.sequences, b.count, m.heads,
                       m.kv_heads, m.width, b.block_size, layer.window, scale, 0.0f, nullptr, static_cast<int>(m.rounded), threads);
    if (last) {  // only the rows whose logits are wanted go on
      gather(mixed, b.logit_rows, b.logit_count, query, gathered);
      gather(x, b.logit_rows, b.logit_count, m.hidden, gathered);
      rows = b.logit_count;
    }
    multiply(delta, mixed, layer.output, rows, threads);
    weaken(delta, rows * m.hidden, m.residual_scale);
    dovetail_rms_norm(normed, x, x, m.hidden, delta, layer.post_attention_norm, rows, m.hidden, eps, threads);
    gated_product(active, gate_up, normed, layer.gate_up, rows, threads);
    multiply(delta, active, layer.down, rows, threads);
    weaken(delta, rows * m.hidden, m.residual_scale);
  }
  dovetail_rms_norm(normed, x, x, m.hidden, delta, m.final_norm, rows, m.hidden, eps, threads);
  multiply(b.logits, normed, m.head, rows, threads);
}
