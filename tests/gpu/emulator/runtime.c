/* CUDA's runtime API on the emulated device. */
#include "cuda_runtime_api.h"

#include "emulator.h"
#include "inside.h"

#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    bool (*advance)(void *context);
    void *context;
} awaited;

static struct {
    int count, error;
} devices = {1, cudaSuccess};

static int current = -1, identity;
static cudaError_t last_error, sticky_error;
static bool not_ready; /* and nobody asked for the last error since */

static struct {
    size_t calls, due;
    cudaError_t error;
} injected;

static struct {
    uint64_t *ways;
    size_t room;
} noted;

size_t emulator_fail(size_t call, int error) {
    const size_t calls = injected.calls;
    injected.calls = 0;
    injected.due = call;
    injected.error = (cudaError_t)error;
    return calls;
}

void emulator_devices(int count, int error) {
    devices.count = count;
    devices.error = error;
}

void emulator_identity(int byte) { identity = byte; }

void emulator_wait_for(bool (*advance)(void *context), void *context) {
    awaited.advance = advance;
    awaited.context = context;
}

bool emulator_is_busy(void) {
    if (awaited.advance && awaited.advance(awaited.context))
        awaited.advance = NULL;
    return awaited.advance != NULL;
}

static size_t host_allocations;
size_t emulator_launches, emulator_kernels;

size_t emulator_living(void) { return emulator_taken() + emulator_open() + host_allocations; }

void emulator_set_error(int error, bool sticky) {
    last_error = (cudaError_t)error;
    if (sticky)
        sticky_error = last_error;
}

cudaError_t emulator_result(cudaError_t error) {
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

/* A number for the way that led to this call: equal for calls of one loop, other for each other place of a program. */
static uint64_t way_here(void) {
    void *frames[64];
    const int count = backtrace(frames, 64);
    uint64_t hash = 14695981039346656037u; /* FNV-1a, a frame a step */
    for (int i = 0; i < count; i++)
        hash = (hash ^ (uint64_t)(uintptr_t)frames[i]) * 1099511628211u;
    return hash;
}

void emulator_note_ways(uint64_t *ways, size_t room) {
    noted.ways = ways;
    noted.room = room;
}

/* Counts a call; whether it is the one that fails. */
static bool is_due(void) {
    if (injected.calls < noted.room)
        noted.ways[injected.calls] = way_here();
    return ++injected.calls == injected.due;
}

cudaError_t emulator_call(void) {
    if (is_due())
        return emulator_result(injected.error);
    return emulator_result(sticky_error);
}

cudaError_t cudaGetDeviceCount(int *count) {
    EMULATOR_CALL();
    *count = devices.count;
    return emulator_result((cudaError_t)devices.error);
}

/* The second device is one for which there are no kernels. */
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int ordinal) {
    EMULATOR_CALL();
    if (ordinal < 0 || ordinal >= devices.count)
        return emulator_result(cudaErrorInvalidDevice);
    *properties = (struct cudaDeviceProp){.totalGlobalMem = (size_t)1 << 34, .major = ordinal == 1 ? 7 : 9, .minor = 0,
                                          .multiProcessorCount = 3};
    snprintf(properties->name, sizeof properties->name, "Emulator");
    memset(&properties->uuid, identity + ordinal, sizeof properties->uuid);
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
    EMULATOR_CALL();
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int ordinal) {
    EMULATOR_CALL();
    if (ordinal < 0 || ordinal >= devices.count)
        return emulator_result(cudaErrorInvalidDevice);
    current = ordinal;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
    EMULATOR_CALL();
    *free_bytes = (size_t)1 << 33;
    *total_bytes = (size_t)1 << 34;
    return cudaSuccess;
}

cudaError_t emulator_work(void) {
    if (emulator_is_busy())
        emulator_fault("work on a stream that waits");
    return emulator_call();
}

bool emulator_has_device(void) {
    if (current < 0)
        emulator_fault("a call before cudaSetDevice");
    return current >= 0;
}

cudaError_t cudaMalloc(void **pointer, size_t bytes) {
    if (emulator_spoils_capture())
        return emulator_result(cudaErrorStreamCaptureUnsupported);
    EMULATOR_CALL();
    if (!emulator_has_device())
        return emulator_result(cudaErrorInvalidDevice);
    *pointer = emulator_take(bytes, false);
    return *pointer ? cudaSuccess : emulator_result(cudaErrorMemoryAllocation);
}

/* Waits for the device, as CUDA does, which nothing that is captured may. */
cudaError_t cudaFree(void *pointer) {
    if (emulator_spoils_capture())
        return emulator_result(cudaErrorStreamCaptureUnsupported);
    emulator_finish();
    if (pointer)
        emulator_give(pointer);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned flags) {
    if (emulator_spoils_capture())
        return emulator_result(cudaErrorStreamCaptureUnsupported);
    EMULATOR_CALL();
    if (flags != cudaHostAllocDefault || !emulator_has_device())
        return emulator_result(cudaErrorInvalidValue);
    if (bytes > (size_t)1 << 40 || posix_memalign(pointer, 256, bytes) != 0)
        return emulator_result(cudaErrorMemoryAllocation);
    memset(*pointer, 0xFF, bytes);
    host_allocations++;
    return cudaSuccess;
}

cudaError_t cudaFreeHost(void *pointer) {
    emulator_finish();
    host_allocations -= pointer != NULL;
    free(pointer);
    return cudaSuccess;
}

/* A copy, or memory that is set (from NULL). */
typedef struct transfer {
    void *to;
    const void *from;
    size_t to_pitch, from_pitch, width, height;
    int byte;
} transfer;

static void do_transfer(void *data) {
    const transfer *t = data;
    for (size_t i = 0; i < t->height; i++)
        if (t->from)
            memcpy((char *)t->to + i * t->to_pitch, (const char *)t->from + i * t->from_pitch, t->width);
        else
            memset(t->to, t->byte, t->width);
}

static cudaError_t queue_transfer(transfer t, cudaStream_t stream) {
    emulator_queue(stream, do_transfer, &t, sizeof t);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    EMULATOR_WORK();
    const bool to_device = kind != cudaMemcpyDeviceToHost, from_device = kind != cudaMemcpyHostToDevice;
    if (bytes == 0)
        return cudaSuccess;
    if (emulator_has(to, bytes) != to_device || emulator_has(from, bytes) != from_device) {
        emulator_fault("a copy of %zu bytes past the end, or the wrong way", bytes);
        return emulator_result(cudaErrorInvalidValue);
    }
    return queue_transfer((transfer){.to = to, .from = from, .width = bytes, .height = 1}, stream);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                              enum cudaMemcpyKind kind, cudaStream_t stream) {
    EMULATOR_WORK();
    const bool empty = width == 0 || height == 0, device = kind == cudaMemcpyDeviceToDevice;
    if (!device || to_pitch < width || from_pitch < width ||
        (!empty && !emulator_has(to, (height - 1) * to_pitch + width)) ||
        (!empty && !emulator_has(from, (height - 1) * from_pitch + width))) {
        emulator_fault("a copy of %zu times %zu bytes past the end", height, width);
        return emulator_result(cudaErrorInvalidValue);
    }
    if (empty)
        return cudaSuccess;
    return queue_transfer((transfer){to, from, to_pitch, from_pitch, width, height, 0}, stream);
}

cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream) {
    EMULATOR_WORK();
    if (!emulator_has(to, bytes)) {
        emulator_fault("sets %zu bytes past the end", bytes);
        return emulator_result(cudaErrorInvalidValue);
    }
    return queue_transfer((transfer){.to = to, .width = bytes, .height = 1, .byte = byte}, stream);
}

/* CUDA, too, leaves "not ready" behind as the last error. */
cudaError_t emulator_not_ready(void) {
    not_ready = true;
    return emulator_result(cudaErrorNotReady);
}

cudaError_t cudaGetLastError(void) {
    if (not_ready) {
        not_ready = false;
        last_error = sticky_error;
        return cudaErrorNotReady;
    }
    if (is_due())
        return injected.error;
    cudaError_t error = last_error;
    last_error = sticky_error;
    return error;
}

const char *cudaGetErrorName(cudaError_t error) {
    return error == cudaSuccess ? "cudaSuccess" : error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" :
           error == cudaErrorIllegalAddress ? "cudaErrorIllegalAddress" : "cudaError";
}

const char *cudaGetErrorString(cudaError_t error) {
    return error == cudaErrorMemoryAllocation ? "out of memory"
           : error == cudaErrorNoDevice       ? "no CUDA-capable device is detected"
                                              : "an emulated error";
}
