/* cpu_kernels.h: private to gpu/: the inner loops of the "cpu" device, once per instruction set.
 *
 * All sets come from one source (cpu_kernels_body.h) and give the same bits: each lane of a vector does the canonical arithmetic
 * of gpu/device.h for its own point, so the width of the vectors changes nothing. They are single threaded; the callers
 * (cpu_points.c, cpu_features.c) divide the work and merge packed results, whose minimum and maximum know no order.
 *
 * Layout. A tile holds PB_LANES points, dimension by dimension: [dim][PB_LANES] float, aligned to PB_ALIGNMENT; tiles follow each
 * other. It is the same for every instruction set. Lanes beyond the last point hold any numbers and are never reported.
 */
#ifndef PB_GPU_CPU_KERNELS_H
#define PB_GPU_CPU_KERNELS_H

#include <stddef.h>
#include <stdint.h>

enum {
    PB_LANES = 32,      /* points in a tile: two AVX-512 registers, four of AVX2 */
    PB_ROWS_STEP = 24,  /* a multiple of the rows that any set works on at once */
    PB_ROWS_CHUNK = 240 /* most rows (queries) that pb_cpu_chunk_rows gives */
};

/* Rows to give to one call: as many as fit in 256 KiB, so that they stay in the second cache beside a tile, and the tiles come
 * from memory once a chunk. A multiple of PB_ROWS_STEP, at most PB_ROWS_CHUNK. dim >= 1; for very many dimensions at least
 * PB_ROWS_STEP rows. */
static inline size_t pb_cpu_chunk_rows(int dim) {
    size_t steps = (256 << 10) / sizeof(float) / PB_ROWS_STEP / (size_t)dim, most = PB_ROWS_CHUNK / PB_ROWS_STEP;
    return (steps == 0 ? 1 : steps < most ? steps : most) * PB_ROWS_STEP;
}

typedef struct pb_cover_kernels pb_cover_kernels; /* gpu/cpu_cover.h */
extern const pb_cover_kernels pb_cover_kernels_plain, pb_cover_kernels_avx2, pb_cover_kernels_avx512;

/* One instruction set's kernels. None allocates, fails or keeps anything between calls; all memory is host memory, the caller's.
 * Points and rows must be finite where distances are compared, but no value makes a kernel read or write outside of what it was
 * given. */
typedef struct pb_cpu_kernels {
    const char *name; /* "avx512", "avx2", "plain" */

    /* Nearest points of `count` queries [count][dim] among points 0 .. points - 1 of tiles; nearest: [count], in and out, as
     * pb_device_nearest. count may be any number; pb_cpu_chunk_rows says what is fast. */
    void (*nearest)(const float *tiles, size_t points, int dim, uint32_t first_index, const float *queries, size_t count,
                    uint64_t *nearest);

    /* Canonical distance^2 of two rows. One chain of additions: for single pairs, not for scans. */
    float (*distance2)(const float *a, const float *b, int dim);

    /* One greedy step over points 0 .. points - 1 of tiles. distance2: [tiles * PB_LANES], in and out, aligned to PB_ALIGNMENT.
     * Returns the packed maximum with indices counted from first_index; 0 when points is 0. */
    uint64_t (*greedy_step)(const float *tiles, size_t points, int dim, uint32_t first_index, const float *centre,
                            float *distance2);

    /* Projects `count` rows [count][dim] on the columns in tiles (column j is "point" j of them); out: [count][columns]. */
    void (*project)(const float *tiles, int columns, int dim, const float *rows, size_t count, float *out);

    /* Means over patch x patch places of one row of a tap. rows: `patch` rows [width][channels] of the tap, the middle one being
     * the row itself; NULL outside the image. zeros: [channels] zeros. Place x goes to out + x * stride. */
    void (*mean_row)(int patch, const float *const *rows, const float *zeros, int width, int channels, float *out, size_t stride);

    /* out[i] = fmaf(fraction, b[i] - a[i], a[i]). out may be neither a nor b. */
    void (*blend)(const float *a, const float *b, float fraction, size_t count, float *out);

    /* out[i] = fmaf(fraction[i], row[high[i]] - row[low[i]], row[low[i]]). */
    void (*stretch)(const float *row, const int *low, const int *high, const float *fraction, size_t count, float *out);

    /* out[i] = s: s = weights[0] * near[reach][i]; for k = 1 .. reach in order: s = fmaf(weights[k], near[reach - k][i] +
     * near[reach + k][i], s). near: 2 * reach + 1 stretches of memory, which may overlap each other; out overlaps none. */
    void (*smooth)(const float *const *near, const float *weights, int reach, size_t count, float *out);

    /* Divides a row by its length, as pb_device_unit_rows. */
    void (*unit_row)(float *row, int dim);

    /* The transforms of gpu/cpu_winograd.h for one tile, of whose channels there are a multiple of 16. Sums are taken down the
     * tile first, then across, from its first row or column to its last.
     * spread: pixels of the tile, row by row, to out + position * stride.
     * collect: products + position * stride; pixel = min(max(sum + bias + residual, lowest), highest), a NaN staying one. */
    void (*winograd_spread)(const float *const pixels[16], int channels, float *out, size_t stride);
    void (*winograd_collect)(const float *products, size_t stride, const float *bias, const float *const residuals[4],
                             float lowest, float highest, int channels, float *const pixels[4]);

    const pb_cover_kernels *cover;
} pb_cpu_kernels;

/* gpu/cpu_kernels.c chooses among these by what the processor runs; to call one that it does not run ends the process. */
extern const pb_cpu_kernels pb_cpu_kernels_plain, pb_cpu_kernels_avx2, pb_cpu_kernels_avx512;

#endif
