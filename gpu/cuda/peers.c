/* The exchange among GPUs, over NCCL. Contract: gpu/peers.h.
 *
 * NCCL's calls only begin things here (a communicator that does not block), and CUDA's stream ends them; both are asked again and
 * again, so that a peer that never comes costs the time limit and not the job. Synchronizing the stream would wait for ever.
 *
 * Every exchange is begin (has the group ended?), one call or group of calls of NCCL, finish (settle, then wait_for_stream).
 * settle asks the communicator until the call is no longer in progress; wait_for_stream asks the event behind it on the stream,
 * and the communicator, which may learn of a lost peer while the stream waits for it for ever. Whichever fails first, or the
 * limit, ends the group: it is aborted, which lets go of the stream, and `first` answers every later call (decision 0022). So no
 * rank waits longer than the limit, and all meet in the caller's next pb_agree.
 */
#include "gpu/cuda/cuda.h"
#include "gpu/cuda/nccl.h"

#include "base/clock.h"
#include "base/memory.h"

#include <string.h>
#include <time.h>

/* A group, seen from one rank. */
struct pb_peers {
    const pb_nccl *nccl;
    pb_nccl_comm comm; /* NULL: the group has ended */
    cudaEvent_t done;  /* of the stream, after an exchange */
    int rank, size;
    double limit_s;
    pb_status first; /* the failure that ended the group */
};

/* An all-reduce takes some 20 us on one host: so long it is asked without a pause, and then not so often that it takes a core. */
static const double EAGER_S = 200e-6;
static const struct timespec PAUSE = {.tv_nsec = 50000};

/* Aborting lets go of the stream, which may be waiting for a peer, and tells the peers, as far as they can be reached. */
static pb_status end_group(pb_peers *peers, pb_status failure) {
    if (peers->comm)
        (void)peers->nccl->CommAbort(peers->comm);
    peers->comm = NULL;
    peers->first = failure;
    return failure;
}

/* Which device, which operation, which rank: what a log of many ranks needs. */
static pb_status nccl_failure(const pb_device *device, const pb_peers *peers, pb_nccl_result result, const char *operation) {
    return pb_fail(PB_E_SYSTEM, "device %s: NCCL %s, rank %d of %d: %s", pb_cuda_state_of(device)->name, operation, peers->rank,
                   peers->size, peers->nccl->GetErrorString(result));
}

/* The one failure without a code of NCCL's. */
static pb_status too_late(const pb_device *device, const pb_peers *peers, const char *operation) {
    return pb_fail(PB_E_SYSTEM, "device %s: NCCL %s, rank %d of %d: not done within %g s: a rank does not take part, or failed",
                   pb_cuda_state_of(device)->name, operation, peers->rank, peers->size, peers->limit_s);
}

/* Between two questions. Whether the limit has been passed. */
static bool waits_too_long(const pb_peers *peers, double since) {
    const double waited = pb_clock_seconds() - since;
    if (waited > EAGER_S)
        nanosleep(&PAUSE, NULL);
    return peers->limit_s > 0 && waited > peers->limit_s;
}

/* What a call of NCCL comes to: its result, or, where it is still in progress, the communicator's when it is not any more. */
static pb_status settle(const pb_device *device, const pb_peers *peers, pb_nccl_result result, const char *operation) {
    const double since = pb_clock_seconds();
    while (result == PB_NCCL_IN_PROGRESS) {
        pb_nccl_result state = PB_NCCL_SUCCESS;
        result = peers->nccl->CommGetAsyncError(peers->comm, &state);
        if (result == PB_NCCL_SUCCESS)
            result = state;
        if (result == PB_NCCL_IN_PROGRESS && waits_too_long(peers, since))
            return too_late(device, peers, operation);
    }
    return result == PB_NCCL_SUCCESS ? pb_ok() : nccl_failure(device, peers, result, operation);
}

/* Waits for what has been queued, and for the communicator to find that a peer is lost, whichever is first. */
static pb_status wait_for_stream(const pb_device *device, const pb_peers *peers, const char *operation) {
    const double since = pb_clock_seconds();
    PB_TRY(pb_cuda_check(device, cudaEventRecord(peers->done, pb_cuda_state_of(device)->stream), operation));
    for (;;) {
        cudaError_t error = cudaEventQuery(peers->done);
        if (error != cudaErrorNotReady)
            return pb_cuda_call(device, error, operation);
        (void)cudaGetLastError(); /* not an error, but it would be told as one by the next launch */
        pb_nccl_result state = PB_NCCL_SUCCESS, asked = peers->nccl->CommGetAsyncError(peers->comm, &state);
        if (asked != PB_NCCL_SUCCESS || (state != PB_NCCL_SUCCESS && state != PB_NCCL_IN_PROGRESS))
            return nccl_failure(device, peers, asked != PB_NCCL_SUCCESS ? asked : state, operation);
        if (waits_too_long(peers, since))
            return too_late(device, peers, operation);
    }
}

/* The end of every exchange: `result` is that of NCCL's last call. */
static pb_status finish(const pb_device *device, pb_peers *peers, pb_nccl_result result, const char *operation) {
    pb_status status = settle(device, peers, result, operation);
    if (!pb_failed(&status))
        status = wait_for_stream(device, peers, operation);
    return pb_failed(&status) ? end_group(peers, status) : status;
}

/* The beginning of every exchange. */
static pb_status begin(const pb_device *device, pb_peers *peers) {
    if (!peers->comm)
        return peers->first;
    pb_status status = pb_cuda_enter(device);
    return pb_failed(&status) ? end_group(peers, status) : status;
}

bool pb_cuda_has_peers(const pb_device *device, const char **why_not) {
    (void)device;
    return pb_nccl_library(why_not) != NULL;
}

/* To be called on one rank; the caller brings the bytes to the others. */
pb_status pb_cuda_peers_id(pb_device *device, pb_peers_id *id) {
    const char *why_not;
    const pb_nccl *nccl = pb_nccl_library(&why_not);
    pb_nccl_id made = {{0}};
    _Static_assert(sizeof made.bytes == sizeof id->bytes, "an id is NCCL's");
    if (!nccl)
        return pb_fail(PB_E_UNSUPPORTED, "device %s: %s", pb_cuda_state_of(device)->name, why_not);
    PB_TRY(pb_cuda_enter(device));
    pb_nccl_result result = nccl->GetUniqueId(&made);
    if (result != PB_NCCL_SUCCESS)
        return pb_fail(PB_E_SYSTEM, "device %s: NCCL id of a group: %s", pb_cuda_state_of(device)->name,
                       nccl->GetErrorString(result));
    memcpy(id->bytes, made.bytes, sizeof made.bytes);
    return pb_ok();
}

/* NCCL's own waiting for the other ranks happens in here, within the limit. The event has no timing, which makes asking
 * cheaper. */
static pb_status connect_all(pb_device *device, const pb_peers_id *id, pb_peers *peers) {
    pb_nccl_id group;
    pb_nccl_config config = PB_NCCL_CONFIG;
    memcpy(group.bytes, id->bytes, sizeof group.bytes);
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(pb_cuda_call(device, cudaEventCreateWithFlags(&peers->done, cudaEventDisableTiming), "making an event"));
    return settle(device, peers, peers->nccl->CommInitRankConfig(&peers->comm, peers->size, group, peers->rank, &config),
                  "start");
}

/* After an error nothing is left: the communicator is aborted and the group freed. */
pb_status pb_cuda_peers_join(pb_device *device, const pb_peers_id *id, int rank, int size, double limit_s, pb_peers **peers) {
    const char *why_not;
    const pb_nccl *nccl = pb_nccl_library(&why_not);
    if (!nccl)
        return pb_fail(PB_E_UNSUPPORTED, "device %s: %s", pb_cuda_state_of(device)->name, why_not);
    PB_TRY(pb_allocate(peers, 1, sizeof **peers, "a group of devices"));
    **peers = (pb_peers){.nccl = nccl, .rank = rank, .size = size, .limit_s = limit_s};
    pb_status status = connect_all(device, id, *peers);
    if (pb_failed(&status)) {
        status = end_group(*peers, status);
        pb_cuda_peers_leave(device, *peers);
        *peers = NULL;
    }
    return status;
}

/* A group that works ends in order: what is queued has been waited for, and the others need not be, so an error here is nobody's
 * trouble any more. */
void pb_cuda_peers_leave(pb_device *device, pb_peers *peers) {
    if (peers->comm) {
        pb_status status = settle(device, peers, peers->nccl->CommFinalize(peers->comm), "end");
        (void)(pb_failed(&status) ? peers->nccl->CommAbort(peers->comm) : peers->nccl->CommDestroy(peers->comm));
    }
    if (peers->done)
        (void)cudaEventDestroy(peers->done);
    pb_release(&peers);
}

/* In place; maxima of packed pairs know no order (invariant 2). */
pb_status pb_cuda_peers_max_u64(pb_device *device, pb_peers *peers, uint64_t *value) {
    PB_TRY(begin(device, peers));
    cudaStream_t stream = pb_cuda_state_of(device)->stream;
    return finish(device, peers, peers->nccl->AllReduce(value, value, 1, PB_NCCL_UINT64, PB_NCCL_MAX, peers->comm, stream),
                  "all-reduce");
}

pb_status pb_cuda_peers_broadcast(pb_device *device, pb_peers *peers, void *buffer, size_t bytes, int root) {
    PB_TRY(begin(device, peers));
    if (bytes == 0)
        return pb_ok();
    cudaStream_t stream = pb_cuda_state_of(device)->stream;
    return finish(device, peers, peers->nccl->Broadcast(buffer, buffer, bytes, PB_NCCL_UINT8, root, peers->comm, stream),
                  "broadcast");
}

/* Keeps the first result that is a failure. In a group calls only note what is wanted, and its end must come all the same. */
static void note(pb_nccl_result *kept, pb_nccl_result next) {
    if (*kept == PB_NCCL_SUCCESS || *kept == PB_NCCL_IN_PROGRESS)
        *kept = next;
}

/* NCCL's own all-gather knows parts of one size only; a broadcast a rank, all in one launch, knows any. */
pb_status pb_cuda_peers_allgather(pb_device *device, pb_peers *peers, const void *part, const size_t *sizes, void *all) {
    PB_TRY(begin(device, peers));
    const pb_nccl *nccl = peers->nccl;
    cudaStream_t stream = pb_cuda_state_of(device)->stream;
    pb_nccl_result result = nccl->GroupStart();
    if (result != PB_NCCL_SUCCESS)
        return end_group(peers, nccl_failure(device, peers, result, "start of an all-gather"));
    char *at = all;
    for (int r = 0; r < peers->size; at += sizes[r++])
        if (sizes[r] > 0)
            note(&result, nccl->Broadcast(r == peers->rank ? part : at, at, sizes[r], PB_NCCL_UINT8, r, peers->comm, stream));
    note(&result, nccl->GroupEnd());
    return finish(device, peers, result, "all-gather");
}

/* Send and receive in one group: apart they would wait for each other around a ring. */
pb_status pb_cuda_peers_exchange(pb_device *device, pb_peers *peers, const void *send, size_t send_bytes, int to, void *receive,
                                 size_t receive_bytes, int from) {
    PB_TRY(begin(device, peers));
    const pb_nccl *nccl = peers->nccl;
    cudaStream_t stream = pb_cuda_state_of(device)->stream;
    pb_nccl_result result = nccl->GroupStart();
    if (result != PB_NCCL_SUCCESS)
        return end_group(peers, nccl_failure(device, peers, result, "start of an exchange"));
    if (send_bytes > 0)
        note(&result, nccl->Send(send, send_bytes, PB_NCCL_UINT8, to, peers->comm, stream));
    if (receive_bytes > 0)
        note(&result, nccl->Recv(receive, receive_bytes, PB_NCCL_UINT8, from, peers->comm, stream));
    note(&result, nccl->GroupEnd());
    return finish(device, peers, result, "exchange");
}
