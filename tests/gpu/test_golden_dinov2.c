/* DINOv2's transformers at every tap against PyTorch in float64 (tests/golden/make_dinov2.py, which also says how the weights are
 * made), at two sizes, so that position embeddings are interpolated. Names and shapes of tensors are the published ones, from
 * tests/golden/dinov2.txt: a network that asks for another one fails.
 *
 * The norm: each value within 1e-4 of itself or, if that is larger, of the root mean square of its tap. A NaN fails.
 */
#include "base/memory.h"
#include "base/random.h"
#include "gpu/device.h"
#include "gpu/positions.h"
#include "io/safetensors.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define GOLDEN PB_SOURCE_DIR "/tests/golden/"

enum { TENSORS_MAX = 400, NAME_MAX_ = 64, RUNS_MAX = 2, STEP = 7919, SEED = 2, LENT = 3 };

typedef struct tensor {
    char name[NAME_MAX_];
    int rank;
    int64_t shape[4];
} tensor;

/* One backbone of the list, and the values last lent of it. */
typedef struct source {
    char backbone[NAME_MAX_];
    tensor tensors[TENSORS_MAX];
    int count, asked_for;
    pb_layer_shape runs[RUNS_MAX]; /* size of the image, channels of a tap */
    int run_count;
    float *lent[LENT]; /* weights, bias and scale of a linear layer are borrowed at once */
    int lent_count;
} source;

static void read_tensor(FILE *file, const char *name, tensor *t) {
    *t = (tensor){0};
    strcpy(t->name, name);
    cr_assert_eq(fscanf(file, "%d", &t->rank), 1);
    cr_assert(t->rank >= 1 && t->rank <= 4);
    for (int d = 0; d < t->rank; d++) {
        long long size;
        cr_assert_eq(fscanf(file, "%lld", &size), 1);
        t->shape[d] = size;
    }
}

/* Reads the part of the list that is about `backbone`. */
static void read_list(const char *backbone, source *s) {
    *s = (source){0};
    FILE *file = fopen(GOLDEN "dinov2.txt", "r");
    cr_assert_not_null(file);
    char word[16], name[NAME_MAX_];
    bool mine = false;
    while (fscanf(file, "%15s %63s", word, name) == 2) {
        tensor unused;
        pb_layer_shape run = {0};
        if (strcmp(word, "backbone") == 0) {
            mine = strcmp(name, backbone) == 0;
        } else if (strcmp(word, "tensor") == 0) {
            cr_assert_lt(s->count, TENSORS_MAX);
            read_tensor(file, name, mine ? &s->tensors[s->count++] : &unused);
        } else {
            cr_assert_eq(fscanf(file, "%d %d", &run.size.height, &run.channels), 2);
            cr_assert_eq(sscanf(name, "%d", &run.size.width), 1);
            cr_assert(!mine || s->run_count < RUNS_MAX);
            if (mine)
                s->runs[s->run_count++] = run;
        }
    }
    fclose(file);
    strcpy(s->backbone, backbone);
    cr_assert(s->count > 0 && s->run_count > 0);
}

/* FNV-1a. */
static uint32_t number_of(const char *name) {
    uint32_t number = 2166136261u;
    for (; *name; name++)
        number = (number ^ (unsigned char)*name) * 16777619u;
    return number;
}

static bool ends_with(const char *text, const char *end) {
    return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

static float *make(const tensor *t) {
    size_t count = 1, fan = 1;
    for (int d = 0; d < t->rank; d++) {
        count *= (size_t)t->shape[d];
        fan *= d > 0 ? (size_t)t->shape[d] : 1;
    }
    bool is_norm = ends_with(t->name, ".weight") && t->rank == 1, is_scale = ends_with(t->name, ".gamma");
    float offset = is_norm ? 1 : is_scale ? 0.5f : 0, scale = is_norm || is_scale ? 0.3f : 0.5f;
    if (ends_with(t->name, ".weight") && t->rank > 1)
        scale = (float)sqrt(3 / (double)fan);
    float *values;
    uint32_t substream = number_of(t->name), block[4];
    test_must(pb_allocate(&values, count, sizeof *values, t->name));
    for (size_t i = 0; i < count; i++) {
        if (i % 4 == 0)
            pb_random_block(SEED, PB_STREAM_TEST, substream, i / 4, block);
        float scaled = scale * ((float)(2 * (int32_t)(block[i % 4] >> 8) + 1 - (1 << 24)) * 0x1p-24f);
        values[i] = offset + scaled;
    }
    return values;
}

static pb_status look_up(void *context, const char *name, pb_tensor_view *view) {
    source *s = context;
    for (int i = 0; i < s->count; i++) {
        const tensor *t = &s->tensors[i];
        if (strcmp(t->name, name) != 0)
            continue;
        float **place = &s->lent[s->lent_count++ % LENT];
        pb_release(place);
        *place = make(t);
        *view = (pb_tensor_view){.data = *place, .rank = t->rank};
        memcpy(view->shape, t->shape, sizeof t->shape);
        s->asked_for++;
        return pb_ok();
    }
    return pb_fail(PB_E_INPUT, "%s has no tensor %s", s->backbone, name);
}

/* Of `values` values the samples that the golden tensor `name` has. Returns the largest relative difference. */
static double compare(pb_safetensors *golden, const char *name, const float *found, size_t values) {
    pb_tensor_view view;
    test_must(pb_safetensors_lookup(golden, name, &view));
    size_t samples = (size_t)view.shape[0];
    double squares = 0, worst = 0;
    for (size_t k = 0; k < samples; k++)
        squares += (double)view.data[k] * (double)view.data[k];
    double size = sqrt(squares / (double)samples);
    for (size_t k = 0; k < samples; k++) {
        double expected = (double)view.data[k], value = (double)found[k * STEP % values];
        double relative = fabs(value - expected) / fmax(fabs(expected), size);
        cr_assert(relative <= 1e-4, "%s: sample %zu is %.9g, PyTorch's %.9g", name, k, value, expected);
        worst = fmax(worst, relative);
    }
    return worst;
}

/* Taps first .. first + count - 1 of one run. */
static void check_taps(pb_safetensors *golden, source *s, pb_layer_shape run, int first, int count) {
    char text[64] = "", name[NAME_MAX_ + 32];
    for (int t = first; t < first + count; t++)
        snprintf(text + strlen(text), sizeof text - strlen(text), t == first ? "%d" : ",%d", t);
    pb_network network;
    pb_device *device;
    pb_compiled *compiled;
    float *taps[PB_TAPS_MAX];
    test_must(pb_network_load(s->backbone, text, run.size, look_up, s, &network));
    uint8_t *image = test_images(&network, 1, 0);
    test_taps_allocate(&network, 1, taps);
    test_must(pb_device_open("cpu", 1, &device));
    test_must(pb_device_compile(device, &network, PB_PRECISION_FP32, 1, &compiled));
    test_must(pb_device_run(device, compiled, image, 1, taps));
    double worst = 0;
    for (int t = 0; t < count; t++) {
        pb_layer_shape shape = pb_network_shape(&network, network.taps[t]);
        cr_assert(shape.size.width * 14 == run.size.width && shape.size.height * 14 == run.size.height);
        cr_assert_eq(shape.channels, run.channels);
        snprintf(name, sizeof name, "%s.%dx%d.%d", s->backbone, run.size.width, run.size.height, first + t);
        worst = fmax(worst, compare(golden, name, taps[t], test_tap_values(&network, t)));
    }
    fprintf(stderr, "%s, taps %s, %d x %d: largest relative difference %.3g\n", s->backbone, text, run.size.width,
            run.size.height, worst);
    pb_device_compiled_free(device, &compiled);
    pb_device_close(&device);
    test_taps_free(taps);
    pb_release(&image);
    pb_network_free(&network);
}

/* Every tap of every run. The last network has all blocks and so asks for every tensor but the mask token once, and for weight
 * and bias of the final norm once a tap. */
static void check(const char *backbone, int blocks) {
    source s;
    pb_safetensors *golden;
    read_list(backbone, &s);
    test_must(pb_safetensors_open(GOLDEN "dinov2.safetensors", &golden));
    for (int r = 0; r < s.run_count; r++)
        for (int first = 0; first < blocks; first += PB_TAPS_MAX) {
            int count = blocks - first < PB_TAPS_MAX ? blocks - first : PB_TAPS_MAX;
            s.asked_for = 0;
            check_taps(golden, &s, s.runs[r], first, count);
            if (first + count == blocks)
                cr_assert_eq(s.asked_for, s.count - 1 + 2 * (count - 1), "%d tensors were asked for, of %d", s.asked_for,
                             s.count);
        }
    pb_safetensors_close(&golden);
    for (int i = 0; i < LENT; i++)
        pb_release(&s.lent[i]);
}

Test(golden_dinov2, vits14_is_the_published_one) { check("dinov2_vits14", 12); }
Test(golden_dinov2, vitb14_is_the_published_one) { check("dinov2_vitb14", 12); }
Test(golden_dinov2, vitl14_is_the_published_one) { check("dinov2_vitl14", 24); }

/* Against torch's interpolate in float64. The table is random, so that neighbours have nothing in common. */
Test(golden_dinov2, positions_are_interpolated_as_torch_does) {
    enum { SIDE = 37, CHANNELS = 2 };
    static const pb_size SIZES[] = {{16, 16}, {17, 9}, {45, 38}, {37, 36}};
    float *table, *found;
    pb_safetensors *golden;
    test_must(pb_allocate(&table, (1 + SIDE * SIDE) * CHANNELS, sizeof *table, "table"));
    test_must(pb_allocate(&found, 2000 * CHANNELS, sizeof *found, "positions"));
    for (size_t i = 0; i < (1 + SIDE * SIDE) * CHANNELS; i++)
        table[i] = pb_random_symmetric(1, PB_STREAM_TEST, 2000, i);
    test_must(pb_safetensors_open(GOLDEN "dinov2.safetensors", &golden));
    for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++) {
        char name[32];
        pb_tensor_view view;
        snprintf(name, sizeof name, "positions.%dx%d", SIZES[s].width, SIZES[s].height);
        test_must(pb_safetensors_lookup(golden, name, &view));
        cr_assert(view.rank == 3 && view.shape[0] == SIZES[s].height && view.shape[1] == SIZES[s].width);
        pb_positions_interpolate(table + CHANNELS, SIDE, CHANNELS, SIZES[s], found);
        for (size_t i = 0; i < pb_size_area(SIZES[s]) * CHANNELS; i++)
            cr_assert(fabs((double)found[i] - (double)view.data[i]) <= 1e-7, "%s, value %zu: %.9g, torch's %.9g", name, i,
                      (double)found[i], (double)view.data[i]);
    }
    pb_safetensors_close(&golden);
    pb_release(&found);
    pb_release(&table);
}
