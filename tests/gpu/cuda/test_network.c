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

/* ---- transformers ---- */

static const fake_engine NO_ATTENTION = {.mode = CUDNN_HEUR_MODE_A, .no_attention = true};

/* Tokens, norm and patches are kernels, attention too where it has no plan: in fp32 ever. The bounds are those of
 * test_network_graph.c. */
Test(cuda_network, transformers_are_those_of_the_plain_twin) {
    for (int without = 0; without < 2; without++) {
        pb_network network = test_transformer((pb_size){6, 10}, 32, 2);
        const fake_engine *before = fake.engines;
        fake.engines = without ? &NO_ATTENTION : before;
        for (int p = PB_PRECISION_FP32; p <= PB_PRECISION_BF16; p++) {
            static const double UNITS[] = {0x1p-23, 0x1p-23, 0x1p-11, 0x1p-8};
            const bool by_kernel = p == PB_PRECISION_FP32 || without;
            fake_cuda.kernels = fake.plans_made = 0;
            check_taps(&network, (pb_precision)p, 16 * UNITS[p]);
            cr_assert(fake_cuda.kernels == (by_kernel ? 4 : 3), "%d kernels", fake_cuda.kernels);
            cr_assert(fake.plans_made == (by_kernel ? 4 : 5), "%d plans", fake.plans_made);
        }
        fake.engines = before;
        pb_network_free(&network);
    }
}

/* One block of DINOv2. */
Test(cuda_network, dinov2_is_close_to_the_plain_twin) {
    pb_network network;
    float *found[PB_TAPS_MAX], *expected[PB_TAPS_MAX];
    test_must(pb_network_random("dinov2_vits14", "0", (pb_size){42, 42}, 11, &network));
    uint8_t *images = test_images(&network, 1, 0);
    test_taps_allocate(&network, 1, found);
    test_taps_allocate(&network, 1, expected);
    test_must(pb_ref_run(&network, images, 1, expected));
    run(&network, PB_PRECISION_FP32, 1, images, 1, found);
    for (size_t i = 0; i < test_tap_values(&network, 0); i++)
        cr_assert(fabs((double)found[0][i] - (double)expected[0][i]) <= 1e-5, "value %zu: %g, expected %g", i,
                  (double)found[0][i], (double)expected[0][i]);
    test_taps_free(expected);
    test_taps_free(found);
    pb_release(&images);
    pb_network_free(&network);
}

/* Of two blocks: what the first had no plan for, is not tried again in the second. */
Test(cuda_network, a_plan_for_attention_is_looked_for_once) {
    const test_layer stem[] = {{48, 1, 1, NONE, -1, -1}};
    pb_network network = test_network((pb_size){5, 1}, stem, 1, 3);
    test_add_layer(&network, PB_OPERATION_ATTENTION, 16, 2);
    test_add_layer(&network, PB_OPERATION_CONVOLUTION, 48, 1);
    test_add_layer(&network, PB_OPERATION_ATTENTION, 16, 2);
    for (int l = 0; l < 4; l += 2) /* queries as in test_transformer */
        for (int i = 0; i < 16 * network.layers[l].inputs; i++)
            network.layers[l].weights[i] *= 0.1f;
    check_taps(&network, PB_PRECISION_FP16, 16 * 0x1p-11);
    cr_assert(fake_cuda.kernels == 0 && fake.attention_refused == 0);
    fake.engines = &NO_ATTENTION;
    check_taps(&network, PB_PRECISION_FP16, 16 * 0x1p-11);
    cr_assert(fake_cuda.kernels == 2 && fake.attention_refused == 1, "%d kernels, %d tries", fake_cuda.kernels,
              fake.attention_refused);
    pb_network_free(&network);
}

/* As that of a plan names its layer. */
Test(cuda_network, a_kernels_failure_names_its_layer) {
    pb_network network = test_transformer((pb_size){4, 4}, 16, 2);
    const pb_cuda_place place = place_of(PB_PRECISION_FP32);
    uint8_t *images = test_images(&network, 1, 0);
    float *taps[PB_TAPS_MAX];
    pb_compiled *compiled;
    strcpy(network.layers[2].name, "blocks.0.norm1");
    test_taps_allocate(&network, 1, taps);
    test_must(pb_cuda_network_compile(&place, &network, 2, &compiled));
    fake_cuda.failure = cudaErrorLaunchFailure;
    fake_cuda.calls = 0;
    fake_cuda.fail_at = 3; /* after the images and the tokens: other layers before it are plans */
    pb_status status = pb_cuda_network_run(compiled, images, 1, taps);
    cr_assert(status.code == PB_E_SYSTEM && strstr(status.message, "cuda:0 (a fake): layer blocks.0.norm1: as asked for"), "%s",
              status.message);
    fake_cuda.fail_at = 0;
    pb_cuda_network_free(compiled);
    test_taps_free(taps);
    pb_release(&images);
    pb_network_free(&network);
}

/* What our kernel has no registers for is refused by name, where cuDNN has no plan. */
Test(cuda_network, wide_heads_without_a_plan_are_unsupported) {
    pb_network network = test_transformer((pb_size){4, 4}, 72, 1);
    pb_compiled *compiled;
    strcpy(network.layers[4].name, "blocks.0.attn");
    for (int p = PB_PRECISION_FP32; p <= PB_PRECISION_FP16; p += PB_PRECISION_FP16) {
        const pb_cuda_place place = place_of((pb_precision)p);
        const fake_engine *before = fake.engines;
        fake.engines = &NO_ATTENTION;
        pb_status status = pb_cuda_network_compile(&place, &network, 2, &compiled);
        fake.engines = before;
        cr_assert(status.code == PB_E_UNSUPPORTED && !compiled);
        cr_assert(strstr(status.message, "layer blocks.0.attn: ") && strstr(status.message, "heads of 72 channels")
                      && strstr(status.message, "64 at most"), "%s", status.message);
    }
    check_taps(&network, PB_PRECISION_FP16, 16 * 0x1p-11);
    pb_network_free(&network);
}

/* ---- an image and what stands beside it ---- */

/* Also of what earlier runs left in memory. */
static void check_alone(const pb_network *network) {
    enum { MANY = 5 };
    uint8_t *images = test_images(network, MANY, 0);
    const pb_cuda_place place = place_of(PB_PRECISION_FP16);
    const size_t bytes = pb_size_area(network->size) * 3;
    float *together[PB_TAPS_MAX], *alone[PB_TAPS_MAX];
    pb_compiled *compiled;
    test_taps_allocate(network, MANY, together);
    test_taps_allocate(network, 1, alone);
    test_must(pb_cuda_network_compile(&place, network, MANY, &compiled));
    test_must(pb_cuda_network_run(compiled, images, MANY, together));
    for (int i = MANY - 1; i >= 0; i--) {
        test_must(pb_cuda_network_run(compiled, images + (size_t)i * bytes, 1, alone));
        for (int t = 0; t < network->tap_count; t++) {
            const size_t values = test_tap_values(network, t);
            cr_assert_arr_eq(alone[t], together[t] + (size_t)i * values, values * sizeof(float));
        }
    }
    pb_cuda_network_free(compiled);
    test_taps_free(alone);
    test_taps_free(together);
    pb_release(&images);
}

Test(cuda_network, an_image_depends_on_itself_alone) {
    pb_network network = make_network(), transformer = test_transformer((pb_size){4, 6}, 16, 2);
    keep_taps(&network, 2, 7);
    check_alone(&network);
    check_alone(&transformer);
    pb_network_free(&transformer);
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
static void check_failures(const pb_network *network, int *fail_at, int *calls, const char *library, int least) {
    uint8_t *images = test_images(network, 1, 0);
    float *taps[PB_TAPS_MAX], *expected[PB_TAPS_MAX];
    int failures = 0;
    test_taps_allocate(network, 1, taps);
    test_taps_allocate(network, 1, expected);
    test_must(compile_and_run(network, images, expected));
    for (*fail_at = 1;; ++*fail_at) {
        *calls = 0;
        memset(taps[1], 0, test_tap_values(network, 1) * sizeof(float));
        pb_status status = compile_and_run(network, images, taps);
        if (*calls < *fail_at)
            break;
        failures += pb_failed(&status);
        cr_assert(status.code == PB_OK || status.code == PB_E_SYSTEM, "%s, call %d: %s", library, *fail_at, status.message);
        cr_assert(pb_failed(&status) || memcmp(taps[1], expected[1], test_tap_values(network, 1) * sizeof(float)) == 0,
                  "%s, call %d: no failure, and another result", library, *fail_at);
        end();
    }
    *fail_at = 0;
    cr_assert_gt(failures, least, "%s: %d failures", library, failures);
    test_taps_free(expected);
    test_taps_free(taps);
    pb_release(&images);
}

static void check_cuda_failures(const pb_network *network) {
    fake_cuda.failure = cudaErrorLaunchFailure;
    check_failures(network, &fake_cuda.fail_at, &fake_cuda.calls, "CUDA", 50);
}

static void check_cudnn_failures(const pb_network *network) {
    fake.failure = CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED;
    check_failures(network, &fake.fail_at, &fake.calls, "cuDNN", 150);
}

/* Of a transformer once with a plan for its attention, and once without. */
static void check_transformer_failures(void (*check)(const pb_network *)) {
    pb_network network = test_transformer((pb_size){4, 2}, 16, 2);
    keep_taps(&network, 4, 7);
    check(&network);
    fake.engines = &NO_ATTENTION;
    check(&network);
    pb_network_free(&network);
}

static void check_convolutional_failures(void (*check)(const pb_network *)) {
    pb_network network = make_network();
    keep_taps(&network, 2, 7);
    check(&network);
    pb_network_free(&network);
}

Test(cuda_network, a_failing_call_of_cuda_leaves_nothing) { check_convolutional_failures(check_cuda_failures); }
Test(cuda_network, a_failing_call_of_cudnn_leaves_nothing) { check_convolutional_failures(check_cudnn_failures); }
Test(cuda_network, a_transformers_failing_call_of_cuda_leaves_nothing) { check_transformer_failures(check_cuda_failures); }
Test(cuda_network, a_transformers_failing_call_of_cudnn_leaves_nothing) { check_transformer_failures(check_cudnn_failures); }

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
    cr_assert(status.code == PB_E_UNSUPPORTED && !compiled && strstr(status.message, "9.13.1 or later"), "%s", status.message);
    pb_network_free(&network);
}
