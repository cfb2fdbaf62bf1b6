/* CUDA's runtime API on the emulated device. */
#include "cuda_runtime_api.h"

#include "emulator.h"
#include "inside.h"

#include <stdio.h>
#include <string.h>

enum { STREAMS = 8, EVENTS = 8 };
static char streams[STREAMS], events[EVENTS];

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

size_t emulator_living(void) {
    size_t count = emulator_taken();
    for (int s = 0; s < STREAMS; s++)
        count += streams[s] != 0;
    for (int e = 0; e < EVENTS; e++)
        count += events[e] != 0;
    return count;
}

void emulator_set_error(int error, bool sticky) {
    last_error = (cudaError_t)error;
    if (sticky)
        sticky_error = last_error;
}

static cudaError_t result(cudaError_t error) {
    if (error != cudaSuccess)
        last_error = error;
    return error;
}

/* Counts a call, and says what it must fail with. */
static cudaError_t begin(void) {
    if (++injected.calls == injected.due)
        return result(injected.error);
    return result(sticky_error);
}

#define BEGIN()                          \
    do {                                 \
        cudaError_t begun_ = begin();    \
        if (begun_ != cudaSuccess)       \
            return begun_;               \
    } while (0)

cudaError_t cudaGetDeviceCount(int *count) {
    BEGIN();
    *count = devices.count;
    return result((cudaError_t)devices.error);
}

/* The second device is one for which there are no kernels. */
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int ordinal) {
    BEGIN();
    if (ordinal < 0 || ordinal >= devices.count)
        return result(cudaErrorInvalidDevice);
    *properties = (struct cudaDeviceProp){.totalGlobalMem = (size_t)1 << 34, .major = ordinal == 1 ? 7 : 9, .minor = 0,
                                          .multiProcessorCount = 3};
    snprintf(properties->name, sizeof properties->name, "Emulator");
    memset(&properties->uuid, identity + ordinal, sizeof properties->uuid);
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) {
    BEGIN();
    *version = 13000;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int ordinal) {
    BEGIN();
    if (ordinal < 0 || ordinal >= devices.count)
        return result(cudaErrorInvalidDevice);
    current = ordinal;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
    BEGIN();
    *free_bytes = (size_t)1 << 33;
    *total_bytes = (size_t)1 << 34;
    return cudaSuccess;
}

/* Counts work on a stream, which must have nothing to wait for. */
static cudaError_t begin_work(void) {
    if (emulator_is_busy())
        emulator_fault("work on a stream that waits");
    return begin();
}

#define BEGIN_WORK()                       \
    do {                                   \
        cudaError_t begun_ = begin_work(); \
        if (begun_ != cudaSuccess)         \
            return begun_;                 \
    } while (0)

static bool no_device(void) {
    if (current < 0)
        emulator_fault("a call before cudaSetDevice");
    return current < 0;
}

cudaError_t cudaMalloc(void **pointer, size_t bytes) {
    BEGIN();
    if (no_device())
        return result(cudaErrorInvalidDevice);
    *pointer = emulator_take(bytes, false);
    return *pointer ? cudaSuccess : result(cudaErrorMemoryAllocation);
}

cudaError_t cudaFree(void *pointer) {
    if (pointer)
        emulator_give(pointer);
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    (void)stream;
    BEGIN_WORK();
    const bool to_device = kind != cudaMemcpyDeviceToHost, from_device = kind != cudaMemcpyHostToDevice;
    if (bytes == 0)
        return cudaSuccess;
    if (emulator_has(to, bytes) != to_device || emulator_has(from, bytes) != from_device) {
        emulator_fault("a copy of %zu bytes past the end, or the wrong way", bytes);
        return result(cudaErrorInvalidValue);
    }
    memcpy(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                              enum cudaMemcpyKind kind, cudaStream_t stream) {
    (void)stream;
    BEGIN_WORK();
    const bool empty = width == 0 || height == 0, device = kind == cudaMemcpyDeviceToDevice;
    if (!device || to_pitch < width || from_pitch < width ||
        (!empty && !emulator_has(to, (height - 1) * to_pitch + width)) ||
        (!empty && !emulator_has(from, (height - 1) * from_pitch + width))) {
        emulator_fault("a copy of %zu times %zu bytes past the end", height, width);
        return result(cudaErrorInvalidValue);
    }
    for (size_t i = 0; i < height && width > 0; i++)
        memcpy((char *)to + i * to_pitch, (const char *)from + i * from_pitch, width);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream) {
    (void)stream;
    BEGIN_WORK();
    if (!emulator_has(to, bytes)) {
        emulator_fault("sets %zu bytes past the end", bytes);
        return result(cudaErrorInvalidValue);
    }
    memset(to, byte, bytes);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    BEGIN();
    for (int s = 0; s < STREAMS && flags == cudaStreamNonBlocking && !no_device(); s++)
        if (!streams[s]) {
            streams[s] = 1;
            *stream = (cudaStream_t)(void *)&streams[s];
            return cudaSuccess;
        }
    return result(cudaErrorInvalidValue);
}

bool emulator_is_stream(const void *stream) {
    const char *at = stream;
    return !stream || (at >= streams && at < streams + STREAMS && *at);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    *(char *)(void *)stream = 0;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    (void)stream;
    BEGIN_WORK();
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    BEGIN();
    for (int e = 0; e < EVENTS && flags == cudaEventDisableTiming && !no_device(); e++)
        if (!events[e]) {
            events[e] = 1;
            *event = (cudaEvent_t)(void *)&events[e];
            return cudaSuccess;
        }
    return result(cudaErrorInvalidValue);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    *(char *)(void *)event = 0;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    BEGIN();
    return *(char *)(void *)event && emulator_is_stream(stream) ? cudaSuccess : result(cudaErrorInvalidValue);
}

/* CUDA, too, leaves "not ready" behind as the last error. */
cudaError_t cudaEventQuery(cudaEvent_t event) {
    not_ready = *(char *)(void *)event && emulator_is_busy();
    if (not_ready)
        return result(cudaErrorNotReady);
    BEGIN();
    return cudaSuccess;
}

cudaError_t cudaGetLastError(void) {
    if (not_ready) {
        not_ready = false;
        last_error = sticky_error;
        return cudaErrorNotReady;
    }
    if (++injected.calls == injected.due)
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
