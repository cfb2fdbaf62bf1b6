/* cuda.h: private to gpu/cuda/: the parts of the "cuda" device, which fill the slots of its table (device.c). Contracts:
 * gpu/device.h, gpu/cover.h.
 *   device.c    the table; devices are opened and listed; memory and copies
 *   driver.c    whether there is a driver at all
 *   ahead.c     copies beside kernels, and recordings
 *   network.h   networks
 *   features.c  patch features
 *   maps.c      maps of pixels
 *   points.c    points and what is done with them
 *   search.c    their search, with or without a filter
 *   cover.h     covers
 *   peers.c     the exchange among GPUs; nccl.h: NCCL, found at run time
 *   kernels.h   what starts the kernels
 *
 * Every function of the table begins with pb_cuda_enter, because CUDA keeps the present device for each thread of the host, and
 * queues its work on the device's one stream; what leaves the device is waited for. A CUDA error is sticky: the device that
 * reports one other than lack of memory answers every later call with it, so the job ends.
 */
#ifndef PB_GPU_CUDA_CUDA_H
#define PB_GPU_CUDA_CUDA_H

#include "gpu/cuda/kernels.h"
#include "gpu/device_table.h"

/* Device memory that grows with what is asked of it. Never shrinks; freed by pb_cuda_release of `memory`. */
typedef struct pb_cuda_room {
    void *memory;
    size_t bytes;
} pb_cuda_room;

/* Operations that were queued since the device was last waited for, the latest ones: one of them has failed when a later call
 * says so. Emptied by whatever waits for the stream (device.c). */
enum { PB_CUDA_QUEUED_MAX = 8 };

typedef struct pb_cuda_queued {
    int count;
    const char *names[PB_CUDA_QUEUED_MAX]; /* static */
} pb_cuda_queued;

/* What copies beside kernels need (ahead.c). */
typedef struct pb_cuda_ahead {
    cudaStream_t copies;
    cudaEvent_t arrived, spent[PB_PLACES];
} pb_cuda_ahead;

/* What pb_device.state points at. Made by opening (device.c), used by the device's thread. */
typedef struct pb_cuda_state {
    int ordinal;
    int blocks; /* twice as many blocks as the multiprocessors hold of the heavy kernels at once: enough to share evenly */
    cudaStream_t stream;
    pb_cuda_room scratch; /* of patch features, maps and searches */
    size_t scratch_most;  /* bytes of it, unless one image needs more; searches lower it where memory is short */
    size_t filter_least;  /* multiply-adds of a search from which on it is filtered (a test may change both) */
    pb_cuda_ahead ahead;
    pb_cuda_queued queued;
    char name[400]; /* for messages: "cuda:0 (NVIDIA H100, GPU-3f2a91bc, node n17)" */
} pb_cuda_state;

static inline pb_cuda_state *pb_cuda_state_of(const pb_device *device) { return (pb_cuda_state *)device->state; }

/* Makes this device the present one of the calling thread. Errors: PB_E_SYSTEM. */
pb_status pb_cuda_enter(const pb_device *device);

/* PB_OK, or what CUDA says about `operation` (static): PB_E_SYSTEM with device, node, operation, and what was queued before it.
 * check: of an operation that is queued, so that it is named by later errors. */
pb_status pb_cuda_call(const pb_device *device, cudaError_t error, const char *operation);
pb_status pb_cuda_check(const pb_device *device, cudaError_t error, const char *operation);

/* Notes an operation as queued, for messages. name: static. */
void pb_cuda_note(const pb_device *device, const char *name);

/* Memory of the device, as pb_device_alloc; count * size may overflow. *pointer_out is NULL on an error. */
pb_status pb_cuda_allocate(const pb_device *device, void *pointer_out, size_t count, size_t size, const char *what);

/* At least `bytes` bytes, with nothing in particular in them; the memory before is freed. */
pb_status pb_cuda_room_for(const pb_device *device, pb_cuda_room *room, size_t bytes, const char *what);

/* Frees what *pointer holds and sets it to NULL. */
void pb_cuda_release(void *pointer_inout);

/* Copies that are in place on return. They wait for everything queued before. Nothing for 0 bytes. Errors: PB_E_SYSTEM. */
pb_status pb_cuda_upload(const pb_device *device, void *to_device, const void *from_host, size_t bytes);
pb_status pb_cuda_download(const pb_device *device, void *to_host, const void *from_device, size_t bytes);

/* Copies within device memory. Queued. Errors: PB_E_SYSTEM, of this or an earlier operation. */
pb_status pb_cuda_move(const pb_device *device, void *to, const void *from, size_t bytes);

/* Sets bytes of device memory. Queued; errors likewise. */
pb_status pb_cuda_set(const pb_device *device, void *memory, int byte, size_t bytes);

/* Why nothing of CUDA can work here, "" when it may: the driver's library cannot be opened (driver.c). */
const char *pb_cuda_no_driver(void);

/* ahead.c: pb_cuda_ahead of a device whose state is otherwise ready; close takes one that was opened in part. */
pb_status pb_cuda_ahead_open(const pb_device *device);
void pb_cuda_ahead_close(const pb_device *device);
pb_status pb_cuda_host_alloc(pb_device *device, size_t bytes, void **pointer, const char *what);
void pb_cuda_host_release(pb_device *device, void *pointer);
pb_status pb_cuda_send(pb_device *device, int place, void *to_device, const void *from_host, size_t bytes);
pb_status pb_cuda_arrive(pb_device *device);
pb_status pb_cuda_spent(pb_device *device, int place);
pb_status pb_cuda_sent(pb_device *device);
pb_status pb_cuda_record_begin(pb_device *device);
pb_status pb_cuda_record_end(pb_device *device, pb_recording **recording);
pb_status pb_cuda_replay(pb_device *device, const pb_recording *recording, bool *replayed);
void pb_cuda_recording_free(pb_device *device, pb_recording *recording);

/* network_slots.c, where the build has cuDNN */
pb_status pb_cuda_compile(pb_device *device, const pb_network *network, pb_precision precision, int batch_max,
                          pb_compiled **compiled);
void pb_cuda_compiled_free(pb_device *device, pb_compiled *compiled);
pb_status pb_cuda_run(pb_device *device, pb_compiled *compiled, const uint8_t *images, int n, float *const *taps);

/* features.c. Images that are worked on at a time, when each needs `floats` of scratch memory: at least one. */
size_t pb_cuda_piece_of(const pb_device *device, size_t floats, int n);
pb_status pb_cuda_patch_features(pb_device *device, int patch, int tap_count, const pb_layer_shape *shapes,
                                 const float *const *taps, int n, float *features);
pb_status pb_cuda_patchcore_features(pb_device *device, const pb_patchcore *how, int tap_count, const pb_layer_shape *shapes,
                                     const float *const *taps, int n, float *features);

/* maps.c */
pb_status pb_cuda_smooth_maps(pb_device *device, const pb_smoothing *how, const float *maps, int n, pb_size grid, pb_size size,
                              float *pixels);

/* points.c */
pb_status pb_cuda_points_create(pb_device *device, size_t capacity, int dim, pb_points **points);
void pb_cuda_points_free(pb_device *device, pb_points *points);
pb_status pb_cuda_points_store(pb_device *device, pb_points *points, size_t first, size_t count, const float *rows,
                               int64_t *not_finite);
pb_status pb_cuda_points_read(pb_device *device, const pb_points *points, size_t index, float *row);
void pb_cuda_points_clear(pb_device *device, pb_points *points);
pb_status pb_cuda_points_step(pb_device *device, pb_points *points, uint32_t first_index, const float *centre, uint64_t *best);
pb_status pb_cuda_points_nearest(pb_device *device, const pb_points *points, uint32_t first_index, const float *queries,
                                 size_t count, uint64_t *nearest);

/* search.c: pb_device_nearest over points [n][dim] in device memory. Queues the work. */
typedef struct pb_cuda_search {
    const float *points;
    size_t n;
    int dim;
    uint32_t first_index;
    const float *queries;
    size_t count;
    uint64_t *nearest;
} pb_cuda_search;
pb_status pb_cuda_search_run(const pb_device *device, const pb_cuda_search *of);

/* cover.c, but for select: cover_select.c */
pb_status pb_cuda_cover_create(pb_device *device, size_t capacity, int dim, uint32_t first_index, pb_cover **cover);
void pb_cuda_cover_free(pb_device *device, pb_cover *cover);
pb_status pb_cuda_cover_write(pb_device *device, pb_cover *cover, size_t first, size_t count, const float *rows,
                              int64_t *not_finite);
void pb_cuda_cover_place(pb_device *device, pb_cover *cover, uint32_t first_index);
pb_status pb_cuda_cover_read(pb_device *device, const pb_cover *cover, size_t first, size_t count,
                             float *host_rows);
pb_status pb_cuda_cover_add(pb_device *device, pb_cover *cover, const float *centres, size_t count);
pb_status pb_cuda_cover_refresh(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count, uint64_t *most);
pb_status pb_cuda_cover_settle(pb_device *device, pb_cover *cover, size_t *count);
pb_status pb_cuda_cover_key(pb_device *device, pb_cover *cover, size_t position, uint64_t *key);
pb_status pb_cuda_cover_raise(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count);
pb_status pb_cuda_cover_candidates(pb_device *device, pb_cover *cover, pb_candidate *candidates, float *rows);
pb_status pb_cuda_cover_select(pb_device *device, pb_cover *cover, pb_candidate *candidates, const float *rows, size_t count,
                               uint64_t floor, size_t most, uint64_t *picked, float *distance2, size_t *made, uint64_t *next);
pb_status pb_cuda_cover_update(pb_device *device, pb_cover *cover, const pb_candidate *candidates, size_t count);

/* peers.c */
bool pb_cuda_has_peers(const pb_device *device, const char **why_not);
pb_status pb_cuda_peers_id(pb_device *device, pb_peers_id *id);
pb_status pb_cuda_peers_join(pb_device *device, const pb_peers_id *id, int rank, int size, double limit_s, pb_peers **peers);
void pb_cuda_peers_leave(pb_device *device, pb_peers *peers);
pb_status pb_cuda_peers_max_u64(pb_device *device, pb_peers *peers, uint64_t *value);
pb_status pb_cuda_peers_allgather(pb_device *device, pb_peers *peers, const void *part, const size_t *sizes, void *all);
pb_status pb_cuda_peers_broadcast(pb_device *device, pb_peers *peers, void *buffer, size_t bytes, int root);
pb_status pb_cuda_peers_exchange(pb_device *device, pb_peers *peers, const void *send, size_t send_bytes, int to, void *receive,
                                 size_t receive_bytes, int from);

#endif
