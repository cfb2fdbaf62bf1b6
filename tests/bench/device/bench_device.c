/* bench_device: how fast a device's operations are, of what the device could do, and whether they are right.
 *
 *   bench_device [--quick] [--json FILE] DEVICE        --quick: small sizes, few repeats; FILE: a JSON line a row is appended
 *
 * A table in the manner of nccl-tests, lines with names begin with #. Two ceilings are measured first: the bandwidth of copying
 * within device memory, bytes read and written, and the rate of fused multiply-adds in registers. A row: operation and size;
 * median and 99th percentile of the repeats, each from the call until a value has come back to the host, which includes some ten
 * microseconds of that; the rate of its items; and the percentage of the ceiling that says more, "memory" or "arithmetic": the
 * least bytes that must move, input and output once, or the float operations of its definition, an FMA being one, over median
 * and ceiling, which a search with a filter may exceed. #wrong: values of the last timed output that are not the bits of the
 * reference, the "cpu" device, or "cpu:plain" for a cpu device; of a search for its first queries. "-": not supported by the
 * device.
 * Data: Philox numbers in (-1, 1); the selection's points are in clusters, like features. The first run of each is not timed;
 * later ones find caches as the run before has left them.
 * Exit status: 0, 1 when a value was wrong, 64 wrong usage, 69 no such device, 74 a failure.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "ceiling.h"
#include "play.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS_MAX = 50, TAPS = 2, QUERIES_CHECKED = 64, QUERIES_CHECKED_QUICK = 8 };

static const pb_layer_shape SHAPES[TAPS] = {{{28, 28}, 512}, {{14, 14}, 1024}};
static const pb_patchcore PATCHCORE = {3, 1, 1024, 1024};

static void must(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "bench_device: %s\n", status.message);
        exit((int)status.code);
    }
}

struct side;

/* What a row measures. Sizes are in floats. */
typedef struct row {
    const char *name, *unit; /* of items */
    char what[48];
    pb_status (*run)(const struct row *r, struct side *s);
    size_t in[2], out; /* rows, points or the first tap; queries, matrix, centre or the second tap; output */
    size_t n;          /* rows, images or points */
    int dim;
    bool points, cover; /* in[0] becomes points; the points of a cover */
    size_t checked;     /* leading values of out that are compared */
    double items, bytes, operations;
} row;

/* A row's data on one device. */
typedef struct side {
    pb_device *device;
    float *in[2], *out;
    float *host; /* the first row of in[0] */
    size_t wanted; /* values of out that are made: all, or as many as are checked */
    pb_points *points;
} side;

/* ---- the operations ---- */

static pb_status run_copy(const row *r, side *s) {
    const size_t bytes = r->out * sizeof(float), height = bytes / 4096;
    return pb_device_copy_block(s->device, s->out, 4096, s->in[0], 4096, 4096, height);
}

static pb_status run_means(const row *r, side *s) {
    const float *const taps[TAPS] = {s->in[0], s->in[1]};
    return pb_device_patch_features(s->device, 3, TAPS, SHAPES, taps, (int)r->n, s->out);
}

static pb_status run_patchcore(const row *r, side *s) {
    const float *const taps[TAPS] = {s->in[0], s->in[1]};
    return pb_device_patchcore_features(s->device, &PATCHCORE, TAPS, SHAPES, taps, (int)r->n, s->out);
}

/* In place, so on a copy. */
static pb_status run_unit_rows(const row *r, side *s) {
    const size_t pitch = (size_t)r->dim * sizeof(float);
    PB_TRY(pb_device_copy_block(s->device, s->out, pitch, s->in[0], pitch, pitch, r->n));
    return pb_device_unit_rows(s->device, s->out, r->n, r->dim);
}

static pb_status run_project(const row *r, side *s) {
    return pb_device_project(s->device, s->in[0], r->n, r->dim, s->in[1], (int)(r->out / r->n), s->out);
}

/* Maps of 28 x 28 places to squares of r->dim pixels. */
static pb_status run_smooth(const row *r, side *s) {
    pb_smoothing how;
    pb_smoothing_gaussian(r->dim / 56.0, &how); /* 4 at 224 pixels */
    return pb_device_smooth_maps(s->device, &how, s->in[0], (int)r->n, (pb_size){28, 28}, (pb_size){r->dim, r->dim}, s->out);
}

/* Points are read back at the end so that there is something to compare. */
static pb_status run_write(const row *r, side *s) {
    int64_t not_finite;
    PB_TRY(pb_device_points_write(s->device, s->points, 0, r->n, s->in[0], &not_finite));
    return pb_device_points_read(s->device, s->points, r->n - 1, s->out);
}

static pb_status run_step(const row *r, side *s) {
    (void)r;
    return pb_device_greedy_step(s->device, s->points, 0, s->in[1], (uint64_t *)(void *)s->out);
}

static pb_status run_nearest(const row *r, side *s) {
    (void)r;
    return pb_device_nearest(s->device, s->points, 0, s->in[1], s->wanted / 2, (uint64_t *)(void *)s->out);
}

/* A whole selection, the points' way into the device included. */
static pb_status run_selection(const row *r, side *s) {
    size_t made, rounds;
    int64_t not_finite;
    int32_t *picked;
    pb_cover *cover;
    PB_TRY(pb_device_cover_create(s->device, r->n, r->dim, 0, &cover));
    pb_status status = pb_device_cover_write(s->device, cover, 0, r->n, s->in[0], &not_finite);
    must(pb_allocate(&picked, r->out, sizeof *picked, "picks"));
    if (!pb_failed(&status))
        status = bench_play(s->device, cover, r->dim, s->host, r->out, picked, &made, &rounds);
    if (!pb_failed(&status))
        status = pb_device_upload(s->device, s->out, picked, r->out * sizeof *picked);
    pb_release(&picked);
    pb_device_cover_free(s->device, &cover);
    return status;
}

/* ---- a row's data ---- */

static float dice(uint32_t substream, size_t index) { return pb_random_symmetric(1, PB_STREAM_TEST, substream, index); }

/* Fifty clusters, and a spread that falls from dimension to dimension. */
static float clustered(const row *r, size_t index) {
    const size_t dim = (size_t)r->dim, cluster = index / dim % 50;
    return (4 * dice(2, cluster * dim + index % dim) + dice(0, index)) / (1 + (float)(index % dim) / 4);
}

static void fill_input(const row *r, int which, side *s) {
    float *values;
    must(pb_allocate(&values, r->in[which] + 1, sizeof *values, "data"));
    for (size_t i = 0; i < r->in[which]; i++)
        values[i] = r->cover ? clustered(r, i) : dice((uint32_t)which, i);
    must(pb_device_alloc(s->device, (r->in[which] + 1) * sizeof *values, &s->in[which], "data"));
    must(pb_device_upload(s->device, s->in[which], values, r->in[which] * sizeof *values));
    if (which == 0 && r->dim > 0)
        memcpy(s->host, values, (size_t)r->dim * sizeof *values);
    pb_release(&values);
}

/* The output is all ones beforehand: PB_NEAREST_NONE, and no number that an operation makes. */
static side begin(const row *r, pb_device *device, size_t wanted) {
    side s = {.device = device, .wanted = wanted};
    char *ones;
    must(pb_allocate(&s.host, (size_t)r->dim + 1, sizeof *s.host, "data"));
    fill_input(r, 0, &s);
    fill_input(r, 1, &s);
    must(pb_allocate(&ones, r->out, sizeof *s.out, "output"));
    memset(ones, 0xFF, r->out * sizeof *s.out);
    must(pb_device_alloc(device, r->out * sizeof *s.out, &s.out, "output"));
    must(pb_device_upload(device, s.out, ones, r->out * sizeof *s.out));
    pb_release(&ones);
    if (r->points) {
        int64_t not_finite;
        must(pb_device_points_create(device, r->n, r->dim, &s.points));
        must(pb_device_points_write(device, s.points, 0, r->n, s.in[0], &not_finite));
    }
    return s;
}

static void end(side *s) {
    pb_device_points_free(s->device, &s->points);
    pb_device_release(s->device, &s->in[0]);
    pb_device_release(s->device, &s->in[1]);
    pb_device_release(s->device, &s->out);
    pb_release(&s->host);
}

/* ---- measuring ---- */

static bool quick;
static FILE *rows_file;
static size_t wrong_in_all;
static double copy_rate, fma_rate; /* the ceilings; 0: not known */

/* Runs it once, until a value of the result is on the host. */
static pb_status timed(const row *r, side *s, double *seconds) {
    float last;
    const double begun = pb_clock_seconds();
    PB_TRY(r->run(r, s));
    PB_TRY(pb_device_download(s->device, &last, s->out + r->out - 1, sizeof last));
    *seconds = pb_clock_seconds() - begun;
    return pb_ok();
}

static int rising(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static size_t count_wrong(const row *r, const side *a, const side *b) {
    float *x, *y;
    size_t wrong = 0;
    must(pb_allocate(&x, r->checked, sizeof *x, "output"));
    must(pb_allocate(&y, r->checked, sizeof *y, "output"));
    must(pb_device_download(a->device, x, a->out, r->checked * sizeof *x));
    must(pb_device_download(b->device, y, b->out, r->checked * sizeof *y));
    for (size_t i = 0; i < r->checked; i++)
        wrong += pb_float_bits(x[i]) != pb_float_bits(y[i]);
    pb_release(&x);
    pb_release(&y);
    return wrong;
}

/* What came out of the repeats. */
typedef struct times {
    double seconds[REPEATS_MAX];
    int count;
} times;

static double median(const times *t) { return t->seconds[t->count / 2]; }

static double p99(const times *t) { return t->seconds[(int)ceil(0.99 * t->count) - 1]; }

/* Share of a ceiling in per cent, and which; NAN where no ceiling is known. */
static double share(const row *r, double seconds, const char **of) {
    const double memory = copy_rate > 0 ? r->bytes / copy_rate : 0, arithmetic = fma_rate > 0 ? r->operations / fma_rate : 0;
    *of = memory >= arithmetic ? "memory" : "arithmetic";
    const double least = memory >= arithmetic ? memory : arithmetic;
    return least > 0 ? 100 * least / seconds : NAN;
}

static void print_row(const row *r, const times *t, size_t wrong, const char *device) {
    const char *of;
    char percent[16] = "-";
    const double rate = r->items / median(t), part = share(r, median(t), &of);
    if (!isnan(part))
        snprintf(percent, sizeof percent, "%.1f", part);
    printf("%-18s %-32s %12.1f %12.1f %10.4g %-12s %9.2f %7s %-10s %7zu\n", r->name, r->what, median(t) * 1e6, p99(t) * 1e6, rate,
           r->unit, r->bytes / median(t) / 1e9, percent, isnan(part) ? "-" : of, wrong);
    fflush(stdout);
    if (rows_file)
        fprintf(rows_file,
                "{\"bench\": \"device\", \"operation\": \"%s\", \"size\": \"%s\", \"device\": \"%s\", \"repeats\": %d, "
                "\"median_us\": %.3f, \"p99_us\": %.3f, \"rate\": %.6g, \"unit\": \"%s\", \"bytes_per_s\": %.6g, "
                "\"percent\": %s, \"of\": \"%s\", \"wrong\": %zu}\n",
                r->name, r->what, device, t->count, median(t) * 1e6, p99(t) * 1e6, rate, r->unit, r->bytes / median(t),
                isnan(part) ? "null" : percent, of, wrong);
}

static void measure(const row *r, pb_device *device, pb_device *reference) {
    times t = {.count = quick ? 5 : 20};
    double untimed;
    side here = begin(r, device, r->out), there = begin(r, reference, r->checked);
    pb_status status = timed(r, &here, &untimed);
    for (int i = 0; i < t.count && !pb_failed(&status); i++)
        status = timed(r, &here, &t.seconds[i]);
    if (status.code == PB_E_UNSUPPORTED) {
        printf("%-18s %-32s %12s %12s %10s %-12s %9s %7s %-10s %7s\n", r->name, r->what, "-", "-", "-", r->unit, "-", "-", "-",
               "-");
    } else {
        must(status);
        must(timed(r, &there, &untimed));
        qsort(t.seconds, (size_t)t.count, sizeof *t.seconds, rising);
        const size_t wrong = count_wrong(r, &here, &there);
        wrong_in_all += wrong;
        if (r->run == run_copy)
            copy_rate = r->bytes / median(&t);
        print_row(r, &t, wrong, pb_device_description(device));
    }
    end(&here);
    end(&there);
}

/* ---- rows ---- */

static size_t sized(size_t full, size_t small) { return quick ? small : full; }

static row row_of(const char *name, const char *unit, pb_status (*run)(const row *, side *), double items, size_t in0, size_t in1,
                  size_t out) {
    return (row){.name = name, .unit = unit, .run = run, .in = {in0, in1}, .out = out, .checked = out, .items = items,
                 .bytes = sizeof(float) * (double)(in0 + in1 + out)};
}

static void measure_copy(pb_device *device, pb_device *reference) {
    const size_t values = sized(256 << 18, 1 << 16); /* 256 MiB */
    row r = row_of("copy", "bytes/s", run_copy, 8.0 * (double)values, values, 0, values);
    snprintf(r.what, sizeof r.what, "%zu KiB", values / 256);
    measure(&r, device, reference);
}

static void measure_features(pb_device *device, pb_device *reference) {
    const size_t images = sized(32, 1), places = 28 * 28;
    const size_t tap0 = images * pb_layer_shape_values(SHAPES[0]), tap1 = images * pb_layer_shape_values(SHAPES[1]);
    row r = row_of("patch_features", "images/s", run_means, (double)images, tap0, tap1, images * places * (512 + 1024));
    r.n = images;
    snprintf(r.what, sizeof r.what, "%zu x 28x28x512, 14x14x1024", images);
    measure(&r, device, reference);
    r = row_of("patchcore_features", "images/s", run_patchcore, (double)images, tap0, tap1, images * places * 1024);
    r.n = images;
    snprintf(r.what, sizeof r.what, "%zu x 28x28x512, 14x14x1024", images);
    measure(&r, device, reference);
}

static void measure_rows(pb_device *device, pb_device *reference) {
    const size_t rows = sized(25088, 20), dim = 1024, out = 128;
    row r = row_of("copy, unit_rows", "rows/s", run_unit_rows, (double)rows, rows * dim, 0, rows * dim);
    r.n = rows;
    r.dim = (int)dim;
    r.bytes *= 2; /* of the copy too */
    snprintf(r.what, sizeof r.what, "%zu x %zu", rows, dim);
    measure(&r, device, reference);
    r = row_of("project", "rows/s", run_project, (double)rows, rows * dim, dim * out, rows * out);
    r.n = rows;
    r.dim = (int)dim;
    r.operations = (double)rows * (double)dim * (double)out;
    snprintf(r.what, sizeof r.what, "%zu x %zu to %zu", rows, dim, out);
    measure(&r, device, reference);
}

static void measure_maps(pb_device *device, pb_device *reference) {
    const size_t images = sized(32, 2), pixels = sized(224, 56);
    row r = row_of("smooth_maps", "images/s", run_smooth, (double)images, images * 28 * 28, 0, images * pixels * pixels);
    r.n = images;
    r.dim = (int)pixels;
    r.bytes = 4.0 * sizeof(float) * (double)(images * pixels * pixels); /* of two passes */
    snprintf(r.what, sizeof r.what, "%zu x 28x28 to %zux%zu", images, pixels, pixels);
    measure(&r, device, reference);
}

static void measure_points(pb_device *device, pb_device *reference) {
    const size_t n = sized(1000000, 500), dim = 128;
    row r = row_of("points_write", "rows/s", run_write, (double)n, n * dim, 0, dim);
    r.n = n;
    r.dim = (int)dim;
    r.points = true;
    r.bytes *= 2; /* read and written */
    snprintf(r.what, sizeof r.what, "%zu x %zu", n, dim);
    measure(&r, device, reference);
    r = row_of("greedy_step", "points/s", run_step, (double)n, n * dim, dim, 2);
    r.n = n;
    r.dim = (int)dim;
    r.points = true;
    r.bytes += 8.0 * (double)n; /* a point's distance is read and written */
    r.operations = 2.0 * (double)n * (double)dim;
    snprintf(r.what, sizeof r.what, "%zu x %zu", n, dim);
    measure(&r, device, reference);
}

static void measure_search(pb_device *device, pb_device *reference) {
    const size_t queries = sized(25088, 12), n = sized(100000, 150), dim = 1024;
    row r = row_of("search", "pairs/s", run_nearest, (double)queries * (double)n, n * dim, queries * dim, 2 * queries);
    r.n = n;
    r.dim = (int)dim;
    r.points = true;
    r.checked = 2 * sized(QUERIES_CHECKED, QUERIES_CHECKED_QUICK);
    r.operations = 2.0 * (double)dim * r.items;
    snprintf(r.what, sizeof r.what, "%zu x %zu x %zu", queries, n, dim);
    measure(&r, device, reference);
}

/* Its bytes and operations depend on the points; held against reading the points once. */
static void measure_selection(pb_device *device, pb_device *reference) {
    const size_t n = sized(235200, 300), dim = 128, picks = n / 100;
    row r = row_of("selection", "picks/s", run_selection, (double)picks, n * dim, 0, picks);
    r.n = n;
    r.dim = (int)dim;
    r.cover = true;
    snprintf(r.what, sizeof r.what, "%zu of %zu x %zu", picks, n, dim);
    measure(&r, device, reference);
}

/* Where there was no nvcc there is no kernel to measure a GPU with. */
static double measure_fma(const char *name) {
#ifdef BENCH_WITH_CUDA
    if (strncmp(name, "cuda:", 5) == 0)
        return bench_gpu_fma_rate(atoi(name + 5));
#endif
    return strncmp(name, "cpu", 3) == 0 ? bench_cpu_fma_rate(name) : 0;
}

static void measure_all(const char *name, pb_device *device, pb_device *reference) {
    printf("# %s\n# reference: %s\n# median and p99 of %d repeats\n", pb_device_description(device),
           pb_device_description(reference), quick ? 5 : 20);
    fma_rate = measure_fma(name);
    if (fma_rate > 0)
        printf("# ceiling: %.4g G FMA/s, in registers\n", fma_rate / 1e9);
    else
        printf("# ceiling of arithmetic: not measured on this device\n");
    printf("# ceiling of memory: the copy below\n# %-16s %-32s %12s %12s %10s %-12s %9s %7s %-10s %7s\n", "operation", "size",
           "time", "p99", "rate", "", "algbw", "", "of", "#wrong");
    printf("# %-16s %-32s %12s %12s %10s %-12s %9s %7s %-10s %7s\n", "", "", "(us)", "(us)", "", "(of)", "(GB/s)", "(%)", "", "");
    measure_copy(device, reference);
    measure_features(device, reference);
    measure_rows(device, reference);
    measure_maps(device, reference);
    measure_points(device, reference);
    measure_search(device, reference);
    measure_selection(device, reference);
    printf("# %zu values wrong\n", wrong_in_all);
}

static int usage(void) {
    fputs("usage: bench_device [--quick] [--json FILE] DEVICE\n", stderr);
    return PB_E_USAGE;
}

int main(int argc, char **argv) {
    int at = 1;
    pb_device *device, *reference;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--quick") == 0)
            quick = true;
        else if (strcmp(argv[at], "--json") != 0 || at + 1 == argc || (rows_file = fopen(argv[++at], "a")) == NULL)
            return usage();
    }
    if (argc - at != 1)
        return usage();
    pb_device_plugin_path(getenv("PATCHBANK_CUDA_PLUGIN"));
    must(pb_device_open(argv[at], 1, &device));
    must(pb_device_open(strncmp(argv[at], "cpu", 3) == 0 ? "cpu:plain" : "cpu", 1, &reference));
    measure_all(argv[at], device, reference);
    pb_device_close(&device);
    pb_device_close(&reference);
    if (rows_file && fclose(rows_file) != 0)
        must(pb_fail(PB_E_SYSTEM, "the rows could not be written"));
    return wrong_in_all > 0 ? PB_E_NO : 0;
}
