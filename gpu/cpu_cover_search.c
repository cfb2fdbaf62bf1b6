/* Search by filter on the "cpu" device: a cover turned round, whose centres are the bank and whose points are queries that come
 * and go, a few thousand at a time. Each meets all centres, chunk by chunk; in a chunk the centre whose place is nearest is
 * measured first, so that few others have to be. In the end a query's nearest centre is known, the first of those that are
 * equally near, and its canonical distance is computed once more.
 *
 * Places and axes are the centres', of a sample. Queries that the margins do not hold for are left to the plain way.
 *
 * Cost: making it is axes of a sample and one pass over the bank; a batch of queries is a place each, and scores of 16
 * multiply-adds instead of dim for every pair. Its memory is a copy of the bank with 17 floats a row more, and 1,024 queries a
 * thread.
 *
 * Why the nearest is right to the index: a query's bound and nearest centre keep the promise of cpu_cover_body.h, in which ties
 * go to the smaller number; its canonical distance then joins the packed minimum, as in any search.
 */
#include "gpu/cpu_cover_search.h"

#include "base/memory.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* Points of which the axes are made: a quarter of a cover's, since they must pay within a few batches. */
enum { SAMPLE = 256 };

/* Axes of rows spread evenly over all, read by `read`; the sample is made of whole rows, padded with the zeros that memory comes
 * with. Leaves cover->filtered as pb_axes_find says. */
static pb_status find_axes(pb_cover *cover, size_t count, pb_row_reader *read, const void *context) {
    const size_t taken = count < SAMPLE ? count : SAMPLE;
    float *rows;
    PB_TRY(pb_allocate(&rows, taken, cover->stride * sizeof *rows, "a sample of points"));
    for (size_t i = 0; i < taken; i++)
        read(context, i * count / taken, rows + i * cover->stride);
    pb_status status = pb_axes_find(rows, taken, cover->stride, cover->dim, &cover->axes, &cover->filtered);
    pb_release(&rows);
    if (!pb_failed(&status) && cover->filtered)
        status = pb_allocate(&cover->places, cover->capacity, PB_AXES * sizeof *cover->places, "places of queries");
    return status;
}

/* Appends every row as a centre. No point meets them: there are none yet. */
static pb_status add_centres(pb_cover *cover, size_t count, pb_row_reader *read, const void *context) {
    float *row;
    PB_TRY(pb_allocate(&row, (size_t)cover->dim, sizeof *row, "a point"));
    pb_status status = pb_cover_reserve(cover, count);
    for (size_t i = 0; i < count && !pb_failed(&status); i++) {
        read(context, i, row);
        status = pb_cover_append(cover, row);
    }
    pb_release(&row);
    return status;
}

/* The roles are turned: the cover's points are queries, room for a block of them a thread, and its centres the bank. Whatever
 * keeps it from filtering ends it here, before anybody has used it. */
pb_status pb_cover_search_begin(pb_device *device, size_t count, int dim, pb_row_reader *read, const void *context,
                                pb_cover **cover_out) {
    pb_cover *cover;
    *cover_out = NULL;
    PB_TRY(pb_cpu_cover_create(device, (size_t)device->threads * PB_COVER_BLOCK, dim, 0, &cover));
    pb_status status = pb_cover_may_filter(dim) ? find_axes(cover, count, read, context) : pb_ok();
    if (!pb_failed(&status) && cover->filtered)
        status = add_centres(cover, count, read, context);
    if (pb_failed(&status) || !cover->filtered || !pb_cover_holds(&cover->extent)) {
        pb_cpu_cover_free(device, cover);
        return status;
    }
    *cover_out = cover;
    return status;
}

/* Where block b of `blocks` of `count` queries begins: whole tiles. Blocks as equal as whole tiles allow, at most one a thread,
 * so a block has at most PB_COVER_BLOCK queries. */
static size_t begin_of(size_t b, size_t blocks, size_t count) {
    const size_t tiles = (count + PB_COVER_TILE - 1) / PB_COVER_TILE, begin = tiles * b / blocks * PB_COVER_TILE;
    return begin < count ? begin : count;
}

/* Queries begin .. end - 1 become the points of the same places and meet the first centre. Returns whether all of their values
 * are finite. Places of values that are not finite are computed too and thrown away: whether there are any is known only when all
 * threads are done. */
static bool take_queries(pb_cover *cover, const float *queries, size_t begin, size_t end, pb_cover_extent *extent) {
    bool sound = true;
    for (size_t i = begin; i < end; i++)
        sound &= pb_cover_copy_row(cover->rows + i * cover->stride, queries + i * (size_t)cover->dim, cover->dim);
    cover->kernels->cover->start(cover, begin, end, &cover->work[omp_get_thread_num()].counts, extent);
    return sound;
}

/* Points begin .. end - 1 meet all centres, and say what is nearest to them. The floor 0 keeps every point to the end. The
 * distance is computed anew in canonical form, as the bound may be 3 EPS above it; PB_NEAREST_NONE and what other parts of the
 * bank have found lose or win by the packed minimum. */
static void search_block(pb_cover *cover, pb_cover_work *work, size_t begin, size_t end, uint32_t first_index,
                         uint64_t *nearest) {
    for (size_t i = begin; i < end; i++)
        work->active[i - begin] = (uint32_t)i;
    for (size_t j = 0; j < cover->centre_count; j += PB_COVER_CHUNK)
        cover->kernels->cover->advance(cover, work, work->active, end - begin, j,
                                       cover->centre_count - j < PB_COVER_CHUNK ? cover->centre_count : j + PB_COVER_CHUNK, 0);
    for (size_t i = begin; i < end; i++) {
        const float *centre = cover->centres + cover->nearest[i] * cover->stride;
        const float distance2 = cover->kernels->distance2(cover->rows + i * cover->stride, centre, cover->dim);
        const uint64_t packed = pb_pack_nearest(distance2, first_index + cover->nearest[i]);
        nearest[i] = packed < nearest[i] ? packed : nearest[i];
    }
}

/* Up to as many queries as the cover has room for. Returns whether the margins hold for them. Two parallel loops with the margins
 * between: they must hold for all queries and all centres before the first pair is excluded. The squares of the centres count in
 * whether they hold, the places only in how wide they are. */
static bool search_some(pb_cover *cover, uint32_t first_index, const float *queries, size_t count, uint64_t *nearest) {
    const size_t tiles = (count + PB_COVER_TILE - 1) / PB_COVER_TILE;
    const size_t blocks = tiles < (size_t)cover->threads ? tiles : (size_t)cover->threads;
    float row2 = 0, place2 = 0;
    bool sound = true;
#pragma omp parallel for num_threads((int)blocks) schedule(static) reduction(max : row2, place2) reduction(&& : sound)
    for (size_t b = 0; b < blocks; b++) {
        pb_cover_extent extent = {row2, place2};
        sound = take_queries(cover, queries, begin_of(b, blocks, count), begin_of(b + 1, blocks, count), &extent) && sound;
        row2 = extent.row2;
        place2 = extent.place2;
    }
    const pb_cover_extent extent = {row2 > cover->extent.row2 ? row2 : cover->extent.row2, place2};
    if (!sound || !pb_cover_holds(&extent))
        return false;
    pb_cover_widen(cover, &extent);
#pragma omp parallel for num_threads((int)blocks) schedule(static)
    for (size_t b = 0; b < blocks; b++)
        search_block(cover, cover->work + omp_get_thread_num(), begin_of(b, blocks, count), begin_of(b + 1, blocks, count),
                     first_index, nearest);
    return true;
}

/* Stops at the first part whose queries cannot be filtered; the caller searches the rest plainly. Parts before it are done and
 * stay. */
size_t pb_cover_search(pb_cover *cover, uint32_t first_index, const float *queries, size_t count, uint64_t *nearest) {
    for (size_t done = 0; done < count; done += cover->capacity) {
        const size_t some = count - done < cover->capacity ? count - done : cover->capacity;
        if (!search_some(cover, first_index, queries + done * (size_t)cover->dim, some, nearest + done))
            return done;
    }
    return count;
}

/* Pairs are counted since the filter was made. When fewer than half were filtered, most blocks have found by their own sample
 * (`advance`) that it does not pay. */
bool pb_cover_search_pays(const pb_cover *cover) {
    uint64_t filtered = 0, plain = 0;
    for (int t = 0; t < cover->threads; t++) {
        filtered += cover->work[t].counts.filtered;
        plain += cover->work[t].counts.plain;
    }
    return plain <= filtered;
}
