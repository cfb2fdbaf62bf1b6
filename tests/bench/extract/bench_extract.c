/* bench_extract: images a second of the "cpu" device with any backbone: network alone, and with patch features.
 *
 *   bench_extract export BACKBONE WEIGHTS NETWORK.net
 *   bench_extract run BACKBONE WEIGHTS IMAGES.u8 BATCH THREADS OUTPUTS.f32
 *
 * WEIGHTS: a safetensors file, or random:SEED. Size and taps are the backbone's defaults.
 * export writes the network as patchbank runs it, for make_onnx.py: a line of JSON (the layers with their paddings, the taps),
 * then for each convolution its folded weights [outputs][inputs / groups][kernel][kernel] and its biases, float32.
 * run: IMAGES.u8 has at least BATCH images, bytes [height][width][3], end to end (bench_onnxruntime.py images makes them). It
 * prints one JSON line a row: one image a call and BATCH images a call, medians and best of the calls in SECONDS seconds, warm,
 * from bytes in memory to taps or features in memory. Seconds of the clock, and seconds that this process had processors for.
 * "ok": the timed calls left the same bits as a call before all timing did, whose taps (tap after tap, NHWC) are in OUTPUTS.f32
 * to be compared with another program's; features, the bits of the plain twin on them. Exit status 1 when a row is not ok.
 */
#include "base/clock.h"
#include "base/memory.h"
#include "base/version.h"
#include "gpu/extractor.h"
#include "gpu/ref.h"
#include "io/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CALLS_MIN = 5, CALLS_MAX = 2000, PATCH = 3 };

static const double SECONDS = 2.0;

typedef struct bench {
    pb_network network;
    pb_device *device;
    int batch, threads;
    uint8_t *images;                           /* host memory, which on "cpu" is device memory too */
    float *taps[PB_TAPS_MAX];                  /* of `batch` images, as the last call left them */
    float *expected[PB_TAPS_MAX];              /* of a call before all timing */
    float *expected_features;                  /* of the first image */
    size_t values[PB_TAPS_MAX], feature_count; /* of one image */
    char cpu[128];
} bench;

static void must(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "bench_extract: %s\n", status.message);
        exit(1);
    }
}

static void load(const char *backbone, const char *weights, pb_network *network) {
    const char *taps, *random = "random:";
    int side;
    must(pb_backbone_defaults(backbone, &taps, &side));
    const pb_size size = {side, side};
    if (strncmp(weights, random, strlen(random)) == 0) {
        must(pb_network_random(backbone, taps, size, strtoull(weights + strlen(random), NULL, 10), network));
        return;
    }
    pb_safetensors *tensors;
    must(pb_safetensors_open(weights, &tensors));
    must(pb_network_load(backbone, taps, size, pb_safetensors_lookup, tensors, network));
    pb_safetensors_close(&tensors);
}

static size_t image_bytes(const pb_network *network) { return pb_size_area(network->size) * 3; }

/* ---- export ---- */

/* Pixels over the edges along one axis, before and after: from `in` to `out` places. */
static void write_pads(FILE *file, const pb_layer *layer, const char *name, int in, int out) {
    int before = pb_layer_pad_before(layer, in), after = (out - 1) * layer->stride + layer->kernel - in - before;
    fprintf(file, "\"%s\": [%d, %d], ", name, before, after > 0 ? after : 0);
}

static void write_layer(FILE *file, const pb_network *network, int index) {
    const pb_layer *layer = &network->layers[index];
    pb_size in = pb_network_shape(network, layer->source).size, out = pb_network_shape(network, index).size;
    fprintf(file, "%s{", index ? ", " : "");
    write_pads(file, layer, "pads_down", in.height, out.height);
    write_pads(file, layer, "pads_across", in.width, out.width);
    fprintf(file, "\"name\": \"%s\", \"pool\": %s, \"inputs\": %d, \"outputs\": %d, \"kernel\": %d, \"stride\": %d, "
            "\"groups\": %d, \"activation\": \"%s\", \"source\": %d, \"residual\": %d}", layer->name,
             layer->operation == PB_OPERATION_MAX_POOL ? "true" : "false", layer->inputs, layer->outputs,
            layer->kernel, layer->stride, layer->groups,
            layer->activation == PB_ACTIVATION_NONE ? "" : layer->activation == PB_ACTIVATION_RELU ? "relu" : "relu6",
            layer->source, layer->residual);
}

static void write_weights(FILE *file, const pb_layer *layer) {
    size_t kernel = (size_t)layer->kernel * (size_t)layer->kernel;
    fwrite(layer->weights, sizeof(float), (size_t)layer->outputs * (size_t)(layer->inputs / layer->groups) * kernel, file);
    fwrite(layer->bias, sizeof(float), (size_t)layer->outputs, file);
}

static void export(const pb_network *network, const char *path) {
    FILE *file = fopen(path, "wb");
    if (!file)
        must(pb_fail(PB_E_SYSTEM, "%s: cannot write", path));
    const float *mean = network->mean, *scale = network->scale;
    fprintf(file, "{\"backbone\": \"%s\", \"size\": [%d, %d], \"mean\": [%.9g, %.9g, %.9g], "
            "\"scale\": [%.9g, %.9g, %.9g], \"layers\": [",
            network->backbone, network->size.height, network->size.width, (double)mean[0], (double)mean[1], (double)mean[2],
            (double)scale[0], (double)scale[1], (double)scale[2]);
    for (int l = 0; l < network->layer_count; l++)
        write_layer(file, network, l);
    fprintf(file, "], \"taps\": [");
    for (int t = 0; t < network->tap_count; t++) {
        pb_layer_shape shape = pb_network_shape(network, network->taps[t]);
        fprintf(file, "%s{\"layer\": %d, \"shape\": [%d, %d, %d]}", t ? ", " : "", network->taps[t],
                shape.size.height, shape.size.width, shape.channels);
    }
    fprintf(file, "]}\n");
    for (int l = 0; l < network->layer_count; l++)
        if (network->layers[l].weights)
            write_weights(file, &network->layers[l]);
    bool failed = ferror(file);
    if (fclose(file) != 0 || failed)
        must(pb_fail(PB_E_SYSTEM, "%s: cannot write", path));
}

/* ---- set up ---- */

static void read_images(bench *b, const char *path) {
    size_t bytes = image_bytes(&b->network);
    must(pb_device_alloc(b->device, (size_t)b->batch * bytes, &b->images, "images"));
    FILE *file = fopen(path, "rb");
    if (!file || fread(b->images, bytes, (size_t)b->batch, file) != (size_t)b->batch)
        must(pb_fail(PB_E_INPUT, "%s: cannot read %d images of %zu bytes", path, b->batch, bytes));
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

/* Taps of all images by one call, features of the first by the plain twin. */
static void make_expected(bench *b) {
    pb_layer_shape shapes[PB_TAPS_MAX];
    size_t channels = 0;
    for (int t = 0; t < b->network.tap_count; t++) {
        shapes[t] = pb_network_shape(&b->network, b->network.taps[t]);
        channels += (size_t)shapes[t].channels;
        b->values[t] = pb_layer_shape_values(shapes[t]);
        must(pb_device_alloc(b->device, (size_t)b->batch * b->values[t] * sizeof(float), &b->taps[t], "taps"));
        must(pb_device_alloc(b->device, (size_t)b->batch * b->values[t] * sizeof(float), &b->expected[t], "taps"));
    }
    pb_compiled *compiled;
    must(pb_device_compile(b->device, &b->network, PB_PRECISION_FP32, b->batch, &compiled));
    must(pb_device_run(b->device, compiled, b->images, b->batch, b->expected));
    pb_device_compiled_free(b->device, &compiled);
    b->feature_count = pb_size_area(shapes[0].size) * channels;
    must(pb_allocate(&b->expected_features, b->feature_count, sizeof(float), "features"));
    pb_ref_patch_features(PATCH, b->network.tap_count, shapes, (const float *const *)b->expected, 1, b->expected_features);
}

static void write_expected(const bench *b, const char *path) {
    FILE *file = fopen(path, "wb");
    bool written = file;
    for (int t = 0; t < b->network.tap_count && written; t++)
        written = fwrite(b->expected[t], b->values[t] * sizeof(float), (size_t)b->batch, file) == (size_t)b->batch;
    if (!file || fclose(file) != 0 || !written)
        must(pb_fail(PB_E_SYSTEM, "%s: cannot write", path));
}

static void tear_down(bench *b) {
    for (int t = 0; t < b->network.tap_count; t++) {
        pb_device_release(b->device, &b->taps[t]);
        pb_device_release(b->device, &b->expected[t]);
    }
    pb_release(&b->expected_features);
    pb_device_release(b->device, &b->images);
    pb_device_close(&b->device);
    pb_network_free(&b->network);
}

/* ---- timing ---- */

typedef struct work {
    const bench *b;
    int images;              /* a call */
    pb_compiled *compiled;   /* of the row "network" */
    pb_extractor *extractor; /* of the row "features" */
    const float *features;   /* of the extractor's last call */
} work;

static void run_once(work *w) {
    if (w->compiled)
        must(pb_device_run(w->b->device, w->compiled, w->b->images, w->images, w->b->taps));
    else
        must(pb_extractor_run(w->extractor, w->b->images, (size_t)w->images, &w->features));
}

static int compare_doubles(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds that this process has had processors, all threads together. */
static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of a call. */
typedef struct timing {
    int calls;
    double median, best, processor_median;
} timing;

static timing measure(work *w) {
    static double seconds[CALLS_MAX], processor[CALLS_MAX];
    int calls = 0;
    run_once(w);
    for (double begun = pb_clock_seconds();
         calls < CALLS_MIN || (calls < CALLS_MAX && pb_clock_seconds() - begun < SECONDS); calls++) {
        double clock = pb_clock_seconds(), used = processor_seconds();
        run_once(w);
        processor[calls] = processor_seconds() - used;
        seconds[calls] = pb_clock_seconds() - clock;
    }
    qsort(seconds, (size_t)calls, sizeof *seconds, compare_doubles);
    qsort(processor, (size_t)calls, sizeof *processor, compare_doubles);
    return (timing){calls, seconds[calls / 2], seconds[0], processor[calls / 2]};
}

static void print_row(const work *w, const char *what, timing t, bool ok) {
    printf("{\"bench\": \"extract\", \"program\": \"patchbank\", \"what\": \"%s\", \"backbone\": \"%s\", \"commit\": \"%s\", "
           "\"cpu\": \"%s\", \"device\": \"%s\", \"threads\": %d, \"batch\": %d, \"calls\": %d, \"images_per_s\": %.2f, "
           "\"images_per_s_best\": %.2f, \"images_per_processor_s\": %.2f, \"ok\": %s}\n", what, w->b->network.backbone,
           pb_version_commit(), w->b->cpu, pb_device_description(w->b->device), w->b->threads, w->images, t.calls,
           w->images / t.median, w->images / t.best, w->images / t.processor_median, ok ? "true" : "false");
    fflush(stdout);
}

static bool bench_network(bench *b, int images) {
    work w = {.b = b, .images = images};
    must(pb_device_compile(b->device, &b->network, PB_PRECISION_FP32, images, &w.compiled));
    timing times = measure(&w);
    bool ok = true;
    for (int t = 0; t < b->network.tap_count; t++)
        ok = ok && memcmp(b->taps[t], b->expected[t], (size_t)images * b->values[t] * sizeof(float)) == 0;
    print_row(&w, "network", times, ok);
    pb_device_compiled_free(b->device, &w.compiled);
    return ok;
}

static bool bench_features(bench *b, int images) {
    work w = {.b = b, .images = images};
    const pb_features how = {.patch = PATCH, .image = b->network.size};
    must(pb_extractor_create(b->device, &b->network, &how, images, &w.extractor));
    timing times = measure(&w);
    bool ok = memcmp(w.features, b->expected_features, b->feature_count * sizeof(float)) == 0;
    print_row(&w, "features", times, ok);
    pb_extractor_free(&w.extractor);
    return ok;
}

static int run(const char *backbone, const char *weights, const char *images, int batch, int threads, const char *outputs) {
    bench b = {.batch = batch, .threads = threads};
    load(backbone, weights, &b.network);
    must(pb_device_open("cpu", threads, &b.device));
    read_cpu_model(b.cpu);
    read_images(&b, images);
    make_expected(&b);
    write_expected(&b, outputs);
    bool ok = bench_network(&b, 1);
    ok = bench_network(&b, batch) && ok;
    ok = bench_features(&b, 1) && ok;
    ok = bench_features(&b, batch) && ok;
    tear_down(&b);
    return ok ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc == 5 && strcmp(argv[1], "export") == 0) {
        pb_network network;
        load(argv[2], argv[3], &network);
        export(&network, argv[4]);
        pb_network_free(&network);
        return 0;
    }
    int batch = argc == 8 ? atoi(argv[5]) : 0, threads = argc == 8 ? atoi(argv[6]) : 0;
    if (batch < 1 || threads < 1 || strcmp(argv[1], "run") != 0) {
        fprintf(stderr, "usage: bench_extract export BACKBONE WEIGHTS NETWORK.net\n"
                        "       bench_extract run BACKBONE WEIGHTS IMAGES.u8 BATCH THREADS OUTPUTS.f32\n"
                        "WEIGHTS: a safetensors file or random:SEED\n");
        return 64;
    }
    return run(argv[2], argv[3], argv[4], batch, threads, argv[7]);
}
