/* The real weights against another implementation: torch in float64, batch norm unfolded (tests/golden/README.md). From encoded
 * bytes to patch features, as a job goes. PATCHBANK_TEST_WEIGHTS names the converted weights.
 *
 * The norm, for each tensor: no value off by more than 1e-4 of the tensor's largest, and the root mean square of the difference
 * at most 1e-5 of the tensor's own. A NaN fails both.
 */
#include "base/memory.h"
#include "gpu/extractor.h"
#include "io/image.h"
#include "io/resize.h"
#include "io/safetensors.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 224, INPUT_BYTES = SIDE * SIDE * 3, GRID = 28, DIM = 152, EVERY = 7 };

#define GOLDEN PB_SOURCE_DIR "/tests/golden/"

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s: cannot be opened", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes;
    test_must(pb_allocate(&bytes, *size + 1, 1, path)); /* ends with a zero */
    cr_assert_eq(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static uint32_t crc32_of(const uint8_t *bytes, size_t size) {
    uint32_t crc = ~(uint32_t)0;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* X.input_crc32 is an integer tensor, which pb_safetensors_lookup does not lend: its place is read from the header here. */
static uint32_t golden_crc32(const char *name) {
    size_t size;
    uint8_t *bytes = read_file(GOLDEN "efficientnet_lite0.safetensors", &size);
    uint64_t header;
    memcpy(&header, bytes, sizeof header);
    char key[64];
    snprintf(key, sizeof key, "\"%s.input_crc32\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[", name);
    const char *found = strstr((const char *)bytes + 8, key);
    cr_assert_not_null(found, "no %s in the golden file", key);
    size_t offset = strtoul(found + strlen(key), NULL, 10);
    int64_t crc;
    memcpy(&crc, bytes + 8 + header + offset, sizeof crc);
    pb_release(&bytes);
    return (uint32_t)crc;
}

/* The network's input of an image in tests/golden. */
static uint8_t *golden_input(const char *name) {
    char path[512];
    snprintf(path, sizeof path, GOLDEN "image_%s.png", name);
    size_t size;
    uint8_t *bytes = read_file(path, &size), *input;
    pb_image image;
    test_must(pb_image_decode(bytes, size, &image));
    test_must(pb_allocate(&input, INPUT_BYTES, 1, "input"));
    const pb_fit fit = {.resize = {SIDE, 0}, .crop = {SIDE, SIDE}, .filter = PB_FILTER_BILINEAR};
    test_must(pb_image_to_input(&image, &fit, input));
    pb_image_free(&image);
    pb_release(&bytes);
    return input;
}

static const char *weights_path(void) {
    const char *path = getenv("PATCHBANK_TEST_WEIGHTS");
    if (!path || !*path) {
        fprintf(stderr, "\n*** SKIPPED: PATCHBANK_TEST_WEIGHTS names no weights, the golden features were NOT checked ***\n\n");
        cr_skip_test("PATCHBANK_TEST_WEIGHTS is not set");
    }
    return path;
}

static pb_network load_network(void) {
    pb_safetensors *weights;
    pb_network network;
    test_must(pb_safetensors_open(weights_path(), &weights));
    test_must(pb_network_load("efficientnet_lite0", "4,10", test_square(SIDE), pb_safetensors_lookup, weights, &network));
    pb_safetensors_close(&weights);
    return network;
}

/* Row r of the golden tensor X.what is row first + r * step of `rows`. */
static void compare(pb_safetensors *golden, const char *name, const char *what, const float *rows, int first, int step) {
    char full[64];
    snprintf(full, sizeof full, "%s.%s", name, what);
    pb_tensor_view view;
    test_must(pb_safetensors_lookup(golden, full, &view));
    cr_assert_eq(view.rank, 2);
    double worst = 0, largest = 0, squares = 0, reference = 0;
    size_t width = (size_t)view.shape[1];
    for (size_t i = 0; i < (size_t)view.shape[0] * width; i++) {
        double expected = (double)view.data[i];
        double apart = (double)rows[((size_t)first + i / width * (size_t)step) * width + i % width] - expected;
        cr_assert(isfinite(apart), "%s: value %zu is not finite", full, i);
        worst = fmax(worst, fabs(apart));
        largest = fmax(largest, fabs(expected));
        squares += apart * apart;
        reference += expected * expected;
    }
    fprintf(stderr, "%s: largest difference %.3g of %.3g, relative root mean square %.3g\n", full, worst, largest,
            sqrt(squares / reference));
    cr_assert(worst <= 1e-4 * largest, "%s: off by %g, values up to %g", full, worst, largest);
    cr_assert(sqrt(squares) <= 1e-5 * sqrt(reference), "%s: relative root mean square %g", full, sqrt(squares / reference));
}

static pb_safetensors *open_golden(void) {
    pb_safetensors *golden;
    test_must(pb_safetensors_open(GOLDEN "efficientnet_lite0.safetensors", &golden));
    return golden;
}

static const char *const NAMES[] = {"grey", "rgb"};

Test(golden_input, is_pillows_to_the_bit) {
    for (int i = 0; i < 2; i++) {
        uint8_t *input = golden_input(NAMES[i]);
        cr_assert_eq(crc32_of(input, INPUT_BYTES), golden_crc32(NAMES[i]), "%s", NAMES[i]);
        pb_release(&input);
    }
}

Test(golden_features, taps_are_torchs) {
    pb_network network = load_network();
    pb_safetensors *golden = open_golden();
    pb_device *device;
    pb_compiled *compiled;
    float *taps[PB_TAPS_MAX];
    test_taps_allocate(&network, 1, taps);
    test_must(pb_device_open("cpu", 1, &device));
    test_must(pb_device_compile(device, &network, PB_PRECISION_FP32, 1, &compiled));
    for (int i = 0; i < 2; i++) {
        uint8_t *input = golden_input(NAMES[i]);
        test_must(pb_device_run(device, compiled, input, 1, taps));
        compare(golden, NAMES[i], "block4", taps[0], 0, EVERY);
        compare(golden, NAMES[i], "block10", taps[1], 0, EVERY);
        pb_release(&input);
    }
    pb_device_compiled_free(device, &compiled);
    pb_device_close(&device);
    test_taps_free(taps);
    pb_safetensors_close(&golden);
    pb_network_free(&network);
}

Test(golden_features, patches_are_torchs) {
    pb_network network = load_network();
    pb_safetensors *golden = open_golden();
    pb_device *device;
    pb_extractor *extractor;
    test_must(pb_device_open("cpu", 2, &device));
    const pb_features how = {.patch = 3, .image = {SIDE, SIDE}};
    test_must(pb_extractor_create(device, &network, &how, 2, &extractor));
    cr_assert(pb_size_equal(pb_extractor_grid(extractor), test_square(GRID)));
    cr_assert_eq(pb_extractor_dim(extractor), DIM);
    uint8_t *images;
    test_must(pb_allocate(&images, 2 * INPUT_BYTES, 1, "images"));
    for (int i = 0; i < 2; i++) {
        uint8_t *input = golden_input(NAMES[i]);
        memcpy(images + i * INPUT_BYTES, input, INPUT_BYTES);
        pb_release(&input);
    }
    const float *features;
    test_must(pb_extractor_run(extractor, images, 2, &features));
    for (int i = 0; i < 2; i++) {
        compare(golden, NAMES[i], "patches", features + i * GRID * GRID * DIM, 0, EVERY);
        compare(golden, NAMES[i], "patches_right", features + i * GRID * GRID * DIM, GRID - 1, GRID);
    }
    pb_release(&images);
    pb_extractor_free(&extractor);
    pb_device_close(&device);
    pb_safetensors_close(&golden);
    pb_network_free(&network);
}
