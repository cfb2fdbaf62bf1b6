/* far_device.h: a "cpu" device whose memory cannot be touched from outside, as a GPU's cannot: it is protected except while one
 * of the device's own operations runs. Whoever takes device memory for host memory dies by SIGSEGV. For tests; one in a process.
 */
#ifndef PB_TESTS_FAR_DEVICE_H
#define PB_TESTS_FAR_DEVICE_H

#include "gpu/device_table.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { FAR_BYTES = 256 << 20 };

static char *far_memory;
static size_t far_used;

static inline void far_protect(int protection) {
    if (mprotect(far_memory, FAR_BYTES, protection) != 0)
        abort();
}

/* Runs one operation of the cpu device with the memory open. */
#define FAR_RUN(call)                        \
    do {                                     \
        far_protect(PROT_READ | PROT_WRITE); \
        pb_status far_status = (call);       \
        far_protect(PROT_NONE);              \
        return far_status;                   \
    } while (0)

/* Memory is handed out once and never again. */
static pb_status far_alloc(pb_device *device, size_t bytes, void **pointer, const char *what) {
    (void)device;
    size_t rounded = (bytes + 127) / 128 * 128;
    if (FAR_BYTES - far_used < rounded)
        return pb_fail(PB_E_SYSTEM, "%s: the far device is full", what);
    *pointer = far_memory + far_used;
    far_used += rounded;
    return pb_ok();
}

static void far_release(pb_device *device, void *pointer) {
    (void)device;
    (void)pointer;
}

static pb_status far_upload(pb_device *d, void *to, const void *from, size_t bytes) {
    FAR_RUN(pb_cpu_table.upload(d, to, from, bytes));
}
static pb_status far_download(pb_device *d, void *to, const void *from, size_t bytes) {
    FAR_RUN(pb_cpu_table.download(d, to, from, bytes));
}
static pb_status far_copy_block(pb_device *d, void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                                size_t height) {
    FAR_RUN(pb_cpu_table.copy_block(d, to, to_pitch, from, from_pitch, width, height));
}
static pb_status far_points_write(pb_device *d, pb_points *points, size_t first, size_t count, const float *rows, int64_t *bad) {
    FAR_RUN(pb_cpu_table.points_write(d, points, first, count, rows, bad));
}
static pb_status far_points_read(pb_device *d, const pb_points *points, size_t index, float *row) {
    FAR_RUN(pb_cpu_table.points_read(d, points, index, row));
}
static pb_status far_greedy_step(pb_device *d, pb_points *points, uint32_t first_index, const float *centre, uint64_t *best) {
    FAR_RUN(pb_cpu_table.greedy_step(d, points, first_index, centre, best));
}
static pb_status far_nearest(pb_device *d, const pb_points *points, uint32_t first_index, const float *queries, size_t count,
                             uint64_t *nearest) {
    FAR_RUN(pb_cpu_table.nearest(d, points, first_index, queries, count, nearest));
}
static pb_status far_cover_write(pb_device *d, pb_cover *cover, size_t first, size_t count, const float *rows, int64_t *bad) {
    FAR_RUN(pb_cpu_table.cover_write(d, cover, first, count, rows, bad));
}
static pb_status far_cover_candidates(pb_device *d, pb_cover *cover, pb_candidate *candidates, float *rows) {
    FAR_RUN(pb_cpu_table.cover_candidates(d, cover, candidates, rows));
}
static pb_status far_cover_select(pb_device *d, pb_cover *cover, pb_candidate *candidates, const float *rows, size_t count,
                                  uint64_t floor, size_t most, uint64_t *picked, float *distance2, size_t *made, uint64_t *next) {
    FAR_RUN(pb_cpu_table.cover_select(d, cover, candidates, rows, count, floor, most, picked, distance2, made, next));
}
static pb_status far_cover_update(pb_device *d, pb_cover *cover, const pb_candidate *candidates, size_t count) {
    FAR_RUN(pb_cpu_table.cover_update(d, cover, candidates, count));
}

/* Opens the device. `changed` may have slots of its own put in beforehand (peers_...); all others are set here. */
static inline pb_status far_device_open(pb_device_table *changed, pb_device **device_out) {
    far_memory = mmap(NULL, FAR_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (far_memory == MAP_FAILED)
        abort();
    far_used = 0;
    pb_device_table peers = *changed;
    *changed = pb_cpu_table;
    changed->memory_is_host = false;
    changed->alloc = far_alloc, changed->release = far_release, changed->upload = far_upload;
    changed->download = far_download, changed->copy_block = far_copy_block, changed->points_write = far_points_write;
    changed->points_read = far_points_read, changed->greedy_step = far_greedy_step, changed->nearest = far_nearest;
    changed->cover_write = far_cover_write, changed->cover_candidates = far_cover_candidates;
    changed->cover_select = far_cover_select, changed->cover_update = far_cover_update;
    changed->has_peers = peers.has_peers, changed->peers_id = peers.peers_id, changed->peers_join = peers.peers_join;
    changed->peers_leave = peers.peers_leave, changed->peers_max_u64 = peers.peers_max_u64;
    changed->peers_allgather = peers.peers_allgather, changed->peers_broadcast = peers.peers_broadcast;
    changed->peers_exchange = peers.peers_exchange;
    pb_status status = pb_device_open("cpu", 1, device_out);
    if (!pb_failed(&status))
        (*device_out)->table = changed;
    return status;
}

static inline void far_device_close(pb_device **device) {
    pb_device_close(device);
    munmap(far_memory, FAR_BYTES);
}

#endif
