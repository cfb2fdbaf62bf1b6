/* bench_extract: images a second of the "cpu" device on one thread: the network alone, and network with patch features.
 *
 *   bench_extract WEIGHTS.safetensors IMAGES.u8 [OUTPUTS.f32]
 *
 * IMAGES.u8: 16 images of 224 x 224 x 3 bytes end to end (bench_onnxruntime.py images makes them). Prints one JSON line a row on
 * standard output: batch 1 and batch 16, median and best of the repetitions, warm, from bytes in memory to taps or features in
 * memory. The output of the timed calls themselves is compared with pb_ref_run on the first and the last image of the batch.
 * OUTPUTS.f32 takes the taps of the 16 images (tap after tap, NHWC), for comparison with another program. Exit status 1 when a
 * row is not ok.
 */
#include "base/memory.h"
#include "base/version.h"
#include "gpu/extractor.h"
#include "gpu/ref.h"
#include "io/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIDE = 224, BATCH = 16, IMAGE_BYTES = SIDE * SIDE * 3, REPEATS_MAX = 300, TAPS = 2 };

/* Relative to the largest reference value of the tap: ten times what float32 rounding is seen to do in 33 layers. */
static const double TOLERANCE = 1e-4;

typedef struct bench {
    pb_network network;
    pb_device *device;
    uint8_t *images;                /* host memory, which on "cpu" is device memory too */
    float *taps[TAPS];              /* of BATCH images */
    float *reference[2][TAPS];      /* of the first and the last image */
    size_t values[TAPS];            /* of one image */
    char cpu[128];
} bench;

static void must(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "bench_extract: %s\n", status.message);
        exit(1);
    }
}

static void read_images(const char *path, uint8_t *images) {
    FILE *file = fopen(path, "rb");
    if (!file || fread(images, IMAGE_BYTES, BATCH, file) != BATCH)
        must(pb_fail(PB_E_INPUT, "%s: cannot read %d images of %d bytes", path, BATCH, IMAGE_BYTES));
    fclose(file);
}

static void read_cpu_model(char text[128]) {
    snprintf(text, 128, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    char line[256];
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "model name : %127[^\n]", text) == 1)
            break;
    if (file)
        fclose(file);
}

static void set_up(bench *b, const char *weights, const char *images) {
    pb_safetensors *tensors;
    must(pb_safetensors_open(weights, &tensors));
    must(pb_network_load("efficientnet_lite0", "4,10", (pb_size){SIDE, SIDE}, pb_safetensors_lookup, tensors, &b->network));
    pb_safetensors_close(&tensors);
    must(pb_device_open("cpu", 1, &b->device));
    must(pb_device_alloc(b->device, (size_t)BATCH * IMAGE_BYTES, &b->images, "images"));
    read_images(images, b->images);
    for (int t = 0; t < TAPS; t++) {
        pb_layer_shape shape = pb_network_shape(&b->network, b->network.taps[t]);
        b->values[t] = pb_layer_shape_values(shape);
        must(pb_device_alloc(b->device, BATCH * b->values[t] * sizeof(float), &b->taps[t], "taps"));
        for (int r = 0; r < 2; r++)
            must(pb_allocate(&b->reference[r][t], b->values[t], sizeof(float), "reference"));
    }
    must(pb_ref_run(&b->network, b->images, 1, b->reference[0]));
    must(pb_ref_run(&b->network, b->images + (size_t)(BATCH - 1) * IMAGE_BYTES, 1, b->reference[1]));
    read_cpu_model(b->cpu);
}

/* Largest difference; *ok is cleared when it is not within TOLERANCE. */
static double difference(const float *found, const float *expected, size_t count, bool *ok) {
    double worst = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        double apart = fabs((double)found[i] - (double)expected[i]);
        worst = apart <= worst ? worst : apart; /* a NaN is the worst */
        largest = fmax(largest, fabs((double)expected[i]));
    }
    *ok = *ok && worst <= TOLERANCE * largest;
    return worst;
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct work {
    const bench *b;
    int batch;
    pb_compiled *compiled;   /* of the row "network" */
    pb_extractor *extractor; /* of the row "features" */
    const float *features;   /* of the extractor's last call */
} work;

static void run_once(work *w) {
    if (w->compiled)
        must(pb_device_run(w->b->device, w->compiled, w->b->images, w->batch, w->b->taps));
    else
        must(pb_extractor_run(w->extractor, w->b->images, (size_t)w->batch, &w->features));
}

static int repeats_of(int batch) { return batch == 1 ? REPEATS_MAX : REPEATS_MAX / batch; }

/* Seconds that this process has had a processor: on a quiet machine those of the clock on the wall, and on a shared one the same.
 * */
static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct timing {
    double median, best; /* seconds of a call */
} timing;

static timing measure(work *w, int repeats) {
    double seconds[REPEATS_MAX];
    for (int i = 0; i < 3; i++)
        run_once(w);
    for (int i = 0; i < repeats; i++) {
        double begun = processor_seconds();
        run_once(w);
        seconds[i] = processor_seconds() - begun;
    }
    qsort(seconds, (size_t)repeats, sizeof *seconds, compare_doubles);
    return (timing){.median = seconds[repeats / 2], .best = seconds[0]};
}

static void print_row(const work *w, const char *what, timing t, double worst, bool ok) {
    printf("{\"bench\": \"extract\", \"program\": \"patchbank\", \"what\": \"%s\", \"commit\": \"%s\", \"cpu\": \"%s\", "
           "\"device\": \"%s\", \"threads\": 1, \"batch\": %d, \"repeats\": %d, \"images_per_s\": %.1f, "
           "\"images_per_s_best\": %.1f, \"difference_max\": %.3g, \"ok\": %s}\n", what, pb_version_commit(), w->b->cpu,
           pb_device_description(w->b->device), w->batch, repeats_of(w->batch), w->batch / t.median, w->batch / t.best, worst,
           ok ? "true" : "false");
    fflush(stdout);
}

static bool bench_network(bench *b, int batch) {
    work w = {.b = b, .batch = batch};
    must(pb_device_compile(b->device, &b->network, batch, &w.compiled));
    timing times = measure(&w, repeats_of(batch));
    double worst = 0;
    bool ok = true;
    for (int t = 0; t < TAPS; t++) {
        worst = fmax(worst, difference(b->taps[t], b->reference[0][t], b->values[t], &ok));
        if (batch == BATCH)
            worst = fmax(worst, difference(b->taps[t] + (BATCH - 1) * b->values[t], b->reference[1][t], b->values[t], &ok));
    }
    print_row(&w, "network", times, worst, ok);
    pb_device_compiled_free(b->device, &w.compiled);
    return ok;
}

static bool bench_features(bench *b, int batch) {
    work w = {.b = b, .batch = batch};
    const pb_features how = {.patch = 3, .image = {SIDE, SIDE}};
    must(pb_extractor_create(b->device, &b->network, &how, batch, &w.extractor));
    timing times = measure(&w, repeats_of(batch));
    size_t count = pb_size_area(pb_extractor_grid(w.extractor)) * (size_t)pb_extractor_dim(w.extractor);
    pb_layer_shape shapes[TAPS];
    for (int t = 0; t < TAPS; t++)
        shapes[t] = pb_network_shape(&b->network, b->network.taps[t]);
    float *expected;
    must(pb_allocate(&expected, count, sizeof *expected, "reference"));
    pb_ref_patch_features(how.patch, TAPS, shapes, (const float *const *)b->reference[0], 1, expected);
    bool ok = true;
    double worst = difference(w.features, expected, count, &ok);
    print_row(&w, "features", times, worst, ok);
    pb_release(&expected);
    pb_extractor_free(&w.extractor);
    return ok;
}

static void write_outputs(const bench *b, const char *path) {
    FILE *file = fopen(path, "wb");
    bool written = file;
    for (int t = 0; t < TAPS && written; t++)
        written = fwrite(b->taps[t], b->values[t] * sizeof(float), BATCH, file) == BATCH;
    if (!file || fclose(file) != 0 || !written)
        must(pb_fail(PB_E_SYSTEM, "%s: cannot write", path));
}

static void tear_down(bench *b) {
    for (int t = 0; t < TAPS; t++) {
        pb_device_release(b->device, &b->taps[t]);
        pb_release(&b->reference[0][t]);
        pb_release(&b->reference[1][t]);
    }
    pb_device_release(b->device, &b->images);
    pb_device_close(&b->device);
    pb_network_free(&b->network);
}

int main(int argc, char **argv) {
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: bench_extract WEIGHTS.safetensors IMAGES.u8 [OUTPUTS.f32]\n");
        return 64;
    }
    bench b = {0};
    set_up(&b, argv[1], argv[2]);
    bool ok = bench_network(&b, 1);
    ok = bench_features(&b, 1) && ok;
    ok = bench_network(&b, BATCH) && ok;
    ok = bench_features(&b, BATCH) && ok;
    if (argc == 4)
        write_outputs(&b, argv[3]);
    tear_down(&b);
    return ok ? 0 : 1;
}
