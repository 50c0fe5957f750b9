// Every function of the library's C interface that more than its own file calls.
#pragma once
#include "threads.h"

DOVETAIL_EXPORT void dovetail_linear(float* y, const float* x, int64_t x_stride, const uint32_t* words,
                                     const uint32_t* params, const float* bias, int64_t m, int64_t n, int64_t k, int kind,
                                     int64_t block, int64_t params_per_panel, int threads);

DOVETAIL_EXPORT int dovetail_gated_linear(float* y, const float* x, int64_t x_stride, const uint32_t* words,
                                          const uint32_t* params, const float* bias, int64_t m, int64_t n, int64_t k, int kind,
                                          int64_t block, int64_t params_per_panel, int threads);

DOVETAIL_EXPORT void dovetail_rms_norm(float* out, float* sum, const float* x, int64_t x_stride, const float* delta,
                                       const float* weight, int64_t rows, int64_t width, float eps, int threads);

DOVETAIL_EXPORT void dovetail_silu_mul(float* out, const float* gate_up, int64_t rows, int64_t width, int threads);

DOVETAIL_EXPORT void dovetail_prepare_qkv(float* q, float* keys, float* values, const float* qkv, int64_t stride,
                                          const float* query_norm, const float* key_norm, const float* cos, const float* sin,
                                          const int64_t* slots, int64_t rows, int64_t heads, int64_t kv_heads, int64_t width,
                                          float eps, int threads);

DOVETAIL_EXPORT void dovetail_attention(float* out, const float* q, int64_t q_stride, const float* keys, const float* values,
                                        const int64_t* tables, int64_t table_width, const int64_t* sequences, int64_t count,
                                        int64_t heads, int64_t kv_heads, int64_t width, int64_t block_size, int64_t window,
                                        float scale, float softcap, const float* sinks, int rounded, int threads);
