/* Streams, events and graphs. What is queued is done at once, or, on a lazy stream, when something that is ordered after it asks
 * for it: a program that left out a wait then reads what is not there yet. */
#include "cuda_runtime_api.h"

#include "emulator.h"
#include "inside.h"

#include <stdlib.h>
#include <string.h>

enum { STREAMS = 32, EVENTS = 64 };

typedef struct work {
    void (*run)(void *data);
    void *data;
    size_t bytes;
} work;

typedef struct list {
    work *all;
    size_t count;
} list;

struct CUstream_st {
    bool open, lazy;
    list queued; /* and not done */
    size_t done; /* before these */
};

struct CUevent_st {
    bool open;
    cudaStream_t stream; /* on which it was recorded last; NULL: on none, or on the one that does all at once */
    size_t place;        /* how much was queued before it */
};

struct CUgraph_st {
    list work;
};

static struct CUstream_st streams[STREAMS];
static struct CUevent_st events[EVENTS];
static unsigned lazy;
static size_t graphs;

static struct {
    cudaStream_t stream; /* NULL: nothing is captured */
    struct CUgraph_st *graph;
    bool spoilt;
} capture;

void emulator_lazy(unsigned which) { lazy = which; }

static void append(list *to, void (*run)(void *), const void *data, size_t bytes) {
    to->all = realloc(to->all, (to->count + 1) * sizeof *to->all);
    work *added = &to->all[to->count++];
    *added = (work){run, malloc(bytes), bytes};
    memcpy(added->data, data, bytes);
}

static void clear(list *of) {
    for (size_t i = 0; i < of->count; i++)
        free(of->all[i].data);
    free(of->all);
    *of = (list){0};
}

static void do_work(void (*run)(void *data), void *data) {
    emulator_reach(true);
    run(data);
    emulator_reach(false);
}

static void force(cudaStream_t stream, size_t place) {
    while (stream && stream->done < place) {
        const work next = stream->queued.all[0];
        stream->done++;
        memmove(stream->queued.all, stream->queued.all + 1, --stream->queued.count * sizeof next);
        do_work(next.run, next.data);
        free(next.data);
    }
}

/* The place of what is queued next. */
static size_t place_of(cudaStream_t stream) { return stream->done + stream->queued.count; }

void emulator_finish(void) {
    for (int s = 0; s < STREAMS; s++)
        force(&streams[s], place_of(&streams[s]));
}

void emulator_queue(cudaStream_t stream, void (*run)(void *data), void *data, size_t bytes) {
    if (stream && capture.stream == stream) {
        append(&capture.graph->work, run, data, bytes);
    } else if (stream) {
        append(&stream->queued, run, data, bytes);
        if (!stream->lazy)
            force(stream, place_of(stream));
    } else {
        do_work(run, data);
    }
}

bool emulator_spoils_capture(void) {
    capture.spoilt = capture.spoilt || capture.stream;
    return capture.stream;
}

bool emulator_is_stream(const void *stream) {
    const struct CUstream_st *at = stream;
    return !at || (at >= streams && at < streams + STREAMS && at->open);
}

size_t emulator_open(void) {
    size_t count = graphs;
    for (int s = 0; s < STREAMS; s++)
        count += streams[s].open;
    for (int e = 0; e < EVENTS; e++)
        count += events[e].open;
    return count;
}

/* ---- streams ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    EMULATOR_CALL();
    for (unsigned s = 0; s < STREAMS && flags == cudaStreamNonBlocking && emulator_has_device(); s++)
        if (!streams[s].open) {
            streams[s] = (struct CUstream_st){.open = true, .lazy = lazy >> s & 1};
            *stream = &streams[s];
            return cudaSuccess;
        }
    return emulator_result(cudaErrorInvalidValue);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    force(stream, place_of(stream));
    clear(&stream->queued);
    stream->open = false;
    return cudaSuccess;
}

/* The stream is at rest when CUDA returns, with an error too: nothing is copied to host memory that is given back then. */
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (emulator_spoils_capture())
        return emulator_result(cudaErrorStreamCaptureUnsupported);
    const cudaError_t error = emulator_work();
    if (stream)
        force(stream, place_of(stream));
    return error;
}

/* ---- events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    EMULATOR_CALL();
    for (int e = 0; e < EVENTS && flags == cudaEventDisableTiming && emulator_has_device(); e++)
        if (!events[e].open) {
            events[e] = (struct CUevent_st){.open = true};
            *event = &events[e];
            return cudaSuccess;
        }
    return emulator_result(cudaErrorInvalidValue);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    event->open = false;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    EMULATOR_CALL();
    if (!event->open || !emulator_is_stream(stream) || (stream && stream == capture.stream))
        return emulator_result(cudaErrorInvalidValue);
    event->stream = stream;
    event->place = stream ? place_of(stream) : 0;
    return cudaSuccess;
}

static void wait_for(void *data) {
    const struct CUevent_st *event = data;
    force(event->stream, event->place);
}

/* What was recorded by now counts, not what will be. */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    EMULATOR_CALL();
    if (!event->open || !stream || !stream->open || stream == capture.stream || flags != 0)
        return emulator_result(cudaErrorInvalidValue);
    emulator_queue(stream, wait_for, event, sizeof *event);
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    if (emulator_spoils_capture())
        return emulator_result(cudaErrorStreamCaptureUnsupported);
    const cudaError_t error = emulator_call();
    force(event->stream, event->place);
    return error;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    if (event->open && emulator_is_busy())
        return emulator_not_ready();
    const cudaError_t error = emulator_call();
    force(event->stream, event->place);
    return error;
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    EMULATOR_CALL();
    if (!stream || !stream->open || capture.stream || mode != cudaStreamCaptureModeThreadLocal)
        return emulator_result(cudaErrorInvalidValue);
    capture.stream = stream;
    capture.graph = calloc(1, sizeof *capture.graph);
    capture.spoilt = false;
    graphs++;
    return cudaSuccess;
}

/* A capture ends even when that fails; there is then no graph. */
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    cudaError_t error = capture.spoilt ? emulator_result(cudaErrorStreamCaptureInvalidated) : emulator_call();
    if (error == cudaSuccess && (!stream || stream != capture.stream))
        error = emulator_result(cudaErrorInvalidValue);
    *graph = capture.graph;
    capture.stream = NULL;
    if (error != cudaSuccess && *graph) {
        cudaGraphDestroy(*graph);
        *graph = NULL;
    }
    return error;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags) {
    EMULATOR_CALL();
    if (flags != 0)
        return emulator_result(cudaErrorInvalidValue);
    struct CUgraph_st *copy = calloc(1, sizeof *copy);
    for (size_t i = 0; i < graph->work.count; i++)
        append(&copy->work, graph->work.all[i].run, graph->work.all[i].data, graph->work.all[i].bytes);
    *executable = (cudaGraphExec_t)(void *)copy;
    graphs++;
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    clear(&graph->work);
    free(graph);
    graphs--;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return cudaGraphDestroy((cudaGraph_t)(void *)executable); }

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
    const struct CUgraph_st *graph = (const struct CUgraph_st *)(void *)executable;
    EMULATOR_WORK();
    emulator_launches++;
    for (size_t i = 0; i < graph->work.count; i++)
        emulator_queue(stream, graph->work.all[i].run, graph->work.all[i].data, graph->work.all[i].bytes);
    return cudaSuccess;
}
