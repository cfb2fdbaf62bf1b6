/* The "cuda" device: a GPU with the plugin's kernels, opened by its number: "cuda:0".
 *
 * Order of reading: how errors are told and memory is had (used by all of gpu/cuda/), the slots that are too small for a file of
 * their own, how devices are found, described and opened, and the table, which is what the plugin exports.
 *
 * One stream, `stream`, has all operations in their order; it is not CUDA's default stream, so that a batch can be captured
 * (ahead.c), and non-blocking, so that whatever else runs in the process does not wait for it or make it wait. Host memory from
 * pb_cuda_host_alloc is pinned; copies of other memory go through the driver's own buffers.
 *
 * Errors. A call reports what went wrong in a kernel before it, so messages name what was queued since the device was last waited
 * for (decision 0025). Lack of memory, or a call that is refused, is PB_E_SYSTEM and leaves the device usable; what a kernel has
 * done wrong CUDA repeats to the end of the process.
 */
#include "gpu/cuda/cuda.h"

#include "base/memory.h"
#ifdef PB_CUDNN
#include "gpu/cuda/network.h"
#endif
#include "gpu/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* CAPABILITY_LEAST: compute capability 8.0 (A100) is the first that the plugin is built for. LIBRARY_TEXT: characters of a
 * library's name and version. */
enum { CAPABILITY_LEAST = 8, BLOCKS_A_MULTIPROCESSOR = 4, LIBRARY_TEXT = 64 };

/* ---- errors and memory ---- */

/* An operation that comes round again, batch by batch, counts once, at its latest place. When the list is full the oldest one is
 * dropped. */
void pb_cuda_note(const pb_device *device, const char *name) {
    pb_cuda_queued *queued = &pb_cuda_state_of(device)->queued;
    int at = 0;
    /* Where it stands; at the end if there is room; else the oldest gives way. */
    while (at < queued->count && strcmp(queued->names[at], name) != 0)
        at++;
    if (at == queued->count && queued->count < PB_CUDA_QUEUED_MAX)
        queued->count++;
    else
        at = at == queued->count ? 0 : at;
    memmove(&queued->names[at], &queued->names[at + 1], (size_t)(queued->count - 1 - at) * sizeof *queued->names);
    queued->names[queued->count - 1] = name;
}

/* ", after project, copy on the device"; "" when nothing was queued. Cut where it does not fit. */
static void list_queued(const pb_cuda_queued *queued, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < queued->count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : ", after ", queued->names[i]);
}

/* CUDA tells later what goes wrong in a kernel, so the ones before are named. What is told here must not be told again by the
 * next launch, which asks for the last error: whoever is told may go on without what failed. A sticky error comes back by
 * itself. */
pb_status pb_cuda_call(const pb_device *device, cudaError_t error, const char *operation) {
    if (error == cudaSuccess)
        return pb_ok();
    char queued[240];
    (void)cudaGetLastError();
    list_queued(&pb_cuda_state_of(device)->queued, queued, sizeof queued);
    return pb_fail(PB_E_SYSTEM, "device %s: %s%s: %s (%s)", pb_cuda_state_of(device)->name, operation, queued,
                   cudaGetErrorString(error), cudaGetErrorName(error));
}

pb_status pb_cuda_check(const pb_device *device, cudaError_t error, const char *operation) {
    PB_TRY(pb_cuda_call(device, error, operation));
    pb_cuda_note(device, operation);
    return pb_ok();
}

pb_status pb_cuda_enter(const pb_device *device) {
    return pb_cuda_call(device, cudaSetDevice(pb_cuda_state_of(device)->ordinal), "taking the device");
}

/* Writes through the address of any object pointer: see base/memory.c. */
static void store(void *pointer, void *value) { memcpy(pointer, &value, sizeof value); }

/* With what is free, which another process on the GPU may have taken. */
static pb_status out_of_memory(const pb_device *device, size_t count, size_t size, const char *what) {
    size_t free_bytes = 0, total_bytes = 0;
    (void)cudaGetLastError(); /* as in pb_cuda_call */
    cudaError_t error = cudaMemGetInfo(&free_bytes, &total_bytes);
    return pb_fail(PB_E_SYSTEM, "device %s: out of memory: %s needs %zu times %zu bytes, %zu MiB of %zu MiB are free%s",
                   pb_cuda_state_of(device)->name, what, count, size, free_bytes >> 20, total_bytes >> 20,
                   error == cudaSuccess ? "" : ", as far as can be told");
}

/* cudaMalloc aligns to 256 bytes, which is more than PB_ALIGNMENT. */
pb_status pb_cuda_allocate(const pb_device *device, void *pointer_out, size_t count, size_t size, const char *what) {
    store(pointer_out, NULL);
    size_t bytes;
    void *memory = NULL;
    if (__builtin_mul_overflow(count, size, &bytes))
        return out_of_memory(device, count, size, what);
    cudaError_t error =
        cudaMalloc(&memory, bytes > 0 ? bytes : 1); /* CUDA's answer to 0 bytes is NULL, which means failure here */
    if (error == cudaErrorMemoryAllocation)
        return out_of_memory(device, count, size, what);
    PB_TRY(pb_cuda_call(device, error, what));
    store(pointer_out, memory);
    return pb_ok();
}

/* An error of cudaFree is an earlier launch's, and the next call tells it too. */
void pb_cuda_release(void *pointer_inout) {
    void *memory;
    memcpy(&memory, pointer_inout, sizeof memory);
    if (memory)
        (void)cudaFree(memory);
    store(pointer_inout, NULL);
}

/* Freed before it is allocated anew, so that the two are not there at once: contents are lost. The address may change, which
 * makes recordings stale (ahead.c). After an error the room is empty. */
pb_status pb_cuda_room_for(const pb_device *device, pb_cuda_room *room, size_t bytes, const char *what) {
    if (bytes <= room->bytes)
        return pb_ok();
    pb_cuda_release(&room->memory);
    room->bytes = 0;
    PB_TRY(pb_cuda_allocate(device, &room->memory, 1, bytes, what));
    room->bytes = bytes;
    return pb_ok();
}

/* Waits, so that host memory is free or filled on return; whatever was queued before is then done, and was not at fault. */
static pb_status copy(const pb_device *device, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                      const char *operation) {
    if (bytes == 0)
        return pb_ok();
    cudaStream_t stream = pb_cuda_state_of(device)->stream;
    PB_TRY(pb_cuda_call(device, cudaMemcpyAsync(to, from, bytes, kind, stream), operation));
    PB_TRY(pb_cuda_call(device, cudaStreamSynchronize(stream), operation));
    pb_cuda_state_of(device)->queued.count = 0;
    return pb_ok();
}

pb_status pb_cuda_upload(const pb_device *device, void *to_device, const void *from_host, size_t bytes) {
    return copy(device, to_device, from_host, bytes, cudaMemcpyHostToDevice, "copy to the device");
}

pb_status pb_cuda_download(const pb_device *device, void *to_host, const void *from_device, size_t bytes) {
    return copy(device, to_host, from_device, bytes, cudaMemcpyDeviceToHost, "copy from the device");
}

pb_status pb_cuda_move(const pb_device *device, void *to, const void *from, size_t bytes) {
    return pb_cuda_check(device, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, pb_cuda_state_of(device)->stream),
                         "copy on the device");
}

pb_status pb_cuda_set(const pb_device *device, void *memory, int byte, size_t bytes) {
    return pb_cuda_check(device, cudaMemsetAsync(memory, byte, bytes, pb_cuda_state_of(device)->stream), "setting memory");
}

/* ---- the slots ---- */

/* Contract: pb_device_alloc; as of all functions below, gpu/device.h. */
static pb_status cuda_alloc(pb_device *device, size_t bytes, void **pointer, const char *what) {
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_allocate(device, pointer, bytes, 1, what);
}

static void cuda_release(pb_device *device, void *pointer) {
    (void)device;
    pb_cuda_release(&pointer);
}

static pb_status cuda_upload(pb_device *device, void *to_device, const void *from_host, size_t bytes) {
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_upload(device, to_device, from_host, bytes);
}

static pb_status cuda_download(pb_device *device, void *to_host, const void *from_device, size_t bytes) {
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_download(device, to_host, from_device, bytes);
}

/* Queued, like every copy within the device. */
static pb_status cuda_copy_block(pb_device *device, void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                                 size_t height) {
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_check(device,
                         cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, cudaMemcpyDeviceToDevice,
                                           pb_cuda_state_of(device)->stream),
                         "copy of a block");
}

static pb_status cuda_unit_rows(pb_device *device, float *rows, size_t n, int dim) {
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_check(device, pb_cuda_unit_rows(pb_cuda_state_of(device)->stream, rows, n, dim), "unit_rows");
}

static pb_status cuda_project(pb_device *device, const float *rows, size_t n, int dim, const float *matrix, int out_dim,
                              float *out) {
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_check(device, pb_cuda_project(pb_cuda_state_of(device)->stream, rows, n, dim, matrix, out_dim, out),
                         "project");
}

/* Reads "0". Returns false for anything else. */
static bool read_name(const char *which, int *ordinal) {
    char *end;
    if (!which || which[0] < '0' || which[0] > '9')
        return false;
    unsigned long number = strtoul(which, &end, 10);
    *ordinal = number > 1023 ? -1 : (int)number;
    return *ordinal >= 0 && *end == '\0';
}

/* *count: how many devices there are; why there are none in `trouble`. PB_E_UNSUPPORTED where there is nothing to count,
 * PB_E_SYSTEM where counting failed, as it does when a GPU has fallen off its bus: another node, or this one later, may do. */
static pb_code count_devices(int *count, char *trouble, size_t size) {
    *count = 0;
    snprintf(trouble, size, "%s", pb_cuda_no_driver());
    if (trouble[0])
        return PB_E_UNSUPPORTED;
    cudaError_t error = cudaGetDeviceCount(count);
    if (error != cudaSuccess) {
        *count = 0;
        snprintf(trouble, size, "no device: %s", cudaGetErrorString(error));
        return error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver ? PB_E_UNSUPPORTED : PB_E_SYSTEM;
    }
    if (*count == 0)
        snprintf(trouble, size, "no device");
    return *count == 0 ? PB_E_UNSUPPORTED : PB_OK;
}

/* Name, compute capability, memory and driver; *usable: whether the plugin has kernels for it. A GPU that is broken is no reason
 * for another one's launches to fail. */
static cudaError_t describe(int ordinal, struct cudaDeviceProp *properties, char *text, size_t size, bool *usable) {
    int driver = 0;
    cudaError_t error = cudaDriverGetVersion(&driver);
    if (error == cudaSuccess)
        error = cudaGetDeviceProperties(properties, ordinal);
    *usable = error == cudaSuccess && properties->major >= CAPABILITY_LEAST;
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        snprintf(text, size, "%s", cudaGetErrorString(error));
        return error;
    }
    snprintf(text, size, "%s, compute capability %d.%d%s, %zu MiB, driver for CUDA %d.%d", properties->name,
             properties->major, properties->minor, *usable ? "" : " (8.0 is the least)", properties->totalGlobalMem >> 20,
             driver / 1000, driver % 1000 / 10);
    return error;
}

/* Devices that cannot be used are listed too, with the reason. */
static void cuda_each(pb_device_visitor *visit, void *context) {
    char text[400];
    int count;
    if (count_devices(&count, text, sizeof text) != PB_OK)
        visit(context, "cuda", false, text);
    for (int d = 0; d < count; d++) {
        struct cudaDeviceProp properties;
        char name[32];
        bool usable;
        (void)describe(d, &properties, text, sizeof text, &usable); /* its trouble is in the text */
        snprintf(name, sizeof name, "cuda:%d", d);
        visit(context, name, usable, text);
    }
}

/* What networks are computed by, for pb_device_arithmetic. */
static const char *network_library(char text[LIBRARY_TEXT]) {
    snprintf(text, LIBRARY_TEXT, "no cuDNN");
#ifdef PB_CUDNN
    pb_status status = pb_cuda_network_library(text);
    if (pb_failed(&status))
        snprintf(text, LIBRARY_TEXT, "no cuDNN");
#endif
    return text;
}

/* Fills the state of device number `ordinal`, which has been found usable. filter_least is a matter of speed only. identity is
 * the UUID, by which ranks on one host find that they share a GPU; arithmetic names what decides the bits of cuDNN's plans: model
 * by its capability and size, and the library. */
static pb_status begin(pb_device *device, int ordinal, const struct cudaDeviceProp *properties, const char *text) {
    pb_cuda_state *state = pb_cuda_state_of(device);
    char library[LIBRARY_TEXT];
    state->ordinal = ordinal;
    state->scratch_most = (size_t)256 << 20;
    state->filter_least = (size_t)1 << 30; /* 72 us of canonical distances on an H100 */
    state->blocks = properties->multiProcessorCount * BLOCKS_A_MULTIPROCESSOR;
    for (size_t b = 0; b < sizeof properties->uuid.bytes; b++)
        snprintf(device->identity + 2 * b, 3, "%02x", (unsigned char)properties->uuid.bytes[b]);
    char node[64] = "";
    (void)gethostname(node, sizeof node - 1); /* its trouble is an empty name */
    snprintf(state->name, sizeof state->name, "cuda:%d (%.200s, GPU-%.8s, node %s)", ordinal, properties->name,
             device->identity, node);
    snprintf(device->description, sizeof device->description, "cuda:%d: %.140s", ordinal, text);
    snprintf(device->arithmetic, sizeof device->arithmetic, "cuda: compute capability %d.%d, %d multiprocessors, %.40s",
             properties->major, properties->minor, properties->multiProcessorCount, network_library(library));
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(pb_cuda_call(device, cudaStreamCreateWithFlags(&state->stream, cudaStreamNonBlocking), "making a stream"));
    return pb_cuda_ahead_open(device);
}

/* Takes a device that was opened in part. */
static void end(pb_device *device) {
    pb_cuda_state *state = pb_cuda_state_of(device);
    pb_cuda_ahead_close(device);
    if (state->stream)
        (void)cudaStreamDestroy(state->stream);
    pb_cuda_release(&state->scratch.memory);
    pb_release(&device->state);
}

/* Every reason why not is told with the name that was asked for. PB_E_UNSUPPORTED where this machine never will, PB_E_SYSTEM
 * where it may another time. */
static pb_status cuda_open(pb_device *device, const char *which) {
    int ordinal;
    char text[400];
    struct cudaDeviceProp properties;
    bool usable;
    if (!read_name(which, &ordinal))
        return pb_fail(PB_E_USAGE, "device cuda%s%s: say which by its number, as cuda:0; patchbank devices lists them",
                       which ? ":" : "", which ? which : "");
    int count;
    const pb_code counted = count_devices(&count, text, sizeof text);
    if (counted != PB_OK)
        return pb_fail(counted, "device cuda:%d: %s", ordinal, text);
    if (ordinal >= count)
        return pb_fail(PB_E_UNSUPPORTED, "device cuda:%d: there are %d, from cuda:0 on", ordinal, count);
    cudaError_t error = describe(ordinal, &properties, text, sizeof text, &usable);
    if (!usable)
        return pb_fail(error == cudaSuccess ? PB_E_UNSUPPORTED : PB_E_SYSTEM, "device cuda:%d: %s", ordinal, text);
    PB_TRY(pb_allocate(&device->state, 1, sizeof(pb_cuda_state), "the cuda device"));
    pb_status status = begin(device, ordinal, &properties, text);
    if (pb_failed(&status))
        end(device);
    return status;
}

/* Slots left out answer PB_E_UNSUPPORTED: networks without cuDNN's headers at build time. */
static const pb_device_table TABLE = {
    .version = PB_DEVICE_TABLE_VERSION,
    .kind = "cuda",
    .log_to = pb_log_forward,
    .each = cuda_each,
    .open = cuda_open,
    .close = end,
    .alloc = cuda_alloc,
    .release = cuda_release,
    .upload = cuda_upload,
    .download = cuda_download,
    .copy_block = cuda_copy_block,
#ifdef PB_CUDNN
    .compile = pb_cuda_compile,
    .compiled_free = pb_cuda_compiled_free,
    .run = pb_cuda_run,
#endif
    .patch_features = pb_cuda_patch_features,
    .patchcore_features = pb_cuda_patchcore_features,
    .unit_rows = cuda_unit_rows,
    .project = cuda_project,
    .smooth_maps = pb_cuda_smooth_maps,
    .points_create = pb_cuda_points_create,
    .points_free = pb_cuda_points_free,
    .points_write = pb_cuda_points_store,
    .points_read = pb_cuda_points_read,
    .points_clear = pb_cuda_points_clear,
    .greedy_step = pb_cuda_points_step,
    .nearest = pb_cuda_points_nearest,
    .cover_create = pb_cuda_cover_create,
    .cover_free = pb_cuda_cover_free,
    .cover_write = pb_cuda_cover_write,
    .cover_place = pb_cuda_cover_place,
    .cover_read = pb_cuda_cover_read,
    .cover_add = pb_cuda_cover_add,
    .cover_refresh = pb_cuda_cover_refresh,
    .cover_settle = pb_cuda_cover_settle,
    .cover_key = pb_cuda_cover_key,
    .cover_raise = pb_cuda_cover_raise,
    .cover_candidates = pb_cuda_cover_candidates,
    .cover_select = pb_cuda_cover_select,
    .cover_update = pb_cuda_cover_update,
    .has_peers = pb_cuda_has_peers,
    .peers_id = pb_cuda_peers_id,
    .peers_join = pb_cuda_peers_join,
    .peers_leave = pb_cuda_peers_leave,
    .peers_max_u64 = pb_cuda_peers_max_u64,
    .peers_allgather = pb_cuda_peers_allgather,
    .peers_broadcast = pb_cuda_peers_broadcast,
    .peers_exchange = pb_cuda_peers_exchange,
    .host_alloc = pb_cuda_host_alloc,
    .host_release = pb_cuda_host_release,
    .send = pb_cuda_send,
    .arrive = pb_cuda_arrive,
    .spent = pb_cuda_spent,
    .sent = pb_cuda_sent,
    .record_begin = pb_cuda_record_begin,
    .record_end = pb_cuda_record_end,
    .replay = pb_cuda_replay,
    .recording_free = pb_cuda_recording_free,
};

/* The plugin's one visible symbol (export.map, gpu/plugin.h). */
const pb_device_table *pb_device_plugin(void) { return &TABLE; }
