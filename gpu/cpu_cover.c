/* A cover of the "cpu" device: its memory, its points and its centres. */
#include "gpu/cpu_cover.h"

#include "base/memory.h"

#include <string.h>

static pb_status allocate_points(pb_cover *cover) {
    size_t rows = cover->capacity, blocks = rows / PB_COVER_BLOCK + 1;
    PB_TRY(pb_allocate(&cover->rows, rows, cover->stride * sizeof *cover->rows, "points"));
    PB_TRY(pb_allocate(&cover->bounds, rows, sizeof *cover->bounds, "bounds of points"));
    PB_TRY(pb_allocate(&cover->nearest, rows, sizeof *cover->nearest, "nearest centres of points"));
    PB_TRY(pb_allocate(&cover->met, rows, sizeof *cover->met, "centres met by points"));
    PB_TRY(pb_allocate(&cover->candidates, rows, sizeof *cover->candidates, "candidates"));
    return pb_allocate(&cover->left, blocks, sizeof *cover->left, "blocks of points");
}

static pb_status allocate_work(pb_cover *cover) {
    PB_TRY(pb_allocate(&cover->work, (size_t)cover->threads, sizeof *cover->work, "work on points"));
    for (int t = 0; t < cover->threads; t++)
        PB_TRY(pb_allocate(&cover->work[t].rows, pb_cpu_chunk_rows(cover->dim), (size_t)cover->dim * sizeof(float),
                           "work on points"));
    return pb_ok();
}

pb_status pb_cpu_cover_create(pb_device *device, size_t capacity, int dim, uint32_t first_index, pb_cover **cover_out) {
    PB_ASSERT(capacity < UINT32_MAX - first_index && dim >= 1);
    *cover_out = NULL;
    pb_cover *cover;
    PB_TRY(pb_allocate(&cover, 1, sizeof *cover, "a cover"));
    *cover = (pb_cover){.kernels = ((const pb_cpu_state *)device->state)->kernels, .threads = device->threads, .dim = dim,
                        .first_index = first_index, .capacity = capacity, .stride = (size_t)dim};
    pb_status status = allocate_points(cover);
    if (!pb_failed(&status))
        status = allocate_work(cover);
    if (pb_failed(&status)) {
        pb_cpu_cover_free(device, cover);
        return status;
    }
    *cover_out = cover;
    return status;
}

void pb_cpu_cover_free(pb_device *device, pb_cover *cover) {
    (void)device;
    if (!cover)
        return;
    for (int t = 0; cover->work && t < cover->threads; t++) {
        pb_release(&cover->work[t].rows);
        pb_release(&cover->work[t].heads);
    }
    pb_release(&cover->work);
    pb_release(&cover->left);
    pb_release(&cover->rows);
    pb_release(&cover->bounds);
    pb_release(&cover->nearest);
    pb_release(&cover->met);
    pb_release(&cover->candidates);
    pb_release(&cover->centres);
    pb_release(&cover->centre_tiles);
    pb_release(&cover);
}

/* Copies a row and tells whether all of it is finite. */
static bool copy_row(float *to, const float *from, int dim) {
    bool sound = true;
    for (int k = 0; k < dim; k++) {
        sound &= (pb_float_bits(from[k]) & 0x7F800000u) != 0x7F800000u;
        to[k] = from[k];
    }
    return sound;
}

pb_status pb_cpu_cover_write(pb_device *device, pb_cover *cover, size_t first, size_t count, const float *rows,
                             int64_t *not_finite) {
    PB_ASSERT(cover->centre_count == 0);
    PB_ASSERT(count <= cover->capacity && first <= cover->capacity - count);
    int64_t least = INT64_MAX;
#pragma omp parallel for num_threads(device->threads) schedule(static) reduction(min : least)
    for (size_t i = 0; i < count; i++)
        if (!copy_row(cover->rows + (first + i) * cover->stride, rows + i * (size_t)cover->dim, cover->dim))
            least = (int64_t)(first + i) < least ? (int64_t)(first + i) : least;
    cover->count = first + count > cover->count ? first + count : cover->count;
    *not_finite = least == INT64_MAX ? -1 : least;
    return pb_ok();
}

void pb_cpu_cover_place(pb_device *device, pb_cover *cover, uint32_t first_index) {
    (void)device;
    PB_ASSERT(cover->centre_count == 0 && cover->capacity < UINT32_MAX - first_index);
    cover->first_index = first_index;
}

pb_status pb_cpu_cover_read(pb_device *device, const pb_cover *cover, size_t index, float *host_row) {
    (void)device;
    PB_ASSERT(index < cover->count);
    memcpy(host_row, cover->rows + index * cover->stride, (size_t)cover->dim * sizeof *host_row);
    return pb_ok();
}

static size_t tiles_of(size_t points) { return (points + PB_LANES - 1) / PB_LANES; }

/* Room for one more centre: doubled when it is used up, so that a centre costs the same however many there are. */
static pb_status reserve(pb_cover *cover) {
    if (cover->centre_count < cover->centre_room)
        return pb_ok();
    size_t old = cover->centre_room, room = old ? 2 * old : PB_COVER_CHUNK;
    PB_TRY(pb_resize(&cover->centres, old, room, cover->stride * sizeof *cover->centres, "centres"));
    PB_TRY(pb_resize(&cover->centre_tiles, tiles_of(old), tiles_of(room), PB_LANES * (size_t)cover->dim * sizeof(float),
                     "centres"));
    for (int t = 0; t < cover->threads; t++)
        PB_TRY(pb_resize(&cover->work[t].heads, 0, room / PB_COVER_CHUNK + 2, sizeof *cover->work[t].heads, "work on points"));
    cover->centre_room = room;
    return pb_ok();
}

pb_status pb_cover_append(pb_cover *cover, const float *row) {
    PB_TRY(reserve(cover));
    const size_t j = cover->centre_count;
    memcpy(cover->centres + j * cover->stride, row, (size_t)cover->dim * sizeof *row);
    float *lane = cover->centre_tiles + j / PB_LANES * PB_LANES * (size_t)cover->dim + j % PB_LANES;
    for (int k = 0; k < cover->dim; k++)
        lane[(size_t)k * PB_LANES] = row[k];
    cover->centre_count++;
    return pb_ok();
}

/* Every point meets the first centre, whatever its bound. */
static pb_status begin(pb_device *device, pb_cover *cover) {
    for (size_t i = 0; i < cover->count; i++)
        cover->bounds[i] = __builtin_inff();
    size_t count;
    uint64_t most;
    return pb_cpu_cover_refresh(device, cover, 0, &count, &most);
}

pb_status pb_cpu_cover_add(pb_device *device, pb_cover *cover, const float *centres, size_t count) {
    for (size_t j = 0; j < count; j++) {
        PB_TRY(pb_cover_append(cover, centres + j * (size_t)cover->dim));
        if (cover->centre_count == 1)
            PB_TRY(begin(device, cover));
    }
    return pb_ok();
}
