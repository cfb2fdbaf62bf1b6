/* Whole networks with our kernels as they are: those on the emulator, layers with plans by the fake cuDNN on the same stream. The
 * other tests of networks have the plain twin for the kernels (fake_runtime.h); here what host code hands to each kernel is seen
 * too, captured and launched as a graph, as a batch is (gpu/cuda/ahead.c). */
#include "emulated.h"
#include "fake_cudnn.h"
#include "gpu/cuda/network.h"
#include "inside.h"
#include "networks.h"

#include <math.h>
#include <stdlib.h>

enum { IMAGES = 3, BATCH = 4, WORKS_MAX = 256 };

/* What the fake cuDNN queued: a graph may run it again, so that it is dropped at the end. */
typedef struct queued {
    void (*run)(void *);
    void (*drop)(void *);
    void *work;
} queued;

static cudaStream_t stream;
static queued works[WORKS_MAX];
static int work_count;

static void run_queued(void *data) {
    const queued *of = data;
    of->run(of->work);
}

static void queue(void (*run)(void *), void (*drop)(void *), void *work) {
    cr_assert_lt(work_count, WORKS_MAX);
    works[work_count] = (queued){run, drop, work};
    emulator_queue(stream, run_queued, &works[work_count++], sizeof *works);
}

static void begin(void) {
    assert_cuda(cudaSetDevice(0));
    assert_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    fake.queue = queue;
}

static void end(void) {
    assert_cuda(cudaStreamDestroy(stream));
    for (int w = 0; w < work_count; w++)
        works[w].drop(works[w].work);
    cr_assert(fake.objects == 0 && fake.handles == 0);
    assert_sound();
}

TestSuite(network_emulated, .init = begin, .fini = end);

/* The taps of IMAGES images on a network for BATCH, from device memory to device memory. */
static void run(const pb_network *network, pb_precision precision, const uint8_t *images, float *const *found) {
    const pb_cuda_place place = {.device = "cuda:0 (emulated)", .stream = stream, .precision = precision};
    void *there = on_device(images, IMAGES * 3 * pb_size_area(network->size));
    float *taps[PB_TAPS_MAX] = {NULL};
    pb_compiled *compiled;
    cudaGraph_t graph;
    cudaGraphExec_t batch;
    for (int t = 0; t < network->tap_count; t++)
        taps[t] = on_device(NULL, IMAGES * test_tap_values(network, t) * sizeof(float));
    assert_done(pb_cuda_network_compile(&place, network, BATCH, &compiled));
    assert_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    assert_done(pb_cuda_network_run(compiled, there, IMAGES, taps));
    assert_cuda(cudaStreamEndCapture(stream, &graph));
    assert_cuda(cudaGraphInstantiate(&batch, graph, 0));
    assert_cuda(cudaGraphDestroy(graph));
    assert_cuda(cudaGraphLaunch(batch, stream));
    assert_cuda(cudaStreamSynchronize(stream));
    assert_cuda(cudaGraphExecDestroy(batch));
    for (int t = 0; t < network->tap_count; t++)
        off_device(found[t], taps[t], IMAGES * test_tap_values(network, t) * sizeof(float));
    pb_cuda_network_free(compiled);
    assert_cuda(cudaFree(there));
}

/* Root mean square apart: within so much of the values' own. */
static void check(const pb_network *network, pb_precision precision, double within) {
    uint8_t *images = test_images(network, IMAGES, 0);
    float *found[PB_TAPS_MAX], *expected[PB_TAPS_MAX];
    test_taps_allocate(network, IMAGES, found);
    test_taps_allocate(network, IMAGES, expected);
    test_must(pb_ref_run(network, images, IMAGES, expected));
    run(network, precision, images, found);
    for (int t = 0; t < network->tap_count; t++) {
        double squares = 0, size = 0;
        for (size_t i = 0; i < IMAGES * test_tap_values(network, t); i++) {
            squares += pow((double)found[t][i] - (double)expected[t][i], 2);
            size += pow((double)expected[t][i], 2);
        }
        cr_assert(size > 0 && sqrt(squares) <= within * sqrt(size), "%s, tap %d: %g of %g", pb_precision_name(precision), t,
                  sqrt(squares), sqrt(size));
    }
    test_taps_free(expected);
    test_taps_free(found);
    pb_release(&images);
}

/* 84 patches: two tiles of queries and keys. The bounds are those of test_network_graph.c; in fp32 kernels make sums of some tens
 * of floats, so that each layer may be off by a few roundings' size. */
Test(network_emulated, transformers_are_those_of_the_plain_twin) {
    static const double WITHIN[] = {32 * 0x1p-24, 32 * 0x1p-24, 16 * 0x1p-11, 16 * 0x1p-8};
    static const fake_engine NO_ATTENTION = {.mode = CUDNN_HEUR_MODE_A, .no_attention = true};
    pb_network network = test_transformer((pb_size){28, 12}, 32, 2);
    const fake_engine *before = fake.engines;
    for (int p = PB_PRECISION_FP32; p <= PB_PRECISION_BF16; p++) {
        check(&network, (pb_precision)p, WITHIN[p]);
        fake.engines = &NO_ATTENTION;
        check(&network, (pb_precision)p, WITHIN[p]);
        fake.engines = before;
    }
    pb_network_free(&network);
}

/* Input and taps of a convolutional network, by their kernels. */
Test(network_emulated, convolutional_networks_are_those_of_the_plain_twin) {
    const test_layer layers[] = {{8, 3, 2, PB_ACTIVATION_RELU6, -1, -1}, {0, 3, 1, PB_ACTIVATION_RELU, 0, -1},
                                 {8, 1, 1, PB_ACTIVATION_NONE, 1, 0}};
    pb_network network = test_network((pb_size){17, 12}, layers, 3, 4);
    check(&network, PB_PRECISION_FP32, 8 * 0x1p-24);
    check(&network, PB_PRECISION_FP16, 16 * 0x1p-11);
    pb_network_free(&network);
}
