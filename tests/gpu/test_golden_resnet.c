/* Every ResNet at every tap against torchvision's, in float64 (tests/golden/make_resnet.py, which also says how the weights are
 * made). Names and shapes of tensors are torchvision's too, from tests/golden/resnet.txt: a network that asks for another one
 * fails.
 *
 * The norm: each value within 1e-4 of itself or, if that is larger, of the root mean square of its tap. A NaN fails.
 */
#include "base/memory.h"
#include "base/random.h"
#include "gpu/extractor.h"
#include "io/safetensors.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define GOLDEN PB_SOURCE_DIR "/tests/golden/"

enum { TENSORS_MAX = 700, NAME_MAX_ = 64, TAPS = 4, SIDE = 64, STEP = 7919, SEED = 2 };

typedef struct tensor {
    char name[NAME_MAX_]; /* of a norm: what its four tensors begin with */
    bool is_norm;
    int64_t shape[4];
} tensor;

/* One backbone of the list, and the values last lent of it. */
typedef struct source {
    char backbone[NAME_MAX_];
    tensor tensors[TENSORS_MAX];
    int count, asked_for;
    pb_layer_shape taps[TAPS];
    int tap_count;
    float *lent[8]; /* a layer has five tensors at once */
    int lent_count;
} source;

/* Reads the part of the list that is about `backbone`. */
static void read_list(const char *backbone, source *s) {
    *s = (source){0};
    FILE *file = fopen(GOLDEN "resnet.txt", "r");
    cr_assert_not_null(file);
    char word[16], name[NAME_MAX_];
    bool mine = false;
    while (fscanf(file, "%15s %63s", word, name) == 2) {
        long long a = 0, b = 0, c = 0;
        int wanted = strcmp(word, "conv") == 0 ? 3 : strcmp(word, "norm") == 0 ? 1 : strcmp(word, "tap") == 0 ? 2 : 0;
        cr_assert_eq(fscanf(file, wanted == 3 ? "%lld %lld %lld" : wanted == 2 ? "%lld %lld" : wanted ? "%lld" : "", &a, &b, &c),
                     wanted);
        if (wanted == 0)
            mine = strcmp(name, backbone) == 0;
        if (!mine || wanted == 0)
            continue;
        if (wanted == 2) {
            cr_assert_lt(s->tap_count, TAPS);
            s->taps[s->tap_count++] = (pb_layer_shape){test_square((int)a), (int)b};
            continue;
        }
        cr_assert_lt(s->count, TENSORS_MAX);
        tensor *t = &s->tensors[s->count++];
        t->is_norm = wanted == 1;
        strcpy(t->name, name);
        memcpy(t->shape, (int64_t[4]){a, b, c, c}, sizeof t->shape);
    }
    fclose(file);
    strcpy(s->backbone, backbone);
    cr_assert(s->count > 0 && s->tap_count == TAPS);
}

/* FNV-1a. */
static uint32_t number_of(const char *name) {
    uint32_t number = 2166136261u;
    for (; *name; name++)
        number = (number ^ (unsigned char)*name) * 16777619u;
    return number;
}

static float *values_of(const char *name, size_t count, float offset, float scale) {
    float *values;
    uint32_t substream = number_of(name), block[4];
    test_must(pb_allocate(&values, count, sizeof *values, name));
    for (size_t i = 0; i < count; i++) {
        if (i % 4 == 0)
            pb_random_block(SEED, PB_STREAM_TEST, substream, i / 4, block);
        float symmetric = (float)(2 * (int32_t)(block[i % 4] >> 8) + 1 - (1 << 24)) * 0x1p-24f;
        float scaled = scale * symmetric;
        values[i] = offset + scaled;
    }
    return values;
}

static const struct {
    const char *suffix;
    float offset, scale;
} NORM[] = {{"weight", 1, 0.3f}, {"bias", 0, 0.2f}, {"running_mean", 0, 0.2f}, {"running_var", 1.25f, 1.2f}};

static float *make(const tensor *t, const char *name) {
    if (t->is_norm) {
        for (size_t p = 0; p < sizeof NORM / sizeof *NORM; p++)
            if (strcmp(name + strlen(t->name), NORM[p].suffix) == 0)
                return values_of(name, (size_t)t->shape[0], NORM[p].offset, NORM[p].scale);
        return NULL;
    }
    size_t fan = (size_t)(t->shape[1] * t->shape[2] * t->shape[3]);
    return values_of(name, (size_t)t->shape[0] * fan, 0, (float)sqrt(1.5 / (double)fan));
}

static pb_status look_up(void *context, const char *name, pb_tensor_view *view) {
    source *s = context;
    for (int i = 0; i < s->count; i++) {
        const tensor *t = &s->tensors[i];
        if (t->is_norm ? strncmp(t->name, name, strlen(t->name)) != 0 : strcmp(t->name, name) != 0)
            continue;
        float **place = &s->lent[s->lent_count++ % 8];
        pb_release(place);
        *place = make(t, name);
        if (!*place)
            break;
        *view = (pb_tensor_view){.data = *place, .rank = t->is_norm ? 1 : 4};
        memcpy(view->shape, t->shape, sizeof t->shape);
        s->asked_for++;
        return pb_ok();
    }
    return pb_fail(PB_E_INPUT, "%s: torchvision has no tensor %s", s->backbone, name);
}

/* Of `values` values the samples that BACKBONE.WHAT has. */
static void compare(pb_safetensors *golden, const source *s, const char *what, const float *found, size_t values) {
    char name[NAME_MAX_ + 16];
    snprintf(name, sizeof name, "%s.%s", s->backbone, what);
    pb_tensor_view view;
    test_must(pb_safetensors_lookup(golden, name, &view));
    size_t samples = (size_t)view.shape[0];
    double squares = 0, worst = 0;
    for (size_t k = 0; k < samples; k++)
        squares += (double)view.data[k] * (double)view.data[k];
    double size = sqrt(squares / (double)samples);
    for (size_t k = 0; k < samples; k++) {
        double expected = (double)view.data[k], apart = fabs((double)found[k * STEP % values] - expected);
        double relative = apart / fmax(fabs(expected), size);
        cr_assert(relative <= 1e-4, "%s: sample %zu is %.9g, torchvision's %.9g", name, k, (double)found[k * STEP % values],
                  expected);
        worst = fmax(worst, relative);
    }
    fprintf(stderr, "%s: largest relative difference %.3g\n", name, worst);
}

/* From bytes to the features that PatchCore was published with. */
static void check_patchcore(pb_safetensors *golden, source *s, pb_device *device, const uint8_t *image) {
    enum { PATCHES = SIDE / 8 * SIDE / 8, DIM = 1024 };
    static float host[PATCHES * DIM];
    const pb_features how = {.is_patchcore = true, .image = {SIDE, SIDE},
                             .patchcore = {.patch = 3, .stride = 1, .layer_dim = DIM, .feature_dim = DIM}};
    pb_network network;
    pb_extractor *extractor;
    const float *features;
    test_must(pb_network_load(s->backbone, "2,3", test_square(SIDE), look_up, s, &network));
    test_must(pb_extractor_create(device, &network, &how, 1, &extractor));
    pb_network_free(&network);
    cr_assert(pb_size_equal(pb_extractor_grid(extractor), test_square(SIDE / 8)));
    cr_assert_eq(pb_extractor_dim(extractor), DIM);
    test_must(pb_extractor_run(extractor, image, 1, &features));
    test_must(pb_device_download(device, host, features, sizeof host));
    compare(golden, s, "patchcore", host, PATCHES * DIM);
    pb_extractor_free(&extractor);
}

static void check(const char *backbone) {
    source s;
    pb_network network;
    pb_safetensors *golden;
    pb_device *device;
    pb_compiled *compiled;
    float *taps[PB_TAPS_MAX];
    read_list(backbone, &s);
    test_must(pb_network_load(backbone, "1,2,3,4", test_square(SIDE), look_up, &s, &network));
    int tensors = 0;
    for (int i = 0; i < s.count; i++)
        tensors += s.tensors[i].is_norm ? 4 : 1;
    cr_assert_eq(s.asked_for, tensors, "%d of torchvision's %d tensors were asked for", s.asked_for, tensors);
    uint8_t *image = test_images(&network, 1, 0);
    test_taps_allocate(&network, 1, taps);
    test_must(pb_device_open("cpu", 1, &device));
    test_must(pb_device_compile(device, &network, PB_PRECISION_FP32, 1, &compiled));
    test_must(pb_device_run(device, compiled, image, 1, taps));
    test_must(pb_safetensors_open(GOLDEN "resnet.safetensors", &golden));
    for (int layer = 1; layer <= TAPS; layer++) {
        pb_layer_shape shape = pb_network_shape(&network, network.taps[layer - 1]);
        cr_assert(pb_size_equal(shape.size, s.taps[layer - 1].size));
        cr_assert_eq(shape.channels, s.taps[layer - 1].channels);
        compare(golden, &s, (const char[2]){(char)('0' + layer), '\0'}, taps[layer - 1], test_tap_values(&network, layer - 1));
    }
    check_patchcore(golden, &s, device, image);
    pb_safetensors_close(&golden);
    pb_device_compiled_free(device, &compiled);
    pb_device_close(&device);
    test_taps_free(taps);
    pb_release(&image);
    pb_network_free(&network);
    for (int i = 0; i < 8; i++)
        pb_release(&s.lent[i]);
}

Test(golden_resnet, resnet18_is_torchvisions) { check("resnet18"); }
Test(golden_resnet, resnet34_is_torchvisions) { check("resnet34"); }
Test(golden_resnet, resnet50_is_torchvisions) { check("resnet50"); }
Test(golden_resnet, resnet101_is_torchvisions) { check("resnet101"); }
Test(golden_resnet, wide_resnet50_2_is_torchvisions) { check("wide_resnet50_2"); }
Test(golden_resnet, wide_resnet101_2_is_torchvisions) { check("wide_resnet101_2"); }
