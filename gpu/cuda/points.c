/* Points of the "cuda" device: rows as they come, and their distances. No layout of its own: kernels bring rows through shared
 * memory (decision 0021). Whatever only queues work returns at once; store waits, because the host is told of points that are not
 * finite. */
#include "gpu/cuda/cuda.h"

#include "base/memory.h"

/* All pointers are device memory. */
struct pb_points {
    size_t capacity, count;
    int dim;
    float *rows;      /* [capacity][dim] */
    float *distance2; /* [capacity] */
    uint64_t *least;  /* one: the least point that is not finite */
};

/* capacity * dim may overflow size_t: pb_cuda_allocate tells. */
pb_status pb_cuda_points_create(pb_device *device, size_t capacity, int dim, pb_points **points_out) {
    *points_out = NULL;
    pb_points *points;
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(pb_allocate(&points, 1, sizeof *points, "points"));
    *points = (pb_points){.capacity = capacity, .dim = dim};
    pb_status status = pb_cuda_allocate(device, &points->rows, capacity, (size_t)dim * sizeof(float), "points");
    if (!pb_failed(&status))
        status = pb_cuda_allocate(device, &points->distance2, capacity, sizeof(float), "distances of points");
    if (!pb_failed(&status))
        status = pb_cuda_allocate(device, &points->least, 1, sizeof *points->least, "the number of a point");
    if (pb_failed(&status)) {
        pb_cuda_points_free(device, points);
        return status;
    }
    *points_out = points;
    return status;
}

void pb_cuda_points_free(pb_device *device, pb_points *points) {
    (void)device;
    if (!points)
        return;
    pb_cuda_release(&points->rows);
    pb_cuda_release(&points->distance2);
    pb_cuda_release(&points->least);
    pb_release(&points);
}

/* The least index is a minimum over all threads of the kernel, the same in any order. */
pb_status pb_cuda_points_store(pb_device *device, pb_points *points, size_t first, size_t count, const float *rows,
                               int64_t *not_finite) {
    PB_ASSERT(count <= points->capacity && first <= points->capacity - count);
    uint64_t least = UINT64_MAX;
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(pb_cuda_set(device, points->least, 0xFF, sizeof least));
    PB_TRY(pb_cuda_check(device,
                         pb_cuda_points_write(pb_cuda_state_of(device)->stream, rows, count, points->dim, first,
                                              points->rows + first * (size_t)points->dim, points->distance2 + first,
                                              points->least),
                         "points_write"));
    PB_TRY(pb_cuda_download(device, &least, points->least, sizeof least));
    points->count = first + count > points->count ? first + count : points->count;
    *not_finite = least == UINT64_MAX ? -1 : (int64_t)least;
    return pb_ok();
}

pb_status pb_cuda_points_read(pb_device *device, const pb_points *points, size_t index, float *row) {
    PB_ASSERT(index < points->count);
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_move(device, row, points->rows + index * (size_t)points->dim, (size_t)points->dim * sizeof *row);
}

void pb_cuda_points_clear(pb_device *device, pb_points *points) {
    (void)device;
    points->count = 0; /* whatever is written next resets its own distances */
}

/* *best begins at 0, less than every packed pair. */
pb_status pb_cuda_points_step(pb_device *device, pb_points *points, uint32_t first_index, const float *centre, uint64_t *best) {
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(pb_cuda_set(device, best, 0, sizeof *best));
    return pb_cuda_check(device,
                         pb_cuda_greedy_step(pb_cuda_state_of(device)->stream, points->rows, points->count, points->dim,
                                             first_index, centre, points->distance2, best),
                         "greedy_step");
}

pb_status pb_cuda_points_nearest(pb_device *device, const pb_points *points, uint32_t first_index, const float *queries,
                                 size_t count, uint64_t *nearest) {
    PB_ASSERT(points->count <= UINT32_MAX - first_index);
    const pb_cuda_search search = {points->rows, points->count, points->dim, first_index, queries, count, nearest};
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_search_run(device, &search);
}
