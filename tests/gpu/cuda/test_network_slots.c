/* The slots on a device that is only its state: what they hand on, and that they take the device first. */
#include "base/memory.h"
#include "fake_cudnn.h"
#include "fake_runtime.h"
#include "gpu/cuda/cuda.h"
#include "gpu/ref.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static int entered;     /* how often the device was taken */
static int noted;       /* how many operations count as queued */
static bool is_broken;  /* whether that fails */

/* gpu/cuda/device.c's, which would call CUDA. */
pb_status pb_cuda_enter(const pb_device *device) {
    entered++;
    return is_broken ? pb_fail(PB_E_SYSTEM, "device %s: broken", pb_cuda_state_of(device)->name) : pb_ok();
}

/* Likewise. */
void pb_cuda_note(const pb_device *device, const char *name) {
    (void)device;
    cr_assert_str_eq(name, "network");
    noted++;
}

static pb_network network;
static uint8_t *images;
static float *found[PB_TAPS_MAX], *expected[PB_TAPS_MAX];

static void begin(void) {
    const test_layer layers[] = {{8, 3, 2, PB_ACTIVATION_RELU6, -1, -1}, {8, 1, 1, PB_ACTIVATION_NONE, 0, -1}};
    fake_runtime_begin();
    network = test_network((pb_size){9, 7}, layers, 2, 6);
    images = test_images(&network, 2, 0);
    test_taps_allocate(&network, 2, found);
    test_taps_allocate(&network, 2, expected);
    test_must(pb_ref_run(&network, images, 2, expected));
}

static void end(void) {
    cr_assert(fake.objects == 0 && fake_cuda.allocations == 0);
    test_taps_free(expected);
    test_taps_free(found);
    pb_release(&images);
    pb_network_free(&network);
}

TestSuite(network_slots, .init = begin, .fini = end);

/* The largest difference from the plain twin, in the first tap. */
static double run(pb_precision precision) {
    pb_cuda_state state = {.ordinal = 5, .stream = FAKE_STREAM, .name = "cuda:5 (a fake)"};
    pb_device device = {.state = &state};
    pb_compiled *compiled;
    double most = 0;
    entered = noted = 0;
    test_must(pb_cuda_compile(&device, &network, precision, 2, &compiled));
    test_must(pb_cuda_run(&device, compiled, images, 2, found));
    pb_cuda_compiled_free(&device, compiled);
    cr_assert(entered == 3 && noted == 1);
    for (size_t i = 0; i < 2 * test_tap_values(&network, 0); i++)
        most = fmax(most, fabs((double)found[0][i] - (double)expected[0][i]));
    return most;
}

Test(network_slots, compute_as_exactly_as_the_device_says) {
    const double single = run(PB_PRECISION_FP32), half = run(PB_PRECISION_FP16), bfloat = run(PB_PRECISION_BF16);
    cr_assert(single <= 1e-5, "%g", single);
    cr_assert(half > single && half <= 0.02, "%g", half);
    cr_assert(bfloat > half && bfloat <= 0.2, "%g", bfloat);
}

Test(network_slots, a_device_that_is_gone_is_an_error) {
    pb_cuda_state state = {.stream = FAKE_STREAM, .name = "cuda:5 (a fake)"};
    pb_device device = {.state = &state};
    pb_compiled *compiled = NULL, *other = NULL;
    test_must(pb_cuda_compile(&device, &network, PB_PRECISION_FP32, 2, &compiled));
    is_broken = true;
    pb_status status = pb_cuda_run(&device, compiled, images, 2, found);
    cr_assert(status.code == PB_E_SYSTEM && strstr(status.message, "cuda:5"), "%s", status.message);
    status = pb_cuda_compile(&device, &network, PB_PRECISION_FP32, 2, &other);
    cr_assert(status.code == PB_E_SYSTEM && !other);
    pb_cuda_compiled_free(&device, compiled);
}
