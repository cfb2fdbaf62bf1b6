/* Copies beside the kernels, and batches that begin with one launch: gpu/ahead.h.
 *
 * Copies have a stream of their own, and events tie it to the kernels' stream: `arrived` is recorded after each copy, and kernels
 * wait for it; `spent` of a place is recorded after the kernels that read it, and the next copy to it waits for that. One event
 * `arrived` will do, because copies are done in order: who waits for the latest waits for all. There is one `spent` a place, or
 * each copy would wait for the kernels of the batch before it, beside which it is meant to be.
 *
 * Recordings are CUDA graphs of everything that was queued between begin and end. A graph holds addresses, so it is good as long
 * as memory stays where it is: taps, weights and features belong to whoever recorded; only the scratch memory of kernels may
 * move, and is compared.
 */
#include "gpu/cuda/cuda.h"

#include "base/memory.h"

struct pb_recording {
    cudaGraphExec_t graph;
    const void *scratch; /* which its kernels use: replaced when other patch features need more */
};

/* After an error pb_cuda_ahead_close undoes what there is. Events without timing are cheaper to record and to wait for. */
pb_status pb_cuda_ahead_open(const pb_device *device) {
    pb_cuda_ahead *ahead = &pb_cuda_state_of(device)->ahead;
    PB_TRY(pb_cuda_call(device, cudaStreamCreateWithFlags(&ahead->copies, cudaStreamNonBlocking), "making a stream"));
    PB_TRY(pb_cuda_call(device, cudaEventCreateWithFlags(&ahead->arrived, cudaEventDisableTiming), "making an event"));
    for (int p = 0; p < PB_PLACES; p++)
        PB_TRY(pb_cuda_call(device, cudaEventCreateWithFlags(&ahead->spent[p], cudaEventDisableTiming), "making an event"));
    return pb_ok();
}

void pb_cuda_ahead_close(const pb_device *device) {
    pb_cuda_ahead *ahead = &pb_cuda_state_of(device)->ahead;
    if (ahead->copies)
        (void)cudaStreamDestroy(ahead->copies);
    if (ahead->arrived)
        (void)cudaEventDestroy(ahead->arrived);
    for (int p = 0; p < PB_PLACES; p++)
        if (ahead->spent[p])
            (void)cudaEventDestroy(ahead->spent[p]);
    *ahead = (pb_cuda_ahead){0};
}

/* ---- copies ---- */

/* Pinned memory is scarce host memory, so its lack is told as such. */
pb_status pb_cuda_host_alloc(pb_device *device, size_t bytes, void **pointer, const char *what) {
    PB_TRY(pb_cuda_enter(device));
    cudaError_t error = cudaHostAlloc(pointer, bytes > 0 ? bytes : 1, cudaHostAllocDefault);
    if (error != cudaErrorMemoryAllocation)
        return pb_cuda_call(device, error, what);
    (void)cudaGetLastError(); /* as in pb_cuda_call */
    return pb_fail(PB_E_SYSTEM, "device %s: %s: out of host memory that can be pinned: %zu bytes are needed",
                   pb_cuda_state_of(device)->name, what, bytes);
}

void pb_cuda_host_release(pb_device *device, void *pointer) {
    (void)device;
    (void)cudaFreeHost(pointer);
}

/* Waiting for an event that was never recorded is no waiting, so the first copy to a place begins at once. The copy is beside
 * kernels only from pinned memory; from other memory the call itself takes as long as the copy. */
pb_status pb_cuda_send(pb_device *device, int place, void *to_device, const void *from_host, size_t bytes) {
    const pb_cuda_ahead *ahead = &pb_cuda_state_of(device)->ahead;
    PB_TRY(pb_cuda_enter(device));
    if (bytes == 0)
        return pb_ok();
    PB_TRY(pb_cuda_call(device, cudaStreamWaitEvent(ahead->copies, ahead->spent[place], 0), "send"));
    PB_TRY(pb_cuda_call(device, cudaMemcpyAsync(to_device, from_host, bytes, cudaMemcpyHostToDevice, ahead->copies), "send"));
    return pb_cuda_call(device, cudaEventRecord(ahead->arrived, ahead->copies), "send");
}

/* The stream waits, not the host. */
pb_status pb_cuda_arrive(pb_device *device) {
    const pb_cuda_state *state = pb_cuda_state_of(device);
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_call(device, cudaStreamWaitEvent(state->stream, state->ahead.arrived, 0), "arrive");
}

pb_status pb_cuda_spent(pb_device *device, int place) {
    const pb_cuda_state *state = pb_cuda_state_of(device);
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_call(device, cudaEventRecord(state->ahead.spent[place], state->stream), "spent");
}

/* The host waits for the last copy, and by that for all: copies are in order. */
pb_status pb_cuda_sent(pb_device *device) {
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_call(device, cudaEventSynchronize(pb_cuda_state_of(device)->ahead.arrived), "sent");
}

/* ---- recordings ---- */

/* ThreadLocal: a call of this thread that cannot be captured (an allocation, a synchronization) fails, calls of others are left
 * alone. */
pb_status pb_cuda_record_begin(pb_device *device) {
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_call(device, cudaStreamBeginCapture(pb_cuda_state_of(device)->stream, cudaStreamCaptureModeThreadLocal),
                         "beginning a capture");
}

/* Makes what can be launched of a graph, which is still to be destroyed. */
static pb_status instantiate(const pb_device *device, cudaGraph_t graph, pb_recording *recording) {
    recording->scratch = pb_cuda_state_of(device)->scratch.memory;
    return pb_cuda_call(device, cudaGraphInstantiate(&recording->graph, graph, 0), "making a graph");
}

/* EndCapture is called whatever happened between, or the stream would stay in capture. The graph itself is not needed once it is
 * instantiated. */
pb_status pb_cuda_record_end(pb_device *device, pb_recording **recording_out) {
    cudaGraph_t graph = NULL;
    pb_recording *recording = NULL;
    pb_status status =
        pb_cuda_call(device, cudaStreamEndCapture(pb_cuda_state_of(device)->stream, &graph), "ending a capture");
    if (!pb_failed(&status))
        status = pb_allocate(&recording, 1, sizeof *recording, "a recording");
    if (!pb_failed(&status))
        status = instantiate(device, graph, recording);
    if (graph)
        (void)cudaGraphDestroy(graph);
    if (pb_failed(&status))
        pb_release(&recording);
    *recording_out = recording;
    return status;
}

/* *replayed stays false (the front has set it) where the scratch memory has moved. */
pb_status pb_cuda_replay(pb_device *device, const pb_recording *recording, bool *replayed) {
    const pb_cuda_state *state = pb_cuda_state_of(device);
    PB_TRY(pb_cuda_enter(device));
    if (recording->scratch != state->scratch.memory)
        return pb_ok();
    *replayed = true;
    return pb_cuda_check(device, cudaGraphLaunch(recording->graph, state->stream), "a batch");
}

void pb_cuda_recording_free(pb_device *device, pb_recording *recording) {
    (void)device;
    (void)cudaGraphExecDestroy(recording->graph);
    pb_release(&recording);
}
