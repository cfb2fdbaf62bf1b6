/* filtered.h, private to tests/gpu/cuda/: points and queries that a filter finds hard, and memory of a search's filter. */
#ifndef PB_TESTS_GPU_CUDA_FILTERED_H
#define PB_TESTS_GPU_CUDA_FILTERED_H

#include "emulated.h"

typedef enum hard {
    EASY,      /* uniform numbers */
    LATTICE,   /* whole numbers up to 2047, which half precision has: far from the origin, near each other, so that the tensor
                * core's sums are off by more than the distances */
    SCALES,    /* rows of different magnitudes */
    NEIGHBOURS, /* nearly equal rows, which half precision cannot tell apart */
    TWINS,     /* few different rows: equal distances, and more candidates than there is room for */
    HARD
} hard;

/* rows [n][dim]; substream 0: points, 1: queries. */
static inline float *hard_rows(hard how, uint32_t substream, size_t n, int dim) {
    float *rows = numbers(UNIFORM, substream, n * (size_t)dim), *base = numbers(UNIFORM, 2, (size_t)dim);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < (size_t)dim; k++) {
            float *value = &rows[i * (size_t)dim + k];
            if (how == LATTICE)
                *value = (float)(int)(2000.0f + 40.0f * base[k]) + (float)(int)(*value * 2.5f);
            else if (how == SCALES)
                *value = ldexpf(*value, (int)(i * 7 % 5) - 2);
            else if (how == NEIGHBOURS)
                *value = base[k] + *value * 0x1p-12f;
            else if (how == TWINS)
                *value = (float)((int)(i % 3) - 1) * base[k];
        }
    pb_release(&base);
    return rows;
}

static inline float canonical(const float *x, const float *c, int dim) {
    float sum = 0;
    for (int k = 0; k < dim; k++) {
        const float t = x[k] - c[k];
        sum = fmaf(t, t, sum);
    }
    return sum;
}

static inline pb_cuda_halves halves_on_device(const float *rows, size_t n, int dim, bool tiles) {
    const size_t tile_bytes = (n + PB_CUDA_FILTER_SIDE - 1) / PB_CUDA_FILTER_SIDE * 2 * sizeof(uint64_t);
    pb_cuda_halves halves = {on_device(NULL, n * (size_t)pb_cuda_halves_pitch(dim) * sizeof(uint16_t)),
                             on_device(NULL, n * sizeof(pb_cuda_about)), tiles ? on_device(NULL, tile_bytes) : NULL};
    void *there = on_device(rows, n * (size_t)dim * sizeof *rows);
    if (tiles)
        assert_cuda(cudaMemsetAsync(halves.tiles, 0, tile_bytes, NULL));
    assert_cuda(pb_cuda_nearest_halves(NULL, there, n, dim, halves));
    assert_cuda(cudaFree(there));
    return halves;
}

static inline void free_halves(pb_cuda_halves halves) {
    assert_cuda(cudaFree(halves.halves));
    assert_cuda(cudaFree(halves.about));
    assert_cuda(cudaFree(halves.tiles));
}

static inline pb_cuda_candidates candidates_on_device(size_t count) {
    pb_cuda_candidates found = {on_device(NULL, count * sizeof *found.most), on_device(NULL, count * sizeof *found.counts),
                                on_device(NULL, count * PB_CUDA_FILTER_ROOM * sizeof *found.lists),
                                on_device(NULL, count * sizeof *found.beyond), on_device(NULL, sizeof *found.beyond_count)};
    assert_cuda(cudaMemsetAsync(found.counts, 0, count * sizeof *found.counts, NULL));
    assert_cuda(cudaMemsetAsync(found.beyond_count, 0, sizeof *found.beyond_count, NULL));
    return found;
}

static inline void free_candidates(pb_cuda_candidates found) {
    assert_cuda(cudaFree(found.most));
    assert_cuda(cudaFree(found.counts));
    assert_cuda(cudaFree(found.lists));
    assert_cuda(cudaFree(found.beyond));
    assert_cuda(cudaFree(found.beyond_count));
}

#endif
