/* Rows in half precision, for the filter of a search (nearest_filter.cu): each row divided by a power of two of its own, so that
 * its largest value lies from 256 to below 512, then rounded; with it how far the rounded row is from the true one, at most.
 *
 * A warp takes a row. With y the row over its scale and h the rounded y, in exact arithmetic (y - h is exact in float: it is a
 * multiple of y's last place and not larger than y; dividing is exact too, but for y below the least float, at most 2^-150 off):
 *   norm2   |scale h|^2, the float nearest to it but for dim / 32 + 6 roundings of 2^-24, which the filter's margin covers
 *   radius  >= |x - scale h|: the root of a sum of dim / 32 + 6 roundings, hence 1 + (dim + 32) 2^-22, plus 2^-50 of the scale
 *           for squares that underflow: of dim values each below 2^-74
 * A row that is nearly nothing (no value from 2^-50 on) becomes zeros: dim values below 2^-50, root dim their radius, and 2^-80
 * for what underflows. One with a value above 2^50, an infinity or a NaN becomes zeros with the radius +infinity: nothing is
 * known of it. So norms and scales stay normal floats, and sums finite.
 *
 * H100, 100,000 rows of 1,024 values: 410 MB read twice, once from the first cache, 205 MB written: 184 us at 3.35 TB/s. 256
 * threads, 24 registers: 8 blocks a multiprocessor, all 64 warps.
 */
#include "gpu/cuda/kernels.h"
#include "gpu/cuda/lanes.h"

/* tiles: NULL for queries. */
typedef struct halves_arguments {
    const float *rows;
    size_t count;
    int dim, pitch;
    unsigned short *halves;
    pb_cuda_about *about;
    packed_pair *tiles;
} halves_arguments;

enum { HALVES_THREADS = 256, HALVES_ROWS = HALVES_THREADS / WARP, HALVES_EXPONENT = 8 };

#define LEAST_BITS 0x26800000u /* of 2^-50 */
#define MOST_BITS 0x58800000u  /* of 2^50 */

/* The bits of the largest magnitude of a row. */
DEVICE unsigned largest_bits(const float *row, int dim) {
    unsigned most = 0;
    for (int k = (int)(threadIdx.x % WARP); k < dim; k += WARP) {
        const unsigned bits = __float_as_uint(row[k]) & 0x7FFFFFFFu;
        most = bits > most ? bits : most;
    }
    return (unsigned)warp_most(most);
}

/* Rounds a row that is neither too large nor too small; the lanes share it. */
DEVICE pb_cuda_about round_row(const float *row, int dim, int pitch, unsigned most, unsigned short *halves) {
    const unsigned exponent = (most >> 23) - HALVES_EXPONENT; /* with the bias of a float's */
    const float scale = __uint_as_float(exponent << 23), inverse = __uint_as_float((254u - exponent) << 23);
    float norm2 = 0.0f, lost2 = 0.0f;
    for (int k = (int)(threadIdx.x % WARP); k < pitch; k += WARP) {
        const float y = k < dim ? row[k] * inverse : 0.0f;
        const unsigned short bits = half_bits(y);
        const float h = half_value(bits), lost = y - h;
        halves[k] = bits;
        norm2 = fmaf(h, h, norm2);
        lost2 = fmaf(lost, lost, lost2);
    }
    const float more = 1.0f + (float)(dim + 32) * 0x1p-22f;
    pb_cuda_about about;
    about.scale = scale;
    about.norm2 = warp_sum(norm2) * scale * scale;
    about.radius = (sqrtf(warp_sum(lost2)) * more + 0x1p-50f) * scale;
    return about;
}

/* Makes a row zeros of which `radius` is known. Whatever it is measured against, its distance is known to within the radius. */
DEVICE pb_cuda_about clear_row(int pitch, float radius, unsigned short *halves) {
    for (int k = (int)(threadIdx.x % WARP); k < pitch; k += WARP)
        halves[k] = 0;
    pb_cuda_about about;
    about.scale = 1.0f;
    about.norm2 = 0.0f;
    about.radius = radius;
    return about;
}

/* All lanes of a warp have one row, so they return, or exchange, together. A row's largest magnitude is compared by its bits: a
 * NaN's are above those of every number. */
KERNEL(nearest_halves, halves_arguments, HALVES_THREADS, 8) {
    const size_t row = (size_t)blockIdx.x * HALVES_ROWS + threadIdx.x / WARP;
    if (row >= a.count)
        return;
    const float *values = a.rows + row * (size_t)a.dim;
    unsigned short *halves = a.halves + row * (size_t)a.pitch;
    const unsigned most = largest_bits(values, a.dim);
    pb_cuda_about about;
    if (most > MOST_BITS)
        about = clear_row(a.pitch, __uint_as_float(0x7F800000u), halves);
    else if (most < LEAST_BITS)
        about = clear_row(a.pitch, sqrtf((float)a.dim) * __uint_as_float(most) * 1.001f + 0x1p-80f, halves);
    else
        about = round_row(values, a.dim, a.pitch, most, halves);
    if (threadIdx.x % WARP > 0)
        return;
    a.about[row] = about;
    if (a.tiles) {
        packed_pair *tile = a.tiles + row / PB_CUDA_FILTER_SIDE * 2;
        atomicMax(tile, (packed_pair)__float_as_uint(about.radius));
        atomicMax(tile + 1, (packed_pair)__float_as_uint(about.norm2));
    }
}

cudaError_t pb_cuda_nearest_halves(cudaStream_t stream, const float *rows, size_t count, int dim, pb_cuda_halves halves) {
    if (count == 0)
        return cudaSuccess;
    const halves_arguments arguments = {rows, count, dim, pb_cuda_halves_pitch(dim), halves.halves, halves.about,
                                        (packed_pair *)halves.tiles};
    LAUNCH(nearest_halves, (unsigned)((count + HALVES_ROWS - 1) / HALVES_ROWS), HALVES_THREADS, 0, stream, arguments);
    return cudaGetLastError();
}
