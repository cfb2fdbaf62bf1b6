/* Networks as the plugin compiles and runs them, on a fake cuDNN and a fake runtime. */
#include "gpu/cuda/network.h"

#include "base/memory.h"
#include "fake_cudnn.h"
#include "fake_runtime.h"
#include "gpu/ref.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RELU6 PB_ACTIVATION_RELU6
#define RELU PB_ACTIVATION_RELU
#define NONE PB_ACTIVATION_NONE

static void begin(void) { fake_runtime_begin(); }

static void end(void) {
    cr_assert(fake.objects == 0 && fake.handles == 0, "%d objects, %d handles are left", fake.objects, fake.handles);
    cr_assert_eq(fake_cuda.allocations, 0, "%d allocations are left", fake_cuda.allocations);
}

TestSuite(cuda_network, .init = begin, .fini = end);

static pb_cuda_place place_of(pb_precision precision) {
    return (pb_cuda_place){.device = "cuda:0 (a fake)", .stream = FAKE_STREAM, .precision = precision};
}

/* Runs n images on a network compiled for batch_max. */
static void run(const pb_network *network, pb_precision precision, int batch_max, const uint8_t *images, int n,
                float *const *taps) {
    const pb_cuda_place place = place_of(precision);
    pb_compiled *compiled;
    test_must(pb_cuda_network_compile(&place, network, batch_max, &compiled));
    test_must(pb_cuda_network_run(compiled, images, n, taps));
    pb_cuda_network_free(compiled);
}

/* A few layers of all kinds; taps in the middle, which later layers read, and at the end. Slots are used again. */
static const test_layer LAYERS[] = {
    {8, 3, 2, RELU6, -1, -1}, {0, 3, 1, RELU6, 0, -1}, {8, 1, 1, NONE, 1, 0},   {24, 1, 1, RELU6, 2, -1},
    {0, 5, 2, RELU, 3, -1},   {16, 1, 1, NONE, 4, -1}, {0, 3, 2, NONE, 5, -1},  {16, 3, 1, RELU, 6, 6},
};

static pb_network make_network(void) {
    pb_network network = test_network((pb_size){17, 12}, LAYERS, 8, 4);
    test_make_pool(&network, 6);
    return network;
}

static void keep_taps(pb_network *network, int a, int b) {
    network->tap_count = 2;
    network->taps[0] = a;
    network->taps[1] = b;
}

/* ---- results ---- */

static void check_taps(const pb_network *network, pb_precision precision, double within) {
    uint8_t *images = test_images(network, 3, 0);
    float *found[PB_TAPS_MAX], *expected[PB_TAPS_MAX];
    test_taps_allocate(network, 3, found);
    test_taps_allocate(network, 3, expected);
    test_must(pb_ref_run(network, images, 3, expected));
    run(network, precision, 4, images, 3, found);
    for (int t = 0; t < network->tap_count; t++) {
        const size_t count = 3 * test_tap_values(network, t);
        double squares = 0, size = 0;
        for (size_t i = 0; i < count; i++) {
            squares += pow((double)found[t][i] - (double)expected[t][i], 2) / (double)count;
            size += pow((double)expected[t][i], 2) / (double)count;
        }
        cr_assert(size > 0.01 && sqrt(squares) <= within * sqrt(size), "%s, tap %d: %g of %g", pb_precision_name(precision), t,
                  sqrt(squares), sqrt(size));
    }
    test_taps_free(expected);
    test_taps_free(found);
    pb_release(&images);
}

/* Layer after layer rounds its weights and its output: 8 layers, within 16 roundings' size (test_network_graph.c). */
Test(cuda_network, taps_are_those_of_the_plain_twin) {
    static const int TAPS[][2] = {{2, 7}, {0, 6}, {3, 7}, {1, 5}};
    for (size_t t = 0; t < sizeof TAPS / sizeof *TAPS; t++) {
        pb_network network = make_network();
        keep_taps(&network, TAPS[t][0], TAPS[t][1]);
        check_taps(&network, PB_PRECISION_FP32, 1e-6);
        check_taps(&network, PB_PRECISION_TF32, 1e-6);
        check_taps(&network, PB_PRECISION_FP16, 16 * 0x1p-11);
        check_taps(&network, PB_PRECISION_BF16, 16 * 0x1p-8);
        pb_network_free(&network);
    }
}

Test(cuda_network, efficientnet_is_close_to_the_plain_twin) {
    pb_network network;
    test_must(pb_network_random("efficientnet_lite0", "0,3,4", (pb_size){40, 33}, 11, &network));
    check_taps(&network, PB_PRECISION_FP32, 1e-5);
    pb_network_free(&network);
    test_must(pb_network_random("resnet18", "1", (pb_size){33, 40}, 11, &network));
    check_taps(&network, PB_PRECISION_FP32, 1e-5);
    pb_network_free(&network);
}

/* Also of what earlier runs left in memory. */
Test(cuda_network, an_image_depends_on_itself_alone) {
    enum { MANY = 5 };
    pb_network network = make_network();
    keep_taps(&network, 2, 7);
    uint8_t *images = test_images(&network, MANY, 0);
    const pb_cuda_place place = place_of(PB_PRECISION_FP16);
    const size_t bytes = pb_size_area(network.size) * 3;
    float *together[PB_TAPS_MAX], *alone[PB_TAPS_MAX];
    pb_compiled *compiled;
    test_taps_allocate(&network, MANY, together);
    test_taps_allocate(&network, 1, alone);
    test_must(pb_cuda_network_compile(&place, &network, MANY, &compiled));
    test_must(pb_cuda_network_run(compiled, images, MANY, together));
    for (int i = MANY - 1; i >= 0; i--) {
        test_must(pb_cuda_network_run(compiled, images + (size_t)i * bytes, 1, alone));
        for (int t = 0; t < 2; t++) {
            const size_t values = test_tap_values(&network, t);
            cr_assert_arr_eq(alone[t], together[t] + (size_t)i * values, values * sizeof(float));
        }
    }
    pb_cuda_network_free(compiled);
    test_taps_free(alone);
    test_taps_free(together);
    pb_release(&images);
    pb_network_free(&network);
}

/* ---- how it is run ---- */

/* Nothing is run when it is compiled; equal layers share a plan; the network is free to go. */
Test(cuda_network, a_batch_is_a_run_of_each_layer) {
    const test_layer same[] = {{8, 1, 1, RELU, -1, -1}, {8, 3, 1, RELU, 0, -1}, {8, 3, 1, RELU, 1, -1}, {8, 3, 1, RELU, 2, -1}};
    pb_network network = test_network((pb_size){6, 6}, same, 4, 4);
    uint8_t *images = test_images(&network, 2, 0);
    float *taps[PB_TAPS_MAX];
    pb_cuda_place place = place_of(PB_PRECISION_BF16);
    pb_compiled *compiled;
    test_taps_allocate(&network, 2, taps);
    test_must(pb_cuda_network_compile(&place, &network, 2, &compiled));
    cr_assert(fake.plans_made == 2 && fake.runs == 0);
    network.layers[0].weights[0] = NAN;
    test_must(pb_cuda_network_run(compiled, images, 0, taps));
    cr_assert_eq(fake.runs, 0);
    test_must(pb_cuda_network_run(compiled, images, 2, taps));
    test_must(pb_cuda_network_run(compiled, images, 1, taps));
    cr_assert_eq(fake.runs, 8);
    cr_assert(isfinite(taps[3][0]));
    pb_cuda_network_free(compiled);
    test_taps_free(taps);
    pb_release(&images);
    pb_network_free(&network);
}

/* From images to taps, with whatever lies in the images' memory when the graph is launched. */
Test(cuda_network, a_run_may_be_captured) {
    pb_network network = make_network();
    const pb_cuda_place place = place_of(PB_PRECISION_FP16);
    uint8_t *images = test_images(&network, 2, 0), *others = test_images(&network, 2, 1);
    const size_t bytes = 2 * 3 * pb_size_area(network.size);
    float *found[PB_TAPS_MAX], *expected[PB_TAPS_MAX];
    pb_compiled *compiled;
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    keep_taps(&network, 2, 7);
    test_taps_allocate(&network, 2, found);
    test_taps_allocate(&network, 2, expected);
    run(&network, PB_PRECISION_FP16, 2, others, 2, expected);
    test_must(pb_cuda_network_compile(&place, &network, 2, &compiled));
    test_must(pb_cuda_network_run(compiled, images, 2, found));
    cr_assert_eq(cudaStreamBeginCapture(FAKE_STREAM, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    test_must(pb_cuda_network_run(compiled, images, 2, found));
    cr_assert_eq(cudaStreamEndCapture(FAKE_STREAM, &graph), cudaSuccess);
    cr_assert_eq(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    cudaGraphDestroy(graph);
    memcpy(images, others, bytes);
    for (int t = 0; t < 2; t++)
        memset(found[t], 0, 2 * test_tap_values(&network, t) * sizeof(float));
    cr_assert_eq(cudaGraphLaunch(executable, FAKE_STREAM), cudaSuccess);
    for (int t = 0; t < 2; t++)
        cr_assert_arr_eq(found[t], expected[t], 2 * test_tap_values(&network, t) * sizeof(float));
    cudaGraphExecDestroy(executable);
    pb_cuda_network_free(compiled);
    test_taps_free(expected);
    test_taps_free(found);
    pb_release(&others);
    pb_release(&images);
    pb_network_free(&network);
}

/* The largest workspace is there for all plans: the fake writes to all of it. */
Test(cuda_network, memory_is_shared_and_known) {
    static const fake_engine ENGINE = {.mode = CUDNN_HEUR_MODE_A, .workspace = 5000};
    pb_network network = make_network();
    keep_taps(&network, 2, 7);
    fake.engines = &ENGINE;
    check_taps(&network, PB_PRECISION_FP32, 1e-6);
    /* Two halves of input 17 x 12 x 8, slots at most 9 x 6 x 24 * 2 and 9 x 6 x 8, taps 9 x 6 x 8 and 3 x 2 x 16, of 4 images. */
    fake_cuda.most = 0;
    check_taps(&network, PB_PRECISION_FP16, 16 * 0x1p-11);
    const size_t activations = 4 * 2 * (17 * 12 * 8 + 9 * 6 * (24 + 24 + 8) + 9 * 6 * 8 + 3 * 2 * 16);
    cr_assert(fake_cuda.most > activations && fake_cuda.most < activations + 5000 + 20000, "%zu bytes, activations %zu",
              fake_cuda.most, activations);
    pb_network_free(&network);
}

/* As bf16 depthwise layers in cuDNN 9.19. */
Test(cuda_network, a_bias_is_in_the_layers_type_where_no_other_has_a_plan) {
    static const fake_engine ENGINE = {.mode = CUDNN_HEUR_MODE_A, .only_io_bias = true};
    pb_network network = make_network();
    keep_taps(&network, 2, 7);
    fake.engines = &ENGINE;
    check_taps(&network, PB_PRECISION_BF16, 16 * 0x1p-8);
    check_taps(&network, PB_PRECISION_FP32, 1e-6);
    pb_network_free(&network);
}

/* ---- plans that were made before ---- */

static char folder[64];

static void remove_folder(void) {
    DIR *opened = opendir(folder);
    for (struct dirent *at; (at = readdir(opened));) {
        char path[400];
        snprintf(path, sizeof path, "%s/%s", folder, at->d_name);
        remove(path);
    }
    closedir(opened);
    rmdir(folder);
}

static void compile_once(const pb_network *network, const pb_cuda_place *place, int made, int restored) {
    pb_compiled *compiled;
    fake.plans_made = fake.plans_restored = 0;
    test_must(pb_cuda_network_compile(place, network, 2, &compiled));
    cr_assert(fake.plans_made == made && fake.plans_restored == restored, "%d made, %d restored; expected %d, %d",
              fake.plans_made, fake.plans_restored, made, restored);
    pb_cuda_network_free(compiled);
}

Test(cuda_network, plans_come_from_the_cache) {
    pb_network network = make_network();
    pb_cuda_place place = place_of(PB_PRECISION_FP32);
    snprintf(folder, sizeof folder, "/tmp/patchbank-network-XXXXXX");
    cr_assert(mkdtemp(folder));
    place.plans = folder;
    compile_once(&network, &place, 8, 8);
    compile_once(&network, &place, 0, 8);
    place.precision = PB_PRECISION_TF32;
    compile_once(&network, &place, 8, 8); /* the same graphs, but other plans */
    compile_once(&network, &place, 0, 8);
    place.ordinal = 12;
    compile_once(&network, &place, 0, 8); /* another GPU of the same model */
    fake.driver = 13000;
    compile_once(&network, &place, 8, 8); /* another driver */
    compile_once(&network, &place, 0, 8);
    fake.version = 92000;
    compile_once(&network, &place, 8, 8);
    compile_once(&network, &place, 0, 8);
    fake.fail_at = 0;
    remove_folder();
    compile_once(&network, &place, 8, 8); /* it cannot be written: that is in the log */
    pb_network_free(&network);
}

/* ---- errors ---- */

Test(cuda_network, a_layer_without_a_plan_is_unsupported) {
    static const fake_engine REFUSES = {.mode = CUDNN_HEUR_MODE_A, .refusal = CUDNN_STATUS_NOT_SUPPORTED_SHAPE};
    pb_network network = make_network();
    const pb_cuda_place place = place_of(PB_PRECISION_FP16);
    pb_compiled *compiled;
    fake.engines = &REFUSES;
    strcpy(network.layers[0].name, "stem");
    pb_status status = pb_cuda_network_compile(&place, &network, 2, &compiled);
    cr_assert(status.code == PB_E_UNSUPPORTED && !compiled);
    cr_assert(strstr(status.message, "layer stem: ") && strstr(status.message, "no fp16 plan"), "%s", status.message);
    fake.engines = &(fake_engine){.mode = CUDNN_HEUR_MODE_A};
    network.layers[3].weights[5] = 1e6f;
    strcpy(network.layers[3].name, "expand");
    status = pb_cuda_network_compile(&place, &network, 2, &compiled);
    cr_assert(status.code == PB_E_UNSUPPORTED && strstr(status.message, "layer expand: weight 1e+06"), "%s", status.message);
    pb_network_free(&network);
}

Test(cuda_network, out_of_memory_says_how_much) {
    pb_network network = make_network();
    const pb_cuda_place place = place_of(PB_PRECISION_FP16);
    pb_compiled *compiled;
    fake_cuda.room = 20000;
    pb_status status = pb_cuda_network_compile(&place, &network, 64, &compiled);
    cr_assert(status.code == PB_E_SYSTEM && !compiled);
    cr_assert(strstr(status.message, "cuda:0 (a fake): out of memory: a network for batches of 64 images has")
                  && strstr(status.message, "smaller batch"), "%s", status.message);
    pb_network_free(&network);
}

/* Compiles and runs once; *calls: how many calls were made of the counted kind. */
static pb_status compile_and_run(const pb_network *network, const uint8_t *images, float *const *taps) {
    const pb_cuda_place place = place_of(PB_PRECISION_BF16);
    pb_compiled *compiled;
    pb_status status = pb_cuda_network_compile(&place, network, 2, &compiled);
    if (!pb_failed(&status))
        status = pb_cuda_network_run(compiled, images, 1, taps);
    pb_cuda_network_free(compiled);
    return status;
}

/* Every call of cuDNN and CUDA in turn: either the failure is told, or the result is as it was; nothing is left. */
static void check_failures(int *fail_at, int *calls, const char *library, int least) {
    pb_network network = make_network();
    uint8_t *images = test_images(&network, 1, 0);
    float *taps[PB_TAPS_MAX], *expected[PB_TAPS_MAX];
    int failures = 0;
    keep_taps(&network, 2, 7);
    test_taps_allocate(&network, 1, taps);
    test_taps_allocate(&network, 1, expected);
    test_must(compile_and_run(&network, images, expected));
    for (*fail_at = 1;; ++*fail_at) {
        *calls = 0;
        memset(taps[1], 0, test_tap_values(&network, 1) * sizeof(float));
        pb_status status = compile_and_run(&network, images, taps);
        if (*calls < *fail_at)
            break;
        failures += pb_failed(&status);
        cr_assert(status.code == PB_OK || status.code == PB_E_SYSTEM, "%s, call %d: %s", library, *fail_at, status.message);
        cr_assert(pb_failed(&status) || memcmp(taps[1], expected[1], test_tap_values(&network, 1) * sizeof(float)) == 0,
                  "%s, call %d: no failure, and another result", library, *fail_at);
        end();
    }
    *fail_at = 0;
    cr_assert_gt(failures, least, "%s: %d failures", library, failures);
    test_taps_free(expected);
    test_taps_free(taps);
    pb_release(&images);
    pb_network_free(&network);
}

Test(cuda_network, a_failing_call_of_cuda_leaves_nothing) {
    fake_cuda.failure = cudaErrorLaunchFailure;
    check_failures(&fake_cuda.fail_at, &fake_cuda.calls, "CUDA", 50);
}

Test(cuda_network, a_failing_call_of_cudnn_leaves_nothing) {
    fake.failure = CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    check_failures(&fake.fail_at, &fake.calls, "cuDNN", 300);
}

Test(cuda_network, more_images_than_compiled_for_are_our_defect, .signal = SIGABRT) {
    pb_network network = make_network();
    uint8_t *images = test_images(&network, 3, 0);
    float *taps[PB_TAPS_MAX];
    test_taps_allocate(&network, 3, taps);
    run(&network, PB_PRECISION_FP32, 2, images, 3, taps);
}

Test(cuda_network, library_is_named) {
    char text[PB_CUDA_NETWORK_TEXT];
    test_must(pb_cuda_network_library(text));
    cr_assert_str_eq(text, "cuDNN 9.19.0");
}

Test(cuda_network, an_old_library_is_unsupported) {
    char text[PB_CUDA_NETWORK_TEXT] = "something";
    pb_network network = make_network();
    const pb_cuda_place place = place_of(PB_PRECISION_FP32);
    pb_compiled *compiled;
    fake.version = 90000;
    pb_status status = pb_cuda_network_library(text);
    cr_assert(status.code == PB_E_UNSUPPORTED && text[0] == '\0');
    status = pb_cuda_network_compile(&place, &network, 2, &compiled);
    cr_assert(status.code == PB_E_UNSUPPORTED && !compiled && strstr(status.message, "9.11.0 or later"), "%s", status.message);
    pb_network_free(&network);
}
