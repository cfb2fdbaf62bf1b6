/* A cover of the "cpu" device (contract: gpu/cover.h): its memory, its points and its centres, and whether it filters.
 *
 * Order of reading: create and free; write, place and read, which are before the first centre; then centres. With the first
 * centre it is decided whether pairs will be filtered (begin_filter, start); every later centre only gets a row, a place, and
 * margins that hold for it too. No point meets a later centre here: that is refresh's work (cpu_cover_rounds.c).
 *
 * Invariants. bounds, nearest and met of a point always belong together: bounds is what cpu_cover_body.h promises of the centres
 * 0 .. met - 1. extent holds for every row that has a place, points and centres alike, and rounding, reach and slack follow from
 * it. filtered goes from true to false at most, never back, once there is a centre; bounds that were found by filter stay valid
 * without it. Rows have zeros beyond dim up to stride, so that sums over whole registers are those over dim.
 *
 * Errors are those of memory. A cover whose add has failed may be added to again, or freed.
 */
#include "gpu/cpu_cover.h"

#include "base/memory.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* Where the margins of cpu_cover_body.h hold. With fewer dimensions places would be no smaller than rows. DIM_MOST: the bound EPS
 * = 2 (dim + 4) u of g(dim + 2) is proved up to there. */
enum { DIM_LEAST = PB_AXES + 1, DIM_MOST = 2048 };

/* X^2: below, an underflow could be seen beside E; above, a square might overflow: 2^64 leaves room below float's 2^128 for all
 * that is summed from rows and places. */
static const float ROW2_LEAST = 0x1p-64f, ROW2_MOST = 0x1p64f;

/* Everything that has one value a point, and `left`, which has one a block in refresh and one a thread in scan. Places are made
 * when a filter is (begin_filter). */
static pb_status allocate_points(pb_cover *cover) {
    size_t rows = cover->capacity, blocks = pb_cover_blocks(rows) + 1, threads = (size_t)cover->threads;
    PB_TRY(pb_allocate(&cover->rows, rows, cover->stride * sizeof *cover->rows, "points"));
    PB_TRY(pb_allocate(&cover->bounds, rows, sizeof *cover->bounds, "bounds of points"));
    PB_TRY(pb_allocate(&cover->nearest, rows, sizeof *cover->nearest, "nearest centres of points"));
    PB_TRY(pb_allocate(&cover->met, rows, sizeof *cover->met, "centres met by points"));
    PB_TRY(pb_allocate(&cover->candidates, rows, sizeof *cover->candidates, "candidates"));
    return pb_allocate(&cover->left, blocks > threads ? blocks : threads, sizeof *cover->left, "blocks of points");
}

/* What each thread works with; `heads` grows with the centres (reserve). */
static pb_status allocate_work(pb_cover *cover) {
    const size_t row = (size_t)cover->dim * sizeof(float);
    PB_TRY(pb_allocate(&cover->work, (size_t)cover->threads, sizeof *cover->work, "work on points"));
    for (int t = 0; t < cover->threads; t++) {
        pb_cover_work *work = &cover->work[t];
        PB_TRY(pb_allocate(&work->rows, pb_cpu_chunk_rows(cover->dim), row, "work on points"));
        PB_TRY(pb_allocate(&work->tiles, pb_cover_tile_centres(cover->dim), row, "work on points"));
    }
    return pb_ok();
}

bool pb_cover_may_filter(int dim) { return dim >= DIM_LEAST && dim <= DIM_MOST; }

bool pb_cover_holds(const pb_cover_extent *extent) { return extent->row2 >= ROW2_LEAST && extent->row2 <= ROW2_MOST; }

/* Contract: gpu/cover.h. Rows that may be filtered are padded to whole tiles, which the loops over registers need; others stay
 * dense, as the plain way takes them. Memory is zeroed, so padding needs no loop. */
pb_status pb_cpu_cover_create(pb_device *device, size_t capacity, int dim, uint32_t first_index, pb_cover **cover_out) {
    PB_ASSERT(capacity < UINT32_MAX - first_index && dim >= 1);
    *cover_out = NULL;
    pb_cover *cover;
    PB_TRY(pb_allocate(&cover, 1, sizeof *cover, "a cover"));
    *cover = (pb_cover){.kernels = ((const pb_cpu_state *)device->state)->kernels, .threads = device->threads, .dim = dim,
                        .first_index = first_index, .capacity = capacity};
    cover->stride = pb_cover_may_filter(dim) ? (size_t)(dim + PB_COVER_TILE - 1) / PB_COVER_TILE * PB_COVER_TILE : (size_t)dim;
    cover->rounding = 2 * ((float)dim + 4) * 0x1p-24f;
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

/* What only a filter needs. */
static void release_filter(pb_cover *cover) {
    pb_axes_free(&cover->axes);
    pb_release(&cover->places);
    pb_release(&cover->centre_places);
}

/* Takes a cover at any stage of being made. */
void pb_cpu_cover_free(pb_device *device, pb_cover *cover) {
    (void)device;
    if (!cover)
        return;
    for (int t = 0; cover->work && t < cover->threads; t++) {
        pb_release(&cover->work[t].rows);
        pb_release(&cover->work[t].tiles);
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
    release_filter(cover);
    pb_release(&cover);
}

/* By bits and without a branch, so that the loop is vectorised: an exponent of all ones is an infinity or a NaN. */
bool pb_cover_copy_row(float *to, const float *from, int dim) {
    bool sound = true;
    for (int k = 0; k < dim; k++) {
        sound &= (pb_float_bits(from[k]) & 0x7F800000u) != 0x7F800000u;
        to[k] = from[k];
    }
    return sound;
}

/* The least index is a minimum, so it is the same for any number of threads. */
pb_status pb_cpu_cover_write(pb_device *device, pb_cover *cover, size_t first, size_t count, const float *rows,
                             int64_t *not_finite) {
    (void)device;
    PB_ASSERT(cover->centre_count == 0);
    PB_ASSERT(count <= cover->capacity && first <= cover->capacity - count);
    int64_t least = INT64_MAX;
#pragma omp parallel for num_threads(pb_cover_threads(cover, count)) schedule(static) reduction(min : least)
    for (size_t i = 0; i < count; i++)
        if (!pb_cover_copy_row(cover->rows + (first + i) * cover->stride, rows + i * (size_t)cover->dim, cover->dim))
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

pb_status pb_cpu_cover_read(pb_device *device, const pb_cover *cover, size_t first, size_t count,
                            float *host_rows) {
    (void)device;
    PB_ASSERT(first <= cover->count && count <= cover->count - first);
    for (size_t i = 0; i < count; i++)
        memcpy(host_rows + i * (size_t)cover->dim, cover->rows + (first + i) * cover->stride,
               (size_t)cover->dim * sizeof *host_rows);
    return pb_ok();
}

/* pb_resize zeroes what is new, which is the padding of centres. heads is scratch of one call of sort_by_chunk, so its old values
 * need not be kept (old count 0). The room is noted last: after an error the next call begins anew. */
static pb_status make_room(pb_cover *cover, size_t room) {
    const size_t old = cover->centre_room;
    PB_TRY(pb_resize(&cover->centres, old, room, cover->stride * sizeof *cover->centres, "centres"));
    if (cover->filtered)
        PB_TRY(pb_resize(&cover->centre_places, old, room, PB_COVER_PLACE * sizeof *cover->centre_places, "centres"));
    for (int t = 0; t < cover->threads; t++)
        PB_TRY(pb_resize(&cover->work[t].heads, 0, room / PB_COVER_CHUNK + 2, sizeof *cover->work[t].heads, "work on points"));
    cover->centre_room = room;
    return pb_ok();
}

pb_status pb_cover_reserve(pb_cover *cover, size_t count) {
    const size_t room = (count + PB_COVER_CHUNK - 1) / PB_COVER_CHUNK * PB_COVER_CHUNK;
    return room > cover->centre_room ? make_room(cover, room) : pb_ok();
}

/* Room for one more centre: doubled when it is used up, so that a centre costs the same however many there are. */
static pb_status reserve_one(pb_cover *cover) {
    if (cover->centre_count < cover->centre_room)
        return pb_ok();
    return make_room(cover, cover->centre_room ? 2 * cover->centre_room : PB_COVER_CHUNK);
}

/* A centre's place in the form in which it is scored: |c|^2 - 2 c y is one multiply-add an axis. The square is summed here in
 * order; margin 4 holds for any order. */
static void place_centre(pb_cover *cover, size_t j, pb_cover_extent *extent) {
    _Alignas(PB_ALIGNMENT) float place[PB_AXES];
    float *centre = cover->centre_places + j * PB_COVER_PLACE;
    cover->kernels->cover->place(cover, cover->centres + j * cover->stride, 1, place, extent);
    centre[0] = 0.0f;
    for (int h = 0; h < PB_AXES; h++) {
        centre[0] += place[h] * place[h];
        centre[1 + h] = -2.0f * place[h];
    }
}

pb_status pb_cover_append(pb_cover *cover, const float *row) {
    PB_TRY(reserve_one(cover));
    PB_ASSERT(cover->centre_count < UINT32_MAX);
    const size_t j = cover->centre_count++;
    memcpy(cover->centres + j * cover->stride, row, (size_t)cover->dim * sizeof *row); /* zeros beyond dim from pb_resize */
    if (cover->filtered) {
        pb_cover_extent extent = {0};
        place_centre(cover, j, &extent);
        pb_cover_widen(cover, &extent);
    }
    return pb_ok();
}

/* Gives up the filter for good. Bounds that were found by it stay as good as they are: at most 3 EPS above the canonical ones,
 * and the plain way knows that (`take` in cpu_cover_exact.c). From now on every distance is canonical. */
static void leave_filter(pb_cover *cover) {
    release_filter(cover);
    cover->filtered = false;
}

/* E and G of cpu_cover_body.h, a little larger than they need be. In double, from lengths that were measured in float and made
 * longer by as much as that may err; `up` is for 1 / (1 - p u), at most 1.0002 for the dimensions allowed, and for the rounding
 * to float. */
static void set_margins(pb_cover *cover) {
    const double u = 0x1p-24, up = 1.01, longer = 1 + (double)cover->rounding;
    const double x = sqrt(cover->extent.row2) * longer, y = sqrt(cover->extent.place2) * longer;
    double sum = 0;
    for (int h = 0; h < PB_AXES; h++) {
        double terms = fabs(cover->axes.shift[h]) + cover->axes.norm[h] * x;
        sum += terms * terms;
    }
    cover->reach = (float)(up * 2 * (cover->dim + 2) * u * sqrt(sum));
    cover->slack = (float)(up * 8 * (PB_AXES + 6) * u * y * y + 0x1p-100);
}

/* Margins only grow. What was excluded under smaller ones was excluded rightly, as they held for the rows there were. */
void pb_cover_widen(pb_cover *cover, const pb_cover_extent *extent) {
    pb_cover_extent *all = &cover->extent;
    if (extent->row2 <= all->row2 && extent->place2 <= all->place2)
        return;
    all->row2 = extent->row2 > all->row2 ? extent->row2 : all->row2;
    all->place2 = extent->place2 > all->place2 ? extent->place2 : all->place2;
    if (all->row2 <= ROW2_MOST)
        set_margins(cover);
    else
        leave_filter(cover);
}

/* Axes of the points that there are. A cover without points, that of an empty rank say, has none and is never filtered: in a
 * selection it only picks among what others send. Without an error but without axes (all points equal, or the proof failed)
 * filtered stays false. */
static pb_status begin_filter(pb_cover *cover) {
    release_filter(cover); /* of an attempt that failed */
    if (!pb_cover_may_filter(cover->dim) || cover->count == 0)
        return pb_ok();
    PB_TRY(pb_axes_find(cover->rows, cover->count, cover->stride, cover->dim, &cover->axes, &cover->filtered));
    if (cover->filtered)
        PB_TRY(pb_allocate(&cover->places, cover->capacity, PB_AXES * sizeof *cover->places, "places of points"));
    return pb_ok();
}

/* Every point gets its place and meets the first centre. The filter is left here when the points turn out to be so short that an
 * underflow could be seen (row2), or so long that margins do not hold (pb_cover_widen). */
static void start(pb_cover *cover) {
    float row2 = 0, place2 = 0;
#pragma omp parallel for num_threads(pb_cover_threads(cover, cover->count)) schedule(static) reduction(max : row2, place2)
    for (size_t b = 0; b < pb_cover_blocks(cover->count); b++) {
        size_t begin = b * PB_COVER_BLOCK, end = begin + PB_COVER_BLOCK;
        pb_cover_extent extent = {row2, place2};
        cover->kernels->cover->start(cover, begin, end < cover->count ? end : cover->count,
                                     &cover->work[omp_get_thread_num()].counts, &extent);
        row2 = extent.row2;
        place2 = extent.place2;
    }
    const pb_cover_extent extent = {row2, place2};
    pb_cover_widen(cover, &extent);
    if (!(row2 >= ROW2_LEAST))
        leave_filter(cover);
}

/* Every point meets the first centre, without a place. Memory came zeroed, so that nearest need not be set. The same function
 * serves a filter that was left just now, whose nearest is 0 too. */
static void start_plain(pb_cover *cover) {
#pragma omp parallel for num_threads(pb_cover_threads(cover, cover->count)) schedule(static)
    for (size_t i = 0; i < cover->count; i++) {
        cover->bounds[i] = cover->kernels->distance2(cover->rows + i * cover->stride, cover->centres, cover->dim);
        cover->met[i] = 1; /* and the nearest is 0 */
    }
}

static pb_status add_first(pb_cover *cover, const float *row) {
    PB_TRY(begin_filter(cover));
    PB_TRY(pb_cover_append(cover, row));
    if (cover->filtered)
        start(cover);
    if (!cover->filtered) /* perhaps only now, because of the points */
        start_plain(cover);
    return pb_ok();
}

/* After an error the centres before it are in; the caller gives the cover up. */
pb_status pb_cpu_cover_add(pb_device *device, pb_cover *cover, const float *centres, size_t count) {
    (void)device;
    for (size_t j = 0; j < count; j++) {
        const float *row = centres + j * (size_t)cover->dim;
        PB_TRY(cover->centre_count == 0 ? add_first(cover, row) : pb_cover_append(cover, row));
    }
    return pb_ok();
}
