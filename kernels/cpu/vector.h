// Vectors of DOVETAIL_WIDTH floats in the compilers' own vector types: + * and conversions need no intrinsics, and the
// same code becomes SSE2, NEON, AVX2 or AVX-512. Included once per instruction set, so there is no include guard.
namespace DOVETAIL_ISA {

constexpr int W = DOVETAIL_WIDTH;
typedef float Vec __attribute__((vector_size(4 * DOVETAIL_WIDTH)));
typedef uint32_t Words __attribute__((vector_size(4 * DOVETAIL_WIDTH)));
typedef int32_t Ints __attribute__((vector_size(4 * DOVETAIL_WIDTH)));

#define DOVETAIL_INLINE static inline __attribute__((always_inline))

DOVETAIL_INLINE Vec load(const float* p) {
  Vec v;
  memcpy(&v, p, sizeof v);
  return v;
}
DOVETAIL_INLINE Words load_words(const uint32_t* p) {
  Words v;
  memcpy(&v, p, sizeof v);
  return v;
}
DOVETAIL_INLINE void store(float* p, Vec v) { memcpy(p, &v, sizeof v); }
DOVETAIL_INLINE Vec splat(float x) { return x - Vec{}; }  // not Vec{} + x: an addition, for 0 + -0 is 0
DOVETAIL_INLINE Vec to_float(Ints v) { return __builtin_convertvector(v, Vec); }

DOVETAIL_INLINE float sum(Vec v) {
#if DOVETAIL_WIDTH == 16
  return _mm512_reduce_add_ps((__m512)v);
#elif DOVETAIL_WIDTH == 8
  __m128 a = _mm_add_ps(_mm256_castps256_ps128((__m256)v), _mm256_extractf128_ps((__m256)v, 1));
  a = _mm_add_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)));
#else
  return (v[0] + v[2]) + (v[1] + v[3]);
#endif
}

// The sums of four vectors; on x86 a third of the work of four single ones.
DOVETAIL_INLINE void sum_four(const Vec* v, float* sums) {
#if DOVETAIL_WIDTH == 4
  for (int i = 0; i < 4; ++i) sums[i] = sum(v[i]);
#else
  __m128 part[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
#if DOVETAIL_WIDTH == 16
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256((__m512)v[i]), _mm512_extractf32x8_ps((__m512)v[i], 1));
#else
    const __m256 half = (__m256)v[i];
#endif
    part[i] = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  }
  _mm_storeu_ps(sums, _mm_hadd_ps(_mm_hadd_ps(part[0], part[1]), _mm_hadd_ps(part[2], part[3])));
#endif
}

// e^x; below -87 (denormal results) as at -87, above 88 as at 88. Relative error below 3e-7.
DOVETAIL_INLINE Vec exponential(Vec x) {
  const Vec low = splat(-87.0f), high = splat(88.0f);
  x = (Vec)(((Words)x & (Words)(x > low)) | ((Words)low & ~(Words)(x > low)));
  x = (Vec)(((Words)x & (Words)(x < high)) | ((Words)high & ~(Words)(x < high)));
  const Vec magic = splat(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer in the low mantissa bits
  Vec shifted = x * 1.44269504f + magic;
  Vec n = shifted - magic;
  Vec r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  Vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  Words power = ((Words)__builtin_convertvector(n, Ints) + 127u) << 23;
  return p * (Vec)power;
}

}  // namespace DOVETAIL_ISA
