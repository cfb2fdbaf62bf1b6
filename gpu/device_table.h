/* device_table.h: private to gpu/: what a kind of device must provide. gpu/device.h has the contracts of the operations, whose
 * signatures the table repeats, gpu/cover.h those of the cover_ slots, gpu/peers.h those of the peers_ slots, gpu/ahead.h
 * those of the last ones, which have plain stand-ins. Any other slot that is NULL answers PB_E_UNSUPPORTED. pb_compiled,
 * pb_points, pb_cover, pb_peers and pb_recording are defined by each kind of device for itself. How a call comes here: the fronts
 * (gpu/device.c, cover.c, peers.c, ahead.c) have asserted the arguments and emptied the outputs, so a slot need not. A slot that
 * frees never gets NULL. */
#ifndef PB_GPU_DEVICE_TABLE_H
#define PB_GPU_DEVICE_TABLE_H

#include "base/log.h"
#include "gpu/ahead.h"
#include "gpu/cover.h"
#include "gpu/device.h"
#include "gpu/peers.h"

enum { PB_DEVICE_TABLE_VERSION = 11 }; /* raised with every change of the table: a plugin of another version is refused */

/* One kind of device: static, never changed. Slots in the order of the headers. */
typedef struct pb_device_table {
    uint32_t version;  /* PB_DEVICE_TABLE_VERSION of the plugin's build */
    const char *kind;  /* what stands before the colon in a device's name: "cpu" */
    bool memory_is_host; /* device memory may be read and written as host memory */
    void (*log_to)(pb_log_writer *writer); /* of a plugin, which has base/log.c once more: called first of all */
    void (*each)(pb_device_visitor *visit, void *context);
    pb_status (*open)(pb_device *device, const char *which);
    void (*close)(pb_device *device);
    pb_status (*alloc)(pb_device *device, size_t bytes, void **pointer, const char *what);
    void (*release)(pb_device *device, void *pointer);
    pb_status (*upload)(pb_device *device, void *to_device, const void *from_host, size_t bytes);
    pb_status (*download)(pb_device *device, void *to_host, const void *from_device, size_t bytes);
    pb_status (*copy_block)(pb_device *device, void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                            size_t height);
    pb_status (*compile)(pb_device *device, const pb_network *network, pb_precision precision, int batch_max,
                         pb_compiled **compiled);
    void (*compiled_free)(pb_device *device, pb_compiled *compiled);
    pb_status (*run)(pb_device *device, pb_compiled *compiled, const uint8_t *images, int n, float *const *taps);
    pb_status (*patch_features)(pb_device *device, int patch, int tap_count, const pb_layer_shape *shapes,
                                const float *const *taps, int n, float *features);
    pb_status (*patchcore_features)(pb_device *device, const pb_patchcore *how, int tap_count, const pb_layer_shape *shapes,
                                    const float *const *taps, int n, float *features);
    pb_status (*unit_rows)(pb_device *device, float *rows, size_t n, int dim);
    pb_status (*project)(pb_device *device, const float *rows, size_t n, int dim, const float *matrix, int out_dim, float *out);
    pb_status (*smooth_maps)(pb_device *device, const pb_smoothing *how, const float *maps, int n, pb_size grid, pb_size size,
                             float *pixels);
    pb_status (*points_create)(pb_device *device, size_t capacity, int dim, pb_points **points);
    void (*points_free)(pb_device *device, pb_points *points);
    pb_status (*points_write)(pb_device *device, pb_points *points, size_t first, size_t count, const float *rows,
                              int64_t *not_finite);
    pb_status (*points_read)(pb_device *device, const pb_points *points, size_t index, float *row);
    void (*points_clear)(pb_device *device, pb_points *points);
    pb_status (*greedy_step)(pb_device *device, pb_points *points, uint32_t first_index, const float *centre, uint64_t *best);
    pb_status (*nearest)(pb_device *device, const pb_points *points, uint32_t first_index, const float *queries, size_t count,
                         uint64_t *nearest);
    pb_status (*cover_create)(pb_device *device, size_t capacity, int dim, uint32_t first_index, pb_cover **cover);
    void (*cover_free)(pb_device *device, pb_cover *cover);
    pb_status (*cover_write)(pb_device *device, pb_cover *cover, size_t first, size_t count, const float *rows,
                             int64_t *not_finite);
    void (*cover_place)(pb_device *device, pb_cover *cover, uint32_t first_index);
    pb_status (*cover_read)(pb_device *device, const pb_cover *cover, size_t first, size_t count,
                            float *host_rows);
    pb_status (*cover_add)(pb_device *device, pb_cover *cover, const float *centres, size_t count);
    pb_status (*cover_refresh)(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count, uint64_t *most);
    pb_status (*cover_settle)(pb_device *device, pb_cover *cover, size_t *count);
    pb_status (*cover_key)(pb_device *device, pb_cover *cover, size_t position, uint64_t *key);
    pb_status (*cover_raise)(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count);
    pb_status (*cover_candidates)(pb_device *device, pb_cover *cover, pb_candidate *candidates, float *rows);
    pb_status (*cover_select)(pb_device *device, pb_cover *cover, pb_candidate *candidates, const float *rows, size_t count,
                              uint64_t floor, size_t most, uint64_t *picked, float *distance2, size_t *made, uint64_t *next);
    pb_status (*cover_update)(pb_device *device, pb_cover *cover, const pb_candidate *candidates, size_t count);
    bool (*has_peers)(const pb_device *device, const char **why_not);
    pb_status (*peers_id)(pb_device *device, pb_peers_id *id);
    pb_status (*peers_join)(pb_device *device, const pb_peers_id *id, int rank, int size, double limit_s, pb_peers **peers);
    void (*peers_leave)(pb_device *device, pb_peers *peers);
    pb_status (*peers_max_u64)(pb_device *device, pb_peers *peers, uint64_t *value);
    pb_status (*peers_allgather)(pb_device *device, pb_peers *peers, const void *part, const size_t *sizes, void *all);
    pb_status (*peers_broadcast)(pb_device *device, pb_peers *peers, void *buffer, size_t bytes, int root);
    pb_status (*peers_exchange)(pb_device *device, pb_peers *peers, const void *send, size_t send_bytes, int to, void *receive,
                                size_t receive_bytes, int from);
    /* gpu/ahead.h: those of copies, all or none; those of recordings likewise */
    pb_status (*host_alloc)(pb_device *device, size_t bytes, void **pointer, const char *what);
    void (*host_release)(pb_device *device, void *pointer);
    pb_status (*send)(pb_device *device, int place, void *to_device, const void *from_host, size_t bytes);
    pb_status (*arrive)(pb_device *device);
    pb_status (*spent)(pb_device *device, int place);
    pb_status (*sent)(pb_device *device);
    pb_status (*record_begin)(pb_device *device);
    pb_status (*record_end)(pb_device *device, pb_recording **recording);
    pb_status (*replay)(pb_device *device, const pb_recording *recording, bool *replayed);
    void (*recording_free)(pb_device *device, pb_recording *recording);
} pb_device_table;

/* An opened device. Front ends make it with table, threads and plans; the kind's open fills in the rest. */
struct pb_device {
    const pb_device_table *table;
    void *state;           /* of the kind of device; may be NULL */
    int threads;           /* CPU threads it may use, >= 1 */
    const char *plans;     /* see pb_device_plans_path; NULL: none */
    char description[160]; /* for logs */
    char arithmetic[128];  /* see pb_device_arithmetic */
    char identity[40];     /* see pb_device_identity */
};

/* The answer of an operation whose slot is empty, and how a front end ends its function with it. To be used before anything that
 * would have to be undone. */
pb_status pb_device_unsupported(const pb_device *device, const char *operation);
#define PB_NEED(device, slot)                           \
    do {                                                \
        if (!(device)->table->slot)                     \
            return pb_device_unsupported(device, #slot); \
    } while (0)

/* The device that is always there. */
extern const pb_device_table pb_cpu_table;

#endif
