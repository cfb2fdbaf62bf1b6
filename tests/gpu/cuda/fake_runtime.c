#include "fake_runtime.h"

#include "base/memory.h"
#include "fake_cudnn.h"
#include "gpu/cuda/network_edges.h"
#include "gpu/cuda/network_kernels.h"
#include "gpu/ref.h"
#include "networks.h"
#include "simulator.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

fake_runtime fake_cuda;

enum { WORK_MAX = 512 };

/* What was captured, or is being. */
struct CUgraph_st {
    int count;
    struct {
        void (*run)(void *);
        void (*drop)(void *);
        void *work;
    } all[WORK_MAX];
};

static struct CUgraph_st *capturing;

static cudaError_t answer(void) { return ++fake_cuda.calls == fake_cuda.fail_at ? fake_cuda.failure : cudaSuccess; }

static void queue(void (*run)(void *), void (*drop)(void *), void *work) {
    if (!capturing) {
        run(work);
        drop(work);
        return;
    }
    cr_assert_lt(capturing->count, WORK_MAX);
    capturing->all[capturing->count].run = run;
    capturing->all[capturing->count].drop = drop;
    capturing->all[capturing->count++].work = work;
}

void fake_runtime_begin(void) { fake.queue = queue; }

/* ---- memory ---- */

cudaError_t cudaMalloc(void **pointer, size_t bytes) {
    cudaError_t error = answer();
    cr_assert(!capturing, "memory is asked for in a capture");
    if (error != cudaSuccess)
        return error;
    if (fake_cuda.room && fake_cuda.bytes + bytes > fake_cuda.room)
        return cudaErrorMemoryAllocation;
    cr_assert_eq(posix_memalign(pointer, 256, bytes), 0);
    memset(*pointer, 0xFF, bytes);
    fake_cuda.allocations++;
    fake_cuda.bytes += malloc_usable_size(*pointer);
    fake_cuda.most = fake_cuda.bytes > fake_cuda.most ? fake_cuda.bytes : fake_cuda.most;
    return cudaSuccess;
}

cudaError_t cudaFree(void *pointer) {
    if (pointer) {
        fake_cuda.allocations--;
        fake_cuda.bytes -= malloc_usable_size(pointer);
    }
    free(pointer);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    cr_assert(stream == FAKE_STREAM && kind == cudaMemcpyHostToDevice && !capturing);
    cudaError_t error = answer();
    if (error == cudaSuccess)
        memcpy(to, from, bytes);
    return error;
}

cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream) {
    cr_assert(stream == FAKE_STREAM && !capturing);
    cudaError_t error = answer();
    if (error == cudaSuccess)
        memset(to, byte, bytes);
    return error;
}

/* ---- streams and graphs ---- */

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    cr_assert(stream == FAKE_STREAM && !capturing);
    return answer();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    cr_assert(stream == FAKE_STREAM && mode == cudaStreamCaptureModeThreadLocal && !capturing);
    cudaError_t error = answer();
    if (error == cudaSuccess)
        capturing = calloc(1, sizeof *capturing);
    return error;
}

/* A capture ends even when it fails; there is then no graph. */
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    cr_assert(stream == FAKE_STREAM && capturing);
    cudaError_t error = answer();
    *graph = capturing;
    capturing = NULL;
    if (error != cudaSuccess) {
        cudaGraphDestroy(*graph);
        *graph = NULL;
    }
    return error;
}

/* The executable graph takes the work; the graph keeps none. */
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) {
    cudaError_t error = answer();
    cr_assert_eq(flags, 0);
    if (error != cudaSuccess)
        return error;
    struct CUgraph_st *copy = malloc(sizeof *copy);
    memcpy(copy, graph, sizeof *copy);
    graph->count = 0;
    *executable = (cudaGraphExec_t)(void *)copy;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    for (int w = 0; w < graph->count; w++)
        graph->all[w].drop(graph->all[w].work);
    free(graph);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return cudaGraphDestroy((cudaGraph_t)(void *)executable); }

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    const struct CUgraph_st *graph = (const struct CUgraph_st *)(void *)executable;
    cr_assert(stream == FAKE_STREAM && !capturing);
    cudaError_t error = answer();
    for (int w = 0; w < graph->count && error == cudaSuccess; w++)
        graph->all[w].run(graph->all[w].work);
    return error;
}

cudaError_t cudaGetLastError(void) { return cudaSuccess; }

const char *cudaGetErrorName(cudaError_t error) { return error == cudaSuccess ? "cudaSuccess" : "cudaErrorFake"; }

const char *cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "as asked for"; }

/* ---- the kernels ---- */

typedef struct input_work {
    const uint8_t *images;
    size_t pixels;
    float mean[3], scale[3];
    int channels;
    pb_element element;
    void *out;
} input_work;

static void run_input(void *context) {
    const input_work *w = context;
    for (size_t p = 0; p < w->pixels; p++)
        for (int c = 0; c < w->channels; c++)
            simulator_put(w->element, w->out, (int64_t)p * w->channels + c,
                          c < 3 ? ((float)w->images[p * 3 + (size_t)c] - w->mean[c]) * w->scale[c] : 0);
}

static void *copy_of(const void *work, size_t bytes) {
    void *copy = malloc(bytes);
    memcpy(copy, work, bytes);
    return copy;
}

cudaError_t pb_cuda_network_input(cudaStream_t stream, const uint8_t *images, size_t pixels, const float mean[3],
                                  const float scale[3], int channels, pb_element element, void *out) {
    const input_work work = {images, pixels, {mean[0], mean[1], mean[2]}, {scale[0], scale[1], scale[2]}, channels, element, out};
    cr_assert(stream == FAKE_STREAM);
    cudaError_t error = answer();
    if (error == cudaSuccess)
        queue(run_input, free, copy_of(&work, sizeof work));
    return error;
}

typedef struct tap_work {
    const void *values;
    size_t count;
    pb_element element;
    float *out;
} tap_work;

static void run_tap(void *context) {
    const tap_work *w = context;
    for (size_t i = 0; i < w->count; i++)
        w->out[i] = simulator_get(w->element, w->values, (int64_t)i);
}

cudaError_t pb_cuda_network_tap(cudaStream_t stream, const void *values, size_t count, pb_element element, float *out) {
    const tap_work work = {values, count, element, out};
    cr_assert(stream == FAKE_STREAM);
    cudaError_t error = answer();
    if (error == cudaSuccess)
        queue(run_tap, free, copy_of(&work, sizeof work));
    return error;
}

/* ---- the kernels of layers on tokens ---- */

/* One of them, queued: the layer as the twin knows it, sizes of its input and output, and its memory. */
typedef struct kernel {
    pb_layer layer;
    pb_size in_size, out_size;
    size_t images;
    pb_element element;
    const void *in;
    void *out;
} kernel;

static void run_kernel(void *of) {
    const kernel *k = of;
    const size_t in = pb_size_area(k->in_size) * (size_t)k->layer.inputs,
                 out = pb_size_area(k->out_size) * (size_t)k->layer.outputs;
    float *input, *output;
    test_must(pb_allocate(&input, in, sizeof *input, "input"));
    test_must(pb_allocate(&output, out, sizeof *output, "output"));
    for (size_t n = 0; n < k->images; n++) {
        for (size_t i = 0; i < in; i++)
            input[i] = simulator_get(k->element, k->in, (int64_t)(n * in + i));
        test_must(pb_ref_layer(&k->layer, k->in_size, k->out_size, input, NULL, output));
        for (size_t i = 0; i < out; i++)
            simulator_put(k->element, k->out, (int64_t)(n * out + i), output[i]);
    }
    pb_release(&output);
    pb_release(&input);
}

static pb_size row_of(int tokens) { return (pb_size){.width = tokens, .height = 1}; }

static cudaError_t queue_kernel(cudaStream_t stream, kernel made) {
    cr_assert(stream == FAKE_STREAM);
    cudaError_t error = answer();
    if (error != cudaSuccess)
        return error;
    kernel *work = malloc(sizeof *work);
    *work = made;
    fake_cuda.kernels++;
    queue(run_kernel, free, work);
    return error;
}

cudaError_t pb_cuda_network_tokens(cudaStream_t stream, pb_cuda_tokens shape, const void *places, const float *weights,
                                   void *out) {
    float *table = (float *)(uintptr_t)weights;
    const pb_layer layer = {
        .operation = PB_OPERATION_TOKENS, .inputs = shape.channels, .outputs = shape.channels, .weights = table};
    return queue_kernel(
        stream, (kernel){layer, row_of(shape.tokens - 1), row_of(shape.tokens), shape.images, shape.element, places, out});
}

cudaError_t pb_cuda_network_patches(cudaStream_t stream, pb_cuda_tokens shape, const void *in, void *out) {
    const pb_layer layer = {.operation = PB_OPERATION_PATCHES, .inputs = shape.channels, .outputs = shape.channels};
    return queue_kernel(stream,
                        (kernel){layer, row_of(shape.tokens), row_of(shape.tokens - 1), shape.images, shape.element, in, out});
}

cudaError_t pb_cuda_network_norm(cudaStream_t stream, pb_cuda_tokens shape, const void *in, const float *weights,
                                 const float *bias, float epsilon, void *out) {
    const pb_layer layer = {.operation = PB_OPERATION_LAYER_NORM,
                            .inputs = shape.channels,
                            .outputs = shape.channels,
                            .epsilon = (double)epsilon,
                            .weights = (float *)(uintptr_t)weights,
                            .bias = (float *)(uintptr_t)bias};
    return queue_kernel(stream,
                        (kernel){layer, row_of(shape.tokens), row_of(shape.tokens), shape.images, shape.element, in, out});
}

cudaError_t pb_cuda_network_attention(cudaStream_t stream, pb_cuda_tokens shape, int heads, const void *in, void *out) {
    const pb_layer layer = {
        .operation = PB_OPERATION_ATTENTION, .inputs = 3 * shape.channels, .outputs = shape.channels, .groups = heads};
    return queue_kernel(stream,
                        (kernel){layer, row_of(shape.tokens), row_of(shape.tokens), shape.images, shape.element, in, out});
}
