/* check_device: whether a device computes what the CPU does.
 *
 *   check_device [--quick] [--precision P] [--bound B] DEVICE [REFERENCE]      REFERENCE: "cpu" when absent
 *
 * Every operation of gpu/device.h and gpu/cover.h is run on both, on the same numbers: random, tied, tiny, huge and of all
 * magnitudes (kinds.h). Canonical results must be the same bits, except that all NaNs count as one: their bits are the
 * processor's. A network's taps must lie within B of the reference's, as |a - b| / |b| over all values of a tap (Euclidean); B is
 * 1e-5 when absent: sums of a thousand products in another order stray by about sqrt(1000) 2^-24 = 2e-6 a layer, and the strays
 * of some tens of layers add like their roots. What is computed in less than single precision needs a larger B.
 * --quick: sizes for the emulator. The plugin of a "cuda" device is where PATCHBANK_CUDA_PLUGIN says.
 *
 * A line for each operation, at the end one with the counts. An operation that the device does not have is neither right nor
 * wrong: it is listed and counted apart. Exit status: 0 when some operation was compared and none was wrong, 1 when not, 64 for
 * wrong usage, 69 when a device cannot be opened, 74 when one fails.
 */
#include "base/memory.h"
#include "gpu/cover.h"
#include "kinds.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const char *const KIND_NAMES[KINDS] = {"uniform", "ties", "denormals", "huge", "mixed"};

static void must(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "check_device: %s\n", status.message);
        exit((int)status.code);
    }
}

/* ---- a device at work ---- */

enum { OWNED_MAX = 16 };

/* A device and what one operation made on it, so that an operation may return where it fails. */
typedef struct bench {
    pb_device *device;
    void *owned[OWNED_MAX]; /* device memory */
    int owned_count;
    pb_points *points;
    pb_cover *cover;
    pb_compiled *compiled;
    char *kept; /* host memory: what the operation gave */
    size_t kept_bytes, capacity;
} bench;

static void clear(bench *b) {
    pb_device_points_free(b->device, &b->points);
    pb_device_cover_free(b->device, &b->cover);
    pb_device_compiled_free(b->device, &b->compiled);
    while (b->owned_count > 0)
        pb_device_release(b->device, &b->owned[--b->owned_count]);
    b->kept_bytes = 0;
}

/* Device memory, until the operation is over. */
static pb_status room(bench *b, size_t bytes, void *pointer_out) {
    PB_ASSERT(b->owned_count < OWNED_MAX);
    PB_TRY(pb_device_alloc(b->device, bytes, &b->owned[b->owned_count], "check_device"));
    memcpy(pointer_out, &b->owned[b->owned_count++], sizeof(void *));
    return pb_ok();
}

static pb_status put(bench *b, const void *host, size_t bytes, void *pointer_out) {
    void *there;
    PB_TRY(room(b, bytes, &there));
    memcpy(pointer_out, &there, sizeof there);
    return pb_device_upload(b->device, there, host, bytes);
}

/* Room for `bytes` more of what is kept. */
static char *more(bench *b, size_t bytes) {
    if (b->capacity - b->kept_bytes < bytes) {
        const size_t wanted = 2 * b->capacity + bytes;
        must(pb_resize(&b->kept, b->kept_bytes, wanted, 1, "results"));
        b->capacity = wanted;
    }
    b->kept_bytes += bytes;
    return b->kept + b->kept_bytes - bytes;
}

static void keep(bench *b, const void *host, size_t bytes) { memcpy(more(b, bytes), host, bytes); }

static pb_status take(bench *b, const void *there, size_t bytes) {
    return pb_device_download(b->device, more(b, bytes), there, bytes);
}

static pb_status take_floats(bench *b, const float *there, size_t count) {
    PB_TRY(take(b, there, count * sizeof *there));
    char *values = b->kept + b->kept_bytes - count * sizeof *there;
    for (size_t i = 0; i < count; i++) {
        float value;
        memcpy(&value, values + i * sizeof value, sizeof value);
        if (isnan(value))
            memset(values + i * sizeof value, 0xFF, sizeof value);
    }
    return pb_ok();
}

/* ---- the operations ---- */

/* What one case works on: `rows` [n][dim] and `others` [count][dim], of a kind. */
typedef struct sample {
    kind kind;
    size_t n, count;
    int dim;
    const float *rows, *others;
} sample;

static size_t row_bytes(const sample *s) { return (size_t)s->dim * sizeof(float); }

static pb_status copies(bench *b, const sample *s) {
    float *from, *to;
    PB_TRY(put(b, s->rows, s->n * row_bytes(s), &from));
    PB_TRY(put(b, s->rows, s->n * row_bytes(s), &to));
    /* The first value of every row moves to the end of the one before. */
    PB_TRY(pb_device_copy_block(b->device, to + s->dim - 1, row_bytes(s), from, row_bytes(s), sizeof *from, s->n));
    return take(b, to, s->n * row_bytes(s));
}

static pb_status unit_rows(bench *b, const sample *s) {
    float *rows;
    PB_TRY(put(b, s->rows, s->n * row_bytes(s), &rows));
    PB_TRY(pb_device_unit_rows(b->device, rows, s->n, s->dim));
    return take_floats(b, rows, s->n * (size_t)s->dim);
}

/* `others`, laid out anew, are the matrix. */
static pb_status project(bench *b, const sample *s) {
    float *rows, *matrix, *out;
    PB_TRY(put(b, s->rows, s->n * row_bytes(s), &rows));
    PB_TRY(put(b, s->others, s->count * row_bytes(s), &matrix));
    PB_TRY(room(b, s->n * s->count * sizeof *out, &out));
    PB_TRY(pb_device_project(b->device, rows, s->n, s->dim, matrix, (int)s->count, out));
    return take_floats(b, out, s->n * s->count);
}

/* Points from two writes, so that the second does not begin where a tile of points does. */
static pb_status fill_points(bench *b, const sample *s, float **rows_out) {
    int64_t bad[2];
    const size_t first = s->n / 3;
    PB_TRY(put(b, s->rows, s->n * row_bytes(s), rows_out));
    PB_TRY(pb_device_points_create(b->device, s->n, s->dim, &b->points));
    PB_TRY(pb_device_points_write(b->device, b->points, 0, first, *rows_out, &bad[0]));
    PB_TRY(pb_device_points_write(b->device, b->points, first, s->n - first, *rows_out + first * (size_t)s->dim, &bad[1]));
    keep(b, bad, sizeof bad);
    return pb_ok();
}

static pb_status points(bench *b, const sample *s) {
    static const float NOT_FINITE[] = {NAN, INFINITY, -INFINITY};
    float *rows, *row;
    int64_t bad;
    PB_TRY(fill_points(b, s, &rows));
    PB_TRY(room(b, row_bytes(s), &row));
    for (size_t i = 0; i < s->n; i += s->n / 16 + 1) {
        PB_TRY(pb_device_points_read(b->device, b->points, i, row));
        PB_TRY(take(b, row, row_bytes(s)));
    }
    for (size_t f = 0; f < LENGTH(NOT_FINITE); f++) { /* from the last point on forwards: the least index is the answer */
        const size_t at = (s->n - 1) / (f + 1);
        pb_device_points_clear(b->device, b->points);
        PB_TRY(pb_device_upload(b->device, rows + at * (size_t)s->dim, &NOT_FINITE[f], sizeof *rows));
        PB_TRY(pb_device_points_write(b->device, b->points, 0, s->n, rows, &bad));
        keep(b, &bad, sizeof bad);
    }
    return pb_ok();
}

/* Picks far beyond the number of points: at last all of them lie at 0. */
static pb_status greedy_step(bench *b, const sample *s) {
    const size_t picks = s->n < 12 ? s->n + 3 : 12;
    float *rows, *centre;
    uint64_t *best, found;
    PB_TRY(fill_points(b, s, &rows));
    PB_TRY(put(b, s->others, row_bytes(s), &centre));
    PB_TRY(room(b, sizeof *best, &best));
    for (size_t p = 0; p < picks; p++) {
        PB_TRY(pb_device_greedy_step(b->device, b->points, 1000, centre, best));
        PB_TRY(take(b, best, sizeof *best));
        memcpy(&found, b->kept + b->kept_bytes - sizeof found, sizeof found);
        PB_TRY(pb_device_points_read(b->device, b->points, (pb_farthest_index(found) - 1000) % s->n, centre));
    }
    return pb_ok();
}

/* A second call, with other indices, must leave what is nearer or earlier. */
static pb_status nearest(bench *b, const sample *s) {
    float *rows, *queries;
    uint64_t *found;
    PB_TRY(fill_points(b, s, &rows));
    PB_TRY(put(b, s->others, s->count * row_bytes(s), &queries));
    uint64_t *unseen;
    must(pb_allocate(&unseen, s->count, sizeof *unseen, "results"));
    memset(unseen, 0xFF, s->count * sizeof *unseen); /* PB_NEAREST_NONE */
    pb_status status = put(b, unseen, s->count * sizeof *unseen, &found);
    pb_release(&unseen);
    if (!pb_failed(&status))
        status = pb_device_nearest(b->device, b->points, 500, queries, s->count, found);
    if (!pb_failed(&status))
        status = take(b, found, s->count * sizeof *found);
    if (!pb_failed(&status))
        status = pb_device_nearest(b->device, b->points, 7, queries, s->count, found);
    return pb_failed(&status) ? status : take(b, found, s->count * sizeof *found);
}

/* ---- covers ---- */

/* One selection among candidates in device memory. What was picked, at which distance, and what is next are exact. */
static pb_status select_among(bench *b, const sample *s, size_t count, uint64_t floor, size_t most, uint64_t *next) {
    pb_candidate *candidates;
    float *rows, *distance2;
    uint64_t *picked;
    size_t made;
    PB_TRY(room(b, count * sizeof *candidates, &candidates));
    PB_TRY(room(b, count * row_bytes(s), &rows));
    PB_TRY(pb_device_cover_candidates(b->device, b->cover, candidates, rows));
    must(pb_allocate(&picked, most, sizeof *picked, "picks"));
    must(pb_allocate(&distance2, most, sizeof *distance2, "distances"));
    pb_status status =
        pb_device_cover_select(b->device, b->cover, candidates, rows, count, floor, most, picked, distance2, &made, next);
    if (!pb_failed(&status)) {
        keep(b, &made, sizeof made);
        keep(b, next, sizeof *next);
        keep(b, picked, made * sizeof *picked);
        keep(b, distance2, made * sizeof *distance2);
        status = pb_device_cover_update(b->device, b->cover, candidates, count);
    }
    pb_release(&picked);
    pb_release(&distance2);
    b->owned_count -= 2;
    pb_device_release(b->device, &b->owned[b->owned_count]);
    pb_device_release(b->device, &b->owned[b->owned_count + 1]);
    return status;
}

/* Bounds are exact once they are settled, and so are the counts and keys that follow. */
static pb_status settled_round(bench *b, const sample *s, uint64_t *due) {
    size_t count;
    uint64_t most, floor;
    PB_TRY(pb_device_cover_refresh(b->device, b->cover, 0, &count, &most));
    PB_TRY(pb_device_cover_settle(b->device, b->cover, &count));
    keep(b, &count, sizeof count);
    PB_TRY(pb_device_cover_key(b->device, b->cover, count / 6, &floor));
    PB_TRY(pb_device_cover_key(b->device, b->cover, count, &most)); /* there is none: 0 */
    keep(b, &most, sizeof most);
    keep(b, &floor, sizeof floor);
    PB_TRY(pb_device_cover_raise(b->device, b->cover, floor, &count));
    keep(b, &count, sizeof count);
    return select_among(b, s, count, floor, s->n / 10 + 1, due);
}

/* With bounds as they are: more points may be candidates on one device than on the other. The level comes from an exact key. */
static pb_status bounded_round(bench *b, const sample *s, uint64_t *due) {
    size_t count;
    uint64_t most;
    const uint64_t floor = pb_pack_farthest(0.8f * pb_packed_distance2(*due), 0);
    PB_TRY(pb_device_cover_refresh(b->device, b->cover, floor, &count, &most));
    return count == 0 ? pb_ok() : select_among(b, s, count, floor, s->n / 10 + 1, due);
}

static pb_status cover(bench *b, const sample *s) {
    float *rows;
    int64_t bad;
    uint64_t due = 0;
    PB_TRY(put(b, s->rows, s->n * row_bytes(s), &rows));
    PB_TRY(pb_device_cover_create(b->device, s->n, s->dim, 0, &b->cover));
    PB_TRY(pb_device_cover_write(b->device, b->cover, 0, s->n, rows, &bad));
    keep(b, &bad, sizeof bad);
    pb_device_cover_place(b->device, b->cover, 11);
    PB_TRY(pb_device_cover_add(b->device, b->cover, s->rows, 1));
    for (int round = 0; round < 4; round++) {
        PB_TRY(settled_round(b, s, &due));
        if (due != 0)
            PB_TRY(bounded_round(b, s, &due));
    }
    char *row = more(b, row_bytes(s));
    return pb_device_cover_read(b->device, b->cover, s->n - 1, 1, (float *)(void *)row);
}

/* ---- features ---- */

enum { TAPS = 2 };

/* Taps of a case, and what is made of them. */
typedef struct tap_case {
    pb_layer_shape shapes[TAPS];
    int images, patch;
    pb_patchcore how;
} tap_case;

static const tap_case QUICK_TAPS[] = {{{{{9, 7}, 5}, {{5, 4}, 3}}, 2, 3, {3, 1, 4, 6}},
                                      {{{{6, 6}, 2}, {{6, 6}, 4}}, 1, 5, {5, 2, 9, 3}}};
static const tap_case FULL_TAPS[] = {{{{{28, 28}, 40}, {{14, 14}, 112}}, 8, 3, {3, 1, 128, 152}},
                                     {{{{28, 28}, 512}, {{14, 14}, 1024}}, 4, 3, {3, 1, 1024, 1024}},
                                     {{{{37, 23}, 65}, {{19, 12}, 33}}, 3, 13, {7, 3, 77, 100}},
                                     {{{{1, 1}, 1}, {{1, 1}, 1}}, 1, 1, {1, 1, 1, 1}}};

static bool quick;

static pb_status put_taps(bench *b, const tap_case *c, kind k, float *taps[TAPS]) {
    pb_status status = pb_ok();
    for (int t = 0; t < TAPS && !pb_failed(&status); t++) {
        const size_t count = (size_t)c->images * pb_layer_shape_values(c->shapes[t]);
        float *values;
        must(pb_allocate(&values, count, sizeof *values, "taps"));
        for (size_t i = 0; i < count; i++)
            values[i] = number_of(k, (uint32_t)t, i);
        status = put(b, values, count * sizeof *values, &taps[t]);
        pb_release(&values);
    }
    return status;
}

static pb_status patch_features_of(bench *b, const tap_case *c, kind k) {
    const size_t count =
        (size_t)c->images * pb_size_area(c->shapes[0].size) * (size_t)(c->shapes[0].channels + c->shapes[1].channels);
    float *taps[TAPS], *features;
    PB_TRY(put_taps(b, c, k, taps));
    PB_TRY(room(b, count * sizeof *features, &features));
    PB_TRY(pb_device_patch_features(b->device, c->patch, TAPS, c->shapes, (const float *const *)taps, c->images, features));
    return take_floats(b, features, count);
}

static pb_status patchcore_features_of(bench *b, const tap_case *c, kind k) {
    const size_t places = pb_size_area(pb_patchcore_grid(&c->how, c->shapes[0].size));
    const size_t count = (size_t)c->images * places * (size_t)c->how.feature_dim;
    float *taps[TAPS], *features;
    PB_TRY(put_taps(b, c, k, taps));
    PB_TRY(room(b, count * sizeof *features, &features));
    PB_TRY(pb_device_patchcore_features(b->device, &c->how, TAPS, c->shapes, (const float *const *)taps, c->images, features));
    return take_floats(b, features, count);
}

static pb_status on_all_taps(bench *b, kind k, pb_status (*operation)(bench *, const tap_case *, kind)) {
    const tap_case *cases = quick ? QUICK_TAPS : FULL_TAPS;
    const size_t count = quick ? LENGTH(QUICK_TAPS) : LENGTH(FULL_TAPS);
    for (size_t c = 0; c < count; c++)
        PB_TRY(operation(b, &cases[c], k));
    return pb_ok();
}

static pb_status patch_features(bench *b, const sample *s) { return on_all_taps(b, s->kind, patch_features_of); }

static pb_status patchcore_features(bench *b, const sample *s) { return on_all_taps(b, s->kind, patchcore_features_of); }

/* Maps of patches to pixels: upwards, sideways, and one that is mirrored several times. Numbers that overflow are no map's. */
static pb_status smooth_maps(bench *b, const sample *s) {
    static const struct {
        pb_size grid, size;
        double sigma;
    } QUICK[] = {{{5, 4}, {19, 13}, 1}, {{3, 2}, {4, 5}, 2}}, FULL[] = {{{28, 28}, {224, 224}, 4}, {{9, 30}, {70, 411}, 2.5}};
    enum { IMAGES = 3 };
    for (size_t c = 0; c < LENGTH(FULL); c++) {
        const pb_size grid = quick ? QUICK[c].grid : FULL[c].grid, size = quick ? QUICK[c].size : FULL[c].size;
        const size_t places = IMAGES * pb_size_area(grid), count = IMAGES * pb_size_area(size);
        float *values, *maps, *pixels;
        pb_smoothing how;
        pb_smoothing_gaussian(quick ? QUICK[c].sigma : FULL[c].sigma, &how);
        must(pb_allocate(&values, places, sizeof *values, "maps"));
        for (size_t i = 0; i < places; i++)
            values[i] = number_of(s->kind == HUGE_ONES ? UNIFORM : s->kind, (uint32_t)c, i);
        pb_status status = put(b, values, places * sizeof *values, &maps);
        pb_release(&values);
        PB_TRY(status);
        PB_TRY(room(b, count * sizeof *pixels, &pixels));
        PB_TRY(pb_device_smooth_maps(b->device, &how, maps, IMAGES, grid, size, pixels));
        PB_TRY(take_floats(b, pixels, count));
    }
    return pb_ok();
}

/* ---- canonical operations compared ---- */

typedef pb_status operation(bench *b, const sample *s);

static const struct {
    const char *name;
    operation *run;
    bool once; /* has sizes of its own */
} OPERATIONS[] = {
    {"copies", copies, false},
    {"patch_features", patch_features, true},
    {"patchcore_features", patchcore_features, true},
    {"unit_rows", unit_rows, false},
    {"project", project, false},
    {"smooth_maps", smooth_maps, true},
    {"points", points, false},
    {"greedy_step", greedy_step, false},
    {"nearest", nearest, false},
    {"cover", cover, false},
};

static const struct {
    size_t n, count;
    int dim;
} QUICK_SIZES[] = {{1, 1, 1}, {70, 9, 3}, {130, 20, 33}},
  FULL_SIZES[] = {{1, 1, 1}, {33, 7, 3}, {1000, 100, 31}, {4097, 128, 128}, {20000, 784, 152}, {4000, 300, 1024}};

/* device and reference; what was found so far. */
static bench sides[2];
static int same_count, wrong_count, missing_count;

static float *numbers(kind k, uint32_t substream, size_t count) {
    float *values;
    must(pb_allocate(&values, count, sizeof *values, "numbers"));
    for (size_t i = 0; i < count; i++)
        values[i] = number_of(k, substream, i);
    return values;
}

/* What came of the cases of one operation. */
typedef struct outcome {
    size_t cases, wrong, bytes;
    char first[96]; /* the first case that was wrong */
    pb_status missing;
} outcome;

static void run_case(operation *run, const sample *s, outcome *o) {
    for (int side = 0; side < 2; side++) {
        pb_status status = run(&sides[side], s);
        if (status.code == PB_E_UNSUPPORTED)
            o->missing = status;
        else
            must(status);
    }
    const bench *a = &sides[0], *b = &sides[1];
    const bool same = a->kept_bytes == b->kept_bytes && a->kept_bytes > 0 && memcmp(a->kept, b->kept, a->kept_bytes) == 0;
    if (!same && o->wrong++ == 0)
        snprintf(o->first, sizeof o->first, "first with %s numbers, n %zu, dim %d, count %zu", KIND_NAMES[s->kind], s->n, s->dim,
                 s->count);
    o->cases++;
    o->bytes += a->kept_bytes;
    clear(&sides[0]);
    clear(&sides[1]);
}

static void report(const char *name, const outcome *o) {
    if (pb_failed(&o->missing)) {
        printf("%-28s %6s %12s %6s  not supported: %s\n", name, "-", "-", "-", o->missing.message);
        missing_count++;
    } else {
        printf("%-28s %6zu %12zu %6zu  %s\n", name, o->cases, o->bytes, o->wrong, o->wrong == 0 ? "same bits" : o->first);
        *(o->wrong == 0 ? &same_count : &wrong_count) += 1;
    }
    fflush(stdout);
}

static void compare_operation(size_t which) {
    outcome o = {.missing = pb_ok()};
    const size_t sizes = OPERATIONS[which].once ? 1 : quick ? LENGTH(QUICK_SIZES) : LENGTH(FULL_SIZES);
    for (int k = 0; k < KINDS; k++)
        for (size_t i = 0; i < sizes && !pb_failed(&o.missing); i++) {
            sample s = {.kind = (kind)k,
                        .n = quick ? QUICK_SIZES[i].n : FULL_SIZES[i].n,
                        .count = quick ? QUICK_SIZES[i].count : FULL_SIZES[i].count,
                        .dim = quick ? QUICK_SIZES[i].dim : FULL_SIZES[i].dim};
            float *rows = numbers(s.kind, 0, s.n * (size_t)s.dim), *others = numbers(s.kind, 1, s.count * (size_t)s.dim);
            s.rows = rows;
            s.others = others;
            run_case(OPERATIONS[which].run, &s, &o);
            pb_release(&rows);
            pb_release(&others);
        }
    report(OPERATIONS[which].name, &o);
}

/* ---- networks ---- */

static double bound = 1e-5;
static pb_precision precision = PB_PRECISION_FP32; /* of the device; the reference has fp32 */

/* The taps of two images, one after the other. */
static pb_status run_network(bench *b, const pb_network *network, pb_precision how, const uint8_t *images) {
    enum { IMAGES = 2 };
    uint8_t *there;
    float *taps[PB_TAPS_MAX];
    PB_TRY(pb_device_compile(b->device, network, how, IMAGES, &b->compiled));
    PB_TRY(put(b, images, IMAGES * 3 * pb_size_area(network->size), &there));
    for (int t = 0; t < network->tap_count; t++)
        PB_TRY(room(b, IMAGES * pb_layer_shape_values(pb_network_shape(network, network->taps[t])) * sizeof(float), &taps[t]));
    PB_TRY(pb_device_run(b->device, b->compiled, there, IMAGES, taps));
    for (int t = 0; t < network->tap_count; t++)
        PB_TRY(take(b, taps[t], IMAGES * pb_layer_shape_values(pb_network_shape(network, network->taps[t])) * sizeof(float)));
    return pb_ok();
}

/* |a - b| / |b| over what both have kept; infinite when that is not of one size. */
static double distance_apart(void) {
    double difference = 0, length = 0;
    if (sides[0].kept_bytes != sides[1].kept_bytes)
        return INFINITY;
    for (size_t at = 0; at < sides[0].kept_bytes; at += sizeof(float)) {
        float a, b;
        memcpy(&a, sides[0].kept + at, sizeof a);
        memcpy(&b, sides[1].kept + at, sizeof b);
        difference += ((double)a - (double)b) * ((double)a - (double)b);
        length += (double)b * (double)b;
    }
    return sqrt(difference / length);
}

static void report_network(const char *backbone, const pb_status *status) {
    char name[64];
    snprintf(name, sizeof name, "network %s", backbone);
    if (status->code == PB_E_UNSUPPORTED) {
        outcome o = {.missing = *status};
        report(name, &o);
        return;
    }
    must(*status);
    const double apart = distance_apart();
    const bool within = apart <= bound;
    printf("%-28s %6d %12zu %6d  %.1e apart, at most %.1e\n", name, 1, sides[0].kept_bytes, !within, apart, bound);
    fflush(stdout);
    *(within ? &same_count : &wrong_count) += 1;
}

static void compare_network(const char *backbone) {
    const char *taps;
    int side;
    pb_network network;
    must(pb_backbone_defaults(backbone, &taps, &side));
    side = quick ? side / 14 / 4 * 14 : side; /* a multiple of 14 suits all */
    must(pb_network_random(backbone, taps, (pb_size){side, side}, 1, &network));
    const size_t bytes = 2 * 3 * pb_size_area(network.size);
    uint8_t *images;
    must(pb_allocate(&images, bytes, 1, "images"));
    for (size_t i = 0; i < bytes; i++)
        images[i] = (uint8_t)pb_random_u32(3, PB_STREAM_TEST, 0, i);
    pb_status status = run_network(&sides[0], &network, precision, images);
    if (!pb_failed(&status))
        status = run_network(&sides[1], &network, PB_PRECISION_FP32, images);
    report_network(backbone, &status);
    clear(&sides[0]);
    clear(&sides[1]);
    pb_release(&images);
    pb_network_free(&network);
}

static int usage(void) {
    fputs("usage: check_device [--quick] [--precision P] [--bound B] DEVICE [REFERENCE]\n", stderr);
    return PB_E_USAGE;
}

static int compare(const char *device, const char *reference) {
    pb_device_plugin_path(getenv("PATCHBANK_CUDA_PLUGIN"));
    must(pb_device_open(device, 1, &sides[0].device));
    must(pb_device_open(reference, 1, &sides[1].device));
    printf("# %s\n# against %s\n", pb_device_description(sides[0].device), pb_device_description(sides[1].device));
    printf("# %-26s %6s %12s %6s\n", "operation", "cases", "bytes", "wrong");
    for (size_t i = 0; i < LENGTH(OPERATIONS); i++)
        compare_operation(i);
    for (const char *const *name = pb_backbone_names(); *name; name++)
        compare_network(*name);
    printf("# %d as the reference has it, %d wrong, %d not supported\n", same_count, wrong_count, missing_count);
    for (int side = 0; side < 2; side++) {
        pb_device_close(&sides[side].device);
        pb_release(&sides[side].kept);
    }
    return wrong_count == 0 && same_count > 0 ? 0 : PB_E_NO;
}

int main(int argc, char **argv) {
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--quick") == 0)
            quick = true;
        else if (strcmp(argv[at], "--bound") == 0 && at + 1 < argc)
            bound = atof(argv[++at]);
        else if (strcmp(argv[at], "--precision") != 0 || at + 1 >= argc || !pb_precision_parse(argv[++at], &precision))
            return usage();
    }
    if (at >= argc || argc - at > 2 || !(bound > 0))
        return usage();
    return compare(argv[at], at + 1 < argc ? argv[at + 1] : "cpu");
}
