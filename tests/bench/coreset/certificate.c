/* certificate.c: picks are looked at in blocks. Before a block every point's distance to all picks before it is known. A point
 * that is nearer than the block's last radius cannot beat any pick of the block; the few others meet the block's picks one by
 * one. */
#include "certificate.h"

#include "base/memory.h"
#include "mpi/partition.h"

#include <math.h>
#include <string.h>

/* Picks of a block for each pick before it: few points then stay above its last radius. */
static const double BLOCK = 0.03;

typedef struct check {
    pb_device *device;
    const bench_points *points;
    const pb_coreset *coreset;
    bench_certificate found;
    pb_range mine;
    size_t count, dim, block_most;
    float *rows, *picks;               /* device memory: [count][dim] this rank's points; [picks][dim] */
    uint64_t *nearest, *picks_nearest; /* device memory: packed nearest of the picks before the block */
    float *close_rows;                 /* device memory: the block's picks, then the points that may beat them */
    uint64_t *close_nearest, *index;   /* device memory; the points' global indices */
    size_t close_room;
    pb_points *centres;
} check;

/* On "cpu" device memory is host memory, but nobody may rely on it; a benchmark of that device may. */
static void allocate(check *c, size_t count, size_t size, void *pointer_out) {
    bench_must(pb_device_alloc(c->device, count * size, pointer_out, "the certificate"));
}

static void forget(uint64_t *nearest, size_t count) {
    for (size_t i = 0; i < count; i++)
        nearest[i] = PB_NEAREST_NONE;
}

static void begin(check *c) {
    size_t picks = c->coreset->count;
    c->block_most = (size_t)(BLOCK * (double)picks) + 2;
    allocate(c, c->count, c->dim * sizeof *c->rows, &c->rows);
    allocate(c, c->count, sizeof *c->nearest, &c->nearest);
    allocate(c, picks, c->dim * sizeof *c->picks, &c->picks);
    allocate(c, picks, sizeof *c->picks_nearest, &c->picks_nearest);
    bench_must(pb_device_points_create(c->device, c->block_most, (int)c->dim, &c->centres));
    bench_points_rows(c->points, c->mine.first, c->count, c->rows);
    for (size_t i = 0; i < picks; i++)
        bench_points_rows(c->points, c->coreset->picked[i], 1, c->picks + i * c->dim);
    forget(c->nearest, c->count);
    forget(c->picks_nearest, picks);
}

static void end(check *c) {
    pb_device_points_free(c->device, &c->centres);
    pb_device_release(c->device, &c->rows);
    pb_device_release(c->device, &c->nearest);
    pb_device_release(c->device, &c->picks);
    pb_device_release(c->device, &c->picks_nearest);
    pb_device_release(c->device, &c->close_rows);
    pb_device_release(c->device, &c->close_nearest);
    pb_release(&c->index);
}

/* Picks begin .. end - 1 become the centres that are searched. */
static void hold_centres(check *c, size_t begin, size_t end) {
    int64_t not_finite;
    pb_device_points_clear(c->device, c->centres);
    bench_must(pb_device_points_write(c->device, c->centres, 0, end - begin, c->picks + begin * c->dim, &not_finite));
}

static void meet(check *c, const float *rows, size_t count, uint64_t *nearest) {
    if (count > 0)
        bench_must(pb_device_nearest(c->device, c->centres, 0, rows, count, nearest));
}

static float distance_of(uint64_t nearest) { return sqrtf(pb_packed_distance2(nearest)); }

static void add_close(check *c, size_t place, const float *row, uint64_t nearest, uint64_t index) {
    if (place == c->close_room) {
        size_t room = 2 * c->close_room + 1024;
        float *rows;
        uint64_t *all;
        allocate(c, room, c->dim * sizeof *rows, &rows);
        allocate(c, room, sizeof *all, &all);
        memcpy(rows, c->close_rows ? c->close_rows : rows, c->close_room * c->dim * sizeof *rows);
        memcpy(all, c->close_nearest ? c->close_nearest : all, c->close_room * sizeof *all);
        pb_device_release(c->device, &c->close_rows);
        pb_device_release(c->device, &c->close_nearest);
        bench_must(pb_resize(&c->index, c->close_room, room, sizeof *c->index, "the certificate"));
        c->close_rows = rows;
        c->close_nearest = all;
        c->close_room = room;
    }
    memcpy(c->close_rows + place * c->dim, row, c->dim * sizeof *row);
    c->close_nearest[place] = nearest;
    c->index[place] = index;
}

/* The block's picks and this rank's points that are as far as the block's last pick was; returns how many. */
static size_t find_close(check *c, size_t begin, size_t end) {
    const pb_coreset *coreset = c->coreset;
    size_t close = 0;
    for (size_t i = begin; i < end; i++)
        add_close(c, close++, c->picks + i * c->dim, c->picks_nearest[i], coreset->picked[i]);
    for (size_t i = 0; i < c->count; i++)
        if (!(distance_of(c->nearest[i]) < coreset->radius[end - 2]))
            add_close(c, close++, c->rows + i * c->dim, c->nearest[i], c->mine.first + i);
    return close;
}

static uint64_t key_of(const check *c, size_t place) {
    return pb_pack_farthest(pb_packed_distance2(c->close_nearest[place]), (uint32_t)c->index[place]);
}

/* The textbook loop over picks begin .. end - 1, among those that may be picked in the block. */
static void walk(check *c, size_t begin, size_t end) {
    size_t close = find_close(c, begin, end);
    for (size_t j = begin; j < end; j++) {
        uint64_t key = key_of(c, j - begin);
        c->found.wrong_radii += !(sqrtf(pb_packed_distance2(key)) == c->coreset->radius[j - 1]);
        for (size_t i = 0; i < close; i++)
            c->found.beaten += key_of(c, i) > key;
        hold_centres(c, j, j + 1);
        meet(c, c->close_rows, close, c->close_nearest);
    }
}

static void all_meet(check *c, size_t begin, size_t end) {
    hold_centres(c, begin, end);
    meet(c, c->rows, c->count, c->nearest);
    meet(c, c->picks + end * c->dim, c->coreset->count - end, c->picks_nearest + end);
}

static float farthest(const check *c) {
    float most = 0;
    for (size_t i = 0; i < c->count; i++)
        most = fmaxf(most, distance_of(c->nearest[i]));
    return most;
}

bench_certificate bench_certify(pb_comm *comm, pb_device *device, const bench_points *points, const pb_coreset *coreset) {
    check c = {.device = device, .points = points, .coreset = coreset, .dim = (size_t)points->dim,
               .mine = pb_partition(points->total, pb_comm_size(comm), pb_comm_rank(comm))};
    size_t picks = coreset->count;
    c.count = (size_t)pb_range_size(c.mine);
    begin(&c);
    all_meet(&c, 0, 1);
    for (size_t first = 1, last; first < picks; first = last) {
        last = first + 1 + (size_t)(BLOCK * (double)first);
        last = last < picks ? last : picks;
        walk(&c, first, last);
        all_meet(&c, first, last);
    }
    c.found.wrong_last = !((float)pb_comm_max_real(comm, (double)farthest(&c), "certificate") == coreset->radius[picks - 1]);
    c.found.beaten = pb_comm_sum_u64(comm, c.found.beaten, "certificate");
    c.found.wrong_radii = pb_comm_max_u64(comm, c.found.wrong_radii, "certificate");
    end(&c);
    return c.found;
}
