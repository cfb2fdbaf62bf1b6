#include "gpu/cuda/network_plan.h"

#include "base/memory.h"
#include "fake_cudnn.h"
#include "networks.h"
#include "simulator.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const pb_cudnn *cudnn;
static pb_plan_device device;
static pb_network network;

#define RELU6 PB_ACTIVATION_RELU6
#define NONE PB_ACTIVATION_NONE

static void begin(void) {
    const test_layer layers[] = {{8, 3, 2, RELU6, -1, -1}, {0, 3, 1, RELU6, 0, -1}, {8, 1, 1, PB_ACTIVATION_RELU, 1, 0},
                                 {0, 3, 2, NONE, 2, -1}};
    network = test_network((pb_size){9, 6}, layers, 4, 1);
    test_make_pool(&network, 3);
    test_must(pb_cudnn_open(&cudnn));
    test_must(pb_plan_device_describe(cudnn, "{a GPU}", &device));
}

static void end(void) {
    pb_plan_device_close(&device);
    cr_assert_eq(fake.objects, 0, "%d objects are left", fake.objects);
    pb_network_free(&network);
}

TestSuite(network_plan, .init = begin, .fini = end);

static pb_graph graph_of(int layer, pb_precision precision) {
    pb_graph graph;
    test_must(pb_graph_of_layer(&network, layer, precision, PB_ELEMENT_FLOAT, 2, &graph));
    return graph;
}

static pb_status make(int layer, pb_precision precision, int64_t workspace_max, pb_plan *plan) {
    pb_graph graph = graph_of(layer, precision);
    return pb_plan_make(&device, &graph, precision, workspace_max, network.layers[layer].name, plan);
}

/* ---- which plan ---- */

static void use(const fake_engine *engines, int count) {
    fake.engines = engines;
    fake.engine_count = count;
}

/* Number of the engine whose plan is taken, by its workspace; -1: none. */
static int64_t taken(pb_precision precision) {
    pb_plan plan;
    pb_status status = make(0, precision, 100, &plan);
    const int64_t workspace = pb_failed(&status) ? -1 : plan.workspace;
    cr_assert(!pb_failed(&status) || (status.code == PB_E_UNSUPPORTED && plan.objects.count == 0), "%s", status.message);
    pb_plan_free(&device, &plan);
    return workspace;
}

Test(network_plan, takes_the_first_that_there_is) {
    static const fake_engine ENGINES[] = {
        {.mode = CUDNN_HEUR_MODE_FALLBACK, .workspace = 0},
        {.mode = CUDNN_HEUR_MODE_A, .workspace = 101},
        {.mode = CUDNN_HEUR_MODE_A, .workspace = 2, .refusal = CUDNN_STATUS_NOT_SUPPORTED_SHAPE},
        {.mode = CUDNN_HEUR_MODE_A, .workspace = 3},
        {.mode = CUDNN_HEUR_MODE_A, .workspace = 4},
    };
    use(ENGINES, 5);
    cr_assert_eq(taken(PB_PRECISION_FP16), 3, "neither too large nor refused");
    use(ENGINES, 3);
    cr_assert_eq(taken(PB_PRECISION_FP16), 0, "a fallback");
    use(ENGINES + 1, 2);
    cr_assert_eq(taken(PB_PRECISION_FP16), -1);
}

Test(network_plan, takes_none_that_is_less_exact) {
    static const struct {
        cudnnBackendNumericalNote_t note;
        bool fp32, others;
    } CASES[] = {
        {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, false, true},
        {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, false, false},
        {CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION, false, false},
        {CUDNN_NUMERICAL_NOTE_FFT, false, false},
        {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, false, false},
        {CUDNN_NUMERICAL_NOTE_WINOGRAD, false, false},
        {CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13, false, false},
        {CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP, true, true},
    };
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        fake_engine engine = {.mode = CUDNN_HEUR_MODE_A, .note_count = 2,
                              .notes = {CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP, CASES[c].note}};
        use(&engine, 1);
        for (int p = PB_PRECISION_FP32; p <= PB_PRECISION_BF16; p++) {
            bool expected = p == PB_PRECISION_FP32 ? CASES[c].fp32 : CASES[c].others;
            cr_assert_eq(taken((pb_precision)p) == 0, expected, "note %d, %s", (int)CASES[c].note, pb_precision_name(p));
        }
    }
}

Test(network_plan, no_plan_says_layer_graph_and_why) {
    static const fake_engine REFUSES = {.mode = CUDNN_HEUR_MODE_A, .refusal = CUDNN_STATUS_NOT_SUPPORTED_SHAPE};
    pb_plan plan;
    use(&REFUSES, 1);
    strcpy(network.layers[0].name, "stem.conv.weight");
    pb_status status = make(0, PB_PRECISION_BF16, 0, &plan);
    cr_assert_eq(status.code, PB_E_UNSUPPORTED);
    cr_assert(strstr(status.message, "layer stem.conv.weight: cuDNN 9.19.0 has no bf16 plan (1 tried; cuDNN: plan: FAKE_STATUS"),
              "%s", status.message);
    cr_assert(strstr(status.message, "conv(0,1)w3,3s2,2"), "%s", status.message);
    use(&REFUSES, 0);
    status = make(0, PB_PRECISION_BF16, 0, &plan);
    cr_assert(strstr(status.message, "(0 tried; nothing was proposed)"), "%s", status.message);
}

/* ---- what a plan does ---- */

/* Fills memory of the graph's own size for each role with small numbers. */
static void allocate(const pb_graph *graph, void *memory[PB_GRAPH_ROLES]) {
    for (int t = 0; t < graph->tensor_count; t++) {
        const pb_graph_tensor *tensor = &graph->tensors[t];
        const int64_t count = tensor->dims[0] * tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
        if (tensor->role == PB_GRAPH_VIRTUAL)
            continue;
        test_must(pb_allocate(&memory[tensor->role], (size_t)count, pb_element_bytes(tensor->element), "tensor"));
        for (int64_t i = 0; i < count; i++)
            simulator_put(tensor->element, memory[tensor->role], i, (float)((i * 7 + t) % 23 - 11) / 8);
    }
}

static void release(void *memory[PB_GRAPH_ROLES]) {
    for (int r = 0; r < PB_GRAPH_ROLES; r++)
        pb_release(&memory[r]);
}

/* The plan must do what the graph means: the fake library reads objects, the simulator the graph. */
static void check_run(const pb_plan *plan, const pb_graph *graph) {
    void *found[PB_GRAPH_ROLES] = {NULL}, *expected[PB_GRAPH_ROLES] = {NULL};
    char workspace[64];
    cudnnHandle_t handle;
    const pb_graph_tensor *output = &graph->tensors[pb_graph_find(graph, PB_GRAPH_OUTPUT)];
    const size_t bytes = (size_t)(output->dims[0] * output->strides[0]) * pb_element_bytes(output->element);
    allocate(graph, found);
    allocate(graph, expected);
    cr_assert_eq(cudnn->cudnnCreate(&handle), CUDNN_STATUS_SUCCESS);
    simulate(graph, expected);
    cr_assert(memcmp(found[PB_GRAPH_OUTPUT], expected[PB_GRAPH_OUTPUT], bytes) != 0);
    test_must(pb_plan_run(&device, handle, plan, graph, found, workspace));
    cr_assert_arr_eq(found[PB_GRAPH_OUTPUT], expected[PB_GRAPH_OUTPUT], bytes);
    cudnn->cudnnDestroy(handle);
    release(found);
    release(expected);
}

Test(network_plan, runs_what_the_graph_means) {
    for (int l = 0; l < network.layer_count; l++)
        for (int p = PB_PRECISION_FP32; p <= PB_PRECISION_BF16; p++) {
            pb_graph graph = graph_of(l, (pb_precision)p);
            pb_plan plan;
            test_must(make(l, (pb_precision)p, 0, &plan));
            check_run(&plan, &graph);
            pb_plan_free(&device, &plan);
        }
}

Test(network_plan, goes_to_text_and_back) {
    static const fake_engine ENGINE = {.mode = CUDNN_HEUR_MODE_A, .workspace = 48};
    pb_graph graph = graph_of(2, PB_PRECISION_FP16);
    pb_plan plan, again;
    char *text;
    use(&ENGINE, 1);
    test_must(make(2, PB_PRECISION_FP16, 48, &plan));
    test_must(pb_plan_to_text(&device, &plan, &text));
    pb_plan_free(&device, &plan);
    test_must(pb_plan_from_text(&device, text, &again));
    cr_assert_eq(again.workspace, 48);
    cr_assert(fake.plans_made == 1 && fake.plans_restored == 1);
    check_run(&again, &graph);
    pb_plan_free(&device, &again);
    pb_release(&text);
    pb_status status = pb_plan_from_text(&device, "no plan", &again);
    cr_assert_eq(status.code, PB_E_INTERNAL);
    cr_assert(!again.plan && again.objects.count == 0);
}

Test(network_plan, devices_are_numbers_or_descriptions) {
    pb_plan_device other;
    cr_assert_str_eq(device.description, "{a GPU}");
    test_must(pb_plan_device_open(cudnn, 3, &other));
    cr_assert_str_eq(other.description, "{\"cudaDeviceId\":3,\"driverVer\":0,\"pciDeviceId\":33}");
    cr_assert_str_eq(other.model, "{\"cudaDeviceId\":,\"driverVer\":0,\"pciDeviceId\":}");
    cr_assert_str_eq(device.model, "{a GPU}");
    pb_plan_device_close(&other);
    pb_plan_device_close(&other);
}

/* ---- each call may fail ---- */

/* All that is done with a plan; the first failure. */
static pb_status do_all(void) {
    pb_plan_device other = {0};
    pb_plan plan = {0}, again = {0};
    pb_graph graph = graph_of(2, PB_PRECISION_FP16);
    void *memory[PB_GRAPH_ROLES] = {NULL};
    char *text = NULL, workspace[16];
    cudnnHandle_t handle = NULL;
    allocate(&graph, memory);
    pb_status status = pb_plan_device_open(cudnn, 0, &other);
    if (!pb_failed(&status))
        status = pb_plan_make(&other, &graph, PB_PRECISION_FP16, 0, "a layer", &plan);
    if (!pb_failed(&status))
        status = pb_plan_to_text(&other, &plan, &text);
    if (!pb_failed(&status))
        status = pb_plan_from_text(&other, text, &again);
    if (!pb_failed(&status))
        status = pb_cudnn_check(cudnn, cudnn->cudnnCreate(&handle), "a handle");
    if (!pb_failed(&status))
        status = pb_plan_run(&other, handle, &again, &graph, memory, workspace);
    if (handle)
        cudnn->cudnnDestroy(handle);
    pb_plan_free(&other, &again);
    pb_plan_free(&other, &plan);
    pb_plan_device_close(&other);
    pb_release(&text);
    release(memory);
    return status;
}

/* Whichever it is: the failure is told and nothing is left. Where another configuration can still be tried, it is. */
Test(network_plan, a_failing_call_leaves_nothing) {
    const int before = fake.objects;
    int failures = 0;
    fake.failure = CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    for (fake.fail_at = 1;; fake.fail_at++) {
        fake.calls = 0;
        pb_status status = do_all();
        cr_assert_eq(fake.objects, before, "call %d: %d objects are left", fake.fail_at, fake.objects - before);
        if (fake.calls < fake.fail_at)
            break;
        cr_assert(status.code == PB_E_SYSTEM && strstr(status.message, "as asked for"), "call %d: %s", fake.fail_at,
                  status.message);
        failures++;
    }
    cr_assert_gt(failures, 80, "only %d calls", failures);
}
