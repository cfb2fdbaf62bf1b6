/* bench_device: a device's operations against the "cpu" device's, bit for bit, and how fast they are.
 *
 *   bench_device DEVICE [SCALE [REPEATS [PLUGIN]]]      defaults: 1, 5, the plugin beside the program
 *
 * SCALE multiplies how many rows, images, points and queries there are (0.001 for an emulator). The first row copies device
 * memory; its bytes a second are the ceiling that the others are held against. Columns: operation and size; median and least time
 * of the repeats in ms, each from an idle device to its end; GB/s of bytes that must move (a few names: of input and output once)
 * and in per cent of the ceiling; G operations/s, a fused multiply-add being one; and how many values of the last timed output
 * are not those of the "cpu" device (of a search: for the first 64 queries). Exit status 1 when a value is wrong. Data: Philox
 * numbers in (-1, 1).
 */
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "gpu/cover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS_MAX = 1000, QUERIES_CHECKED = 64 };

static double scale = 1, ceiling_rate;
static int repeats = 5;
static size_t wrong_in_all;

static void must(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "bench_device: %s\n", status.message);
        exit(1);
    }
}

static size_t scaled(size_t count) {
    size_t many = (size_t)((double)count * scale);
    return many > 2 ? many : 2;
}

static float *numbers(size_t count, uint32_t substream) {
    float *values;
    must(pb_allocate(&values, count, sizeof *values, "bench data"));
    for (size_t i = 0; i < count; i++)
        values[i] = pb_random_symmetric(1, PB_STREAM_TEST, substream, i);
    return values;
}

/* An operation's data on one device. */
typedef struct side {
    pb_device *device;
    float *in[2], *out;
    size_t made; /* floats of out that it makes */
    pb_points *points;
} side;

typedef struct operation {
    const char *name, *what;
    size_t count; /* of what */
    size_t in[2], out, checked; /* floats; checked: of out, from the beginning */
    int dim;                    /* of the points that in[0] becomes, 0: of none */
    double bytes, operations;
    pb_status (*run)(const struct operation *o, side *s);
} operation;

static side begin(const operation *o, pb_device *device, size_t made) {
    side s = {.device = device, .made = made};
    float *zeros;
    for (int i = 0; i < 2; i++) {
        float *values = numbers(o->in[i], (uint32_t)i);
        must(pb_device_alloc(device, o->in[i] * sizeof *values, &s.in[i], "input"));
        must(pb_device_upload(device, s.in[i], values, o->in[i] * sizeof *values));
        pb_release(&values);
    }
    must(pb_allocate(&zeros, o->out, sizeof *zeros, "output"));
    memset(zeros, 0xFF, o->out * sizeof *zeros); /* for a search: nothing has been seen */
    must(pb_device_alloc(device, o->out * sizeof *zeros, &s.out, "output"));
    must(pb_device_upload(device, s.out, zeros, o->out * sizeof *zeros));
    pb_release(&zeros);
    if (o->dim > 0) {
        const size_t points = o->in[0] / (size_t)o->dim;
        int64_t not_finite;
        must(pb_device_points_create(device, points, o->dim, &s.points));
        must(pb_device_points_write(device, s.points, 0, points, s.in[0], &not_finite));
    }
    return s;
}

static void end(side *s) {
    pb_device_points_free(s->device, &s->points);
    pb_device_release(s->device, &s->in[0]);
    pb_device_release(s->device, &s->in[1]);
    pb_device_release(s->device, &s->out);
}

/* Runs it once; what comes out is waited for. */
static double timed(const operation *o, side *s) {
    float last;
    const double begun = pb_clock_seconds();
    must(o->run(o, s));
    must(pb_device_download(s->device, &last, s->out + o->out - 1, sizeof last));
    return pb_clock_seconds() - begun;
}

static int rising(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t count_wrong(const operation *o, const side *a, const side *b) {
    float *x, *y;
    size_t wrong = 0;
    must(pb_allocate(&x, o->checked, sizeof *x, "output"));
    must(pb_allocate(&y, o->checked, sizeof *y, "output"));
    must(pb_device_download(a->device, x, a->out, o->checked * sizeof *x));
    must(pb_device_download(b->device, y, b->out, o->checked * sizeof *y));
    for (size_t i = 0; i < o->checked; i++)
        wrong += pb_float_bits(x[i]) != pb_float_bits(y[i]);
    pb_release(&x);
    pb_release(&y);
    return wrong;
}

static void print_row(const operation *o, const double *times, size_t wrong) {
    const double median = times[repeats / 2], rate = o->bytes / median;
    ceiling_rate = ceiling_rate > 0 ? ceiling_rate : rate;
    printf("%-15s %9zu %-32s %10.3f %10.3f %8.1f %6.1f %9.1f %8zu\n", o->name, o->count, o->what, median * 1e3, times[0] * 1e3,
           rate / 1e9, 100 * rate / ceiling_rate, o->operations / median / 1e9, wrong);
    fflush(stdout);
    wrong_in_all += wrong;
}

/* The first run, which may have to load code, is not timed. That operations are repeated changes nothing of their output. */
static void measure(const operation *o, pb_device *device, pb_device *cpu) {
    double times[REPEATS_MAX];
    side here = begin(o, device, o->out), there = begin(o, cpu, o->checked);
    timed(o, &here);
    for (int r = 0; r < repeats; r++)
        times[r] = timed(o, &here);
    must(o->run(o, &there));
    qsort(times, (size_t)repeats, sizeof *times, rising);
    print_row(o, times, count_wrong(o, &here, &there));
    end(&here);
    end(&there);
}

/* ---- operations ---- */

static const pb_layer_shape SHAPES[] = {{{28, 28}, 512}, {{14, 14}, 1024}};
static const pb_patchcore PATCHCORE = {3, 1, 1024, 1024};
enum { TAPS = 2, PATCHES = 28 * 28, CHANNELS = 512 + 1024, OUT_DIM = 128 };

static pb_status run_copy(const operation *o, side *s) {
    return pb_device_copy_block(s->device, s->out, 1024, s->in[0], 1024, 1024, o->out * sizeof(float) / 1024);
}

static pb_status run_project(const operation *o, side *s) {
    const int dim = (int)(o->in[1] / OUT_DIM);
    return pb_device_project(s->device, s->in[0], o->in[0] / (size_t)dim, dim, s->in[1], OUT_DIM, s->out);
}

static pb_status run_unit_rows(const operation *o, side *s) {
    PB_TRY(pb_device_copy_block(s->device, s->out, 4096, s->in[0], 4096, 4096, o->out / 1024));
    return pb_device_unit_rows(s->device, s->out, o->out / 1024, 1024);
}

static int images_of(const operation *o) { return (int)(o->in[0] / pb_layer_shape_values(SHAPES[0])); }

static pb_status run_means(const operation *o, side *s) {
    const float *taps[TAPS] = {s->in[0], s->in[1]};
    return pb_device_patch_features(s->device, 3, TAPS, SHAPES, taps, images_of(o), s->out);
}

static pb_status run_patchcore(const operation *o, side *s) {
    const float *taps[TAPS] = {s->in[0], s->in[1]};
    return pb_device_patchcore_features(s->device, &PATCHCORE, TAPS, SHAPES, taps, images_of(o), s->out);
}

static pb_status run_step(const operation *o, side *s) {
    (void)o;
    return pb_device_greedy_step(s->device, s->points, 0, s->in[1], (uint64_t *)(void *)s->out);
}

static pb_status run_nearest(const operation *o, side *s) {
    (void)o;
    return pb_device_nearest(s->device, s->points, 0, s->in[1], s->made / 2, (uint64_t *)(void *)s->out);
}

static void measure_rows(pb_device *device, pb_device *cpu) {
    const size_t copied = scaled(64 << 20) / 256 * 256 + 256, rows = scaled(25088), points = scaled(1000000);
    const size_t images = scaled(32), queries = scaled(25088);
    const size_t tap0 = images * pb_layer_shape_values(SHAPES[0]), tap1 = images * pb_layer_shape_values(SHAPES[1]);
    operation all[] = {
        {"copy", "values", copied, {copied, 1}, copied, .bytes = 8.0 * (double)copied, .run = run_copy},
        {"project", "rows of 1024 values to 128", rows, {rows * 1024, 1024 * OUT_DIM}, rows * OUT_DIM,
         .operations = 1024.0 * OUT_DIM * (double)rows, .run = run_project},
        {"unit_rows", "rows of 1024 values", rows, {rows * 1024, 1}, rows * 1024, .run = run_unit_rows},
        {"patch_features", "images, 28x28x512 + 14x14x1024", images, {tap0, tap1}, images * PATCHES * CHANNELS, .run = run_means},
        {"patchcore", "images, 28x28x512 + 14x14x1024", images, {tap0, tap1}, images * PATCHES * 1024, .run = run_patchcore},
        {"greedy_step", "points of 128 values", points, {points * OUT_DIM, OUT_DIM}, 2, .dim = OUT_DIM,
         .operations = 2.0 * OUT_DIM * (double)points, .run = run_step},
        {"nearest", "queries, 4 times as many points", queries, {4 * queries * 1024, queries * 1024}, 2 * queries, .dim = 1024,
         .operations = 4 * 2048.0 * (double)queries * (double)queries, .run = run_nearest},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        operation *o = &all[i];
        o->checked = o->run == run_nearest && o->out > 2 * QUERIES_CHECKED ? 2 * QUERIES_CHECKED : o->out;
        o->bytes = o->bytes > 0 ? o->bytes : 4.0 * (double)(o->in[0] + o->in[1] + o->out);
        measure(o, device, cpu);
    }
}

/* ---- selection in rounds ---- */

enum { PICKS = 200 };

typedef struct picks {
    uint64_t index[PICKS];
    float distance2[PICKS];
    double seconds;
} picks;

/* One round: whoever is within a tenth of the farthest may be picked. Returns how many have been picked in all. */
static size_t pick_round(pb_device *device, pb_cover *cover, size_t made, picks *p) {
    uint64_t most, next;
    size_t count, more = 0;
    pb_candidate *candidates;
    float *rows;
    must(pb_device_cover_refresh(device, cover, UINT64_MAX, &count, &most));
    const uint64_t floor = pb_pack_farthest(0.9f * pb_packed_distance2(most), 0);
    must(pb_device_cover_refresh(device, cover, floor, &count, &most));
    must(pb_allocate(&candidates, count, sizeof *candidates, "candidates"));
    must(pb_allocate(&rows, count, OUT_DIM * sizeof *rows, "candidates"));
    must(pb_device_cover_candidates(device, cover, candidates, rows));
    must(pb_device_cover_select(device, cover, candidates, rows, count, floor, PICKS - made, p->index + made,
                                p->distance2 + made, &more, &next));
    must(pb_device_cover_update(device, cover, candidates, count));
    pb_release(&candidates);
    pb_release(&rows);
    return made + more;
}

static picks pick(pb_device *device, const float *rows, size_t n) {
    picks p = {{0}, {0}, 0};
    float *there;
    int64_t not_finite;
    pb_cover *cover;
    must(pb_device_alloc(device, n * OUT_DIM * sizeof *rows, &there, "points"));
    must(pb_device_upload(device, there, rows, n * OUT_DIM * sizeof *rows));
    must(pb_device_cover_create(device, n, OUT_DIM, 0, &cover));
    must(pb_device_cover_write(device, cover, 0, n, there, &not_finite));
    const double begun = pb_clock_seconds();
    must(pb_device_cover_add(device, cover, rows, 1));
    for (size_t made = 0; made < PICKS;)
        made = pick_round(device, cover, made, &p);
    p.seconds = pb_clock_seconds() - begun;
    pb_device_cover_free(device, &cover);
    pb_device_release(device, &there);
    return p;
}

/* Operations are those of the textbook loop, which the rounds avoid for the most part. */
static void measure_selection(pb_device *device, pb_device *cpu) {
    const size_t n = scaled(200000);
    const operation o = {"selection", "points of 128 values, 200 picks", n, {n * OUT_DIM, 0}, 2 * PICKS,
                         .bytes = 4.0 * OUT_DIM * (double)n, .operations = 2.0 * OUT_DIM * PICKS * (double)n};
    float *rows = numbers(n * OUT_DIM, 0);
    double times[REPEATS_MAX];
    picks here = pick(device, rows, n);
    const picks there = pick(cpu, rows, n);
    size_t wrong = 0;
    for (int r = 0; r < repeats; r++) {
        here = pick(device, rows, n);
        times[r] = here.seconds;
    }
    for (int i = 0; i < PICKS; i++)
        wrong += here.index[i] != there.index[i] || pb_float_bits(here.distance2[i]) != pb_float_bits(there.distance2[i]);
    qsort(times, (size_t)repeats, sizeof *times, rising);
    print_row(&o, times, wrong);
    pb_release(&rows);
}

int main(int argc, char **argv) {
    pb_device *device, *cpu;
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "usage: bench_device DEVICE [SCALE [REPEATS [PLUGIN]]]\n");
        return 64;
    }
    scale = argc > 2 ? atof(argv[2]) : scale;
    repeats = argc > 3 ? atoi(argv[3]) : repeats;
    repeats = repeats < 1 ? 1 : repeats > REPEATS_MAX ? REPEATS_MAX : repeats;
    pb_device_plugin_path(argc > 4 ? argv[4] : NULL);
    must(pb_device_open(argv[1], 1, &device));
    must(pb_device_open("cpu", 2, &cpu));
    printf("# %s against %s, scale %g, %d repeats\n", pb_device_description(device), pb_device_description(cpu), scale, repeats);
    printf("# %-13s %9s %-32s %10s %10s %8s %6s %9s %8s\n", "operation", "size", "", "median ms", "least ms", "GB/s", "%",
           "G op/s", "wrong");
    measure_rows(device, cpu);
    measure_selection(device, cpu);
    pb_device_close(&device);
    pb_device_close(&cpu);
    printf("# %zu values wrong\n", wrong_in_all);
    return wrong_in_all > 0;
}
