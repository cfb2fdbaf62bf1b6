/* device.h: the device a rank drives, behind one small table.
 *
 * A device is opened by name ("cpu", "cuda:0") and gives memory and a handful of operations. Every operation has a plain twin in
 * gpu/ref.h that is its specification. A missing operation answers PB_E_UNSUPPORTED; nothing falls back silently. The callers
 * never look behind the table, so a plugin fits in without a change outside gpu/.
 *
 * Memory: "device memory" below is memory from pb_device_alloc of the same device (on "cpu" it is host memory, but nobody may
 * rely on it). Operations are ordered among each other; results are in place when the call returns or, at the latest, when a
 * pb_device_download of them returns.
 *
 * Layout: images [n][height][width][3] bytes; taps [n][height][width][channels] float; features and points [n][dim] float,
 * row-major.
 *
 * Canonical arithmetic (docs/ARCHITECTURE.md, invariant 1). Decisions hang on these, so they are the same bits on every device,
 * kernel, thread count and partition:
 *   distance^2(x, c): s = 0; for k = 0 .. dim-1 in order: t = x[k] - c[k] rounded to float; s = fmaf(t, t, s)
 *   projection y[j]:  s = 0; for k = 0 .. dim-1 in order: s = fmaf(x[k], m[k][j], s)
 *   packed pair:      (float bits of distance^2) << 32 | (0xFFFFFFFF - index): a maximum prefers the larger distance, then the
 *                     smaller index. packed nearest: bits << 32 | index: a minimum prefers the smaller distance, then index.
 * Network outputs are only close between devices (and between instruction sets of a CPU); on one device they do not depend on the
 * number of images in a call, on threads or on the partition.
 *
 * None of these functions is collective. A device is used by one thread at a time; it may use threads inside.
 *
 * Errors, where a function says nothing else: PB_E_SYSTEM when memory is out or the device failed, PB_E_UNSUPPORTED for an
 * operation that this kind of device does not have. What an operation should have written then means nothing. A GPU that has
 * failed (other than for lack of memory) answers every later call with an error, perhaps that of an earlier operation; its job
 * ends.
 *
 * Wrong arguments (a pointer that is NULL, a patch that is even) are asserted. No images, rows or points is nothing to do, not an
 * error.
 *
 * Values: a NaN or infinity in taps or rows goes on through features and projections as IEEE arithmetic has it; points and
 * queries must be finite; pb_device_points_write tells of points that are not, and what is nearest to another query means
 * nothing.
 */
#ifndef PB_GPU_DEVICE_H
#define PB_GPU_DEVICE_H

#include "base/status.h"
#include "gpu/network.h"
#include "gpu/precision.h"
#include "gpu/smoothing.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pb_device pb_device;     /* an opened device */
typedef struct pb_compiled pb_compiled; /* a network in a device's own form */
typedef struct pb_points pb_points;     /* points in a device's own layout, with their distance to the centres seen so far */

/* Opens a device. name: a kind, or a kind, a colon and which one: "cpu", or "cpu:avx2" to have it keep to those kernels (avx512,
 * avx2, plain; the same bits, except that networks are oneDNN's choice); "cuda:0" for the first GPU, by the plugin, which is
 * opened when it is first asked for. threads: CPU threads that it may use, >= 1. Out: *device, owned by the caller. Errors:
 * PB_E_USAGE for an unknown kind (the known ones are listed), PB_E_UNSUPPORTED when this machine cannot run it (or has no plugin,
 * or one of another build), with the reason. */
PB_CHECKED pb_status pb_device_open(const char *name, int threads, pb_device **device_out);

/* Closes it and sets *device to NULL; everything made on it must have been released. NULL is fine. */
void pb_device_close(pb_device **device);

/* Where the plugin of "cuda" is, instead of beside the program or in ../lib/patchbank from there; NULL or "": there. Before the
 * first device is opened or listed; not thread safe. */
void pb_device_plugin_path(const char *path);

/* Folder where devices keep what they compiled for networks, so that the next job need not; it must exist and be the user's own.
 * NULL or "": nothing is kept. For devices opened later; not thread safe. */
void pb_device_plans_path(const char *path);

/* Calls visit for every device that can be named, in a fixed order. name: as pb_device_open takes it ("cuda" when there is none
 * of that kind); about: one line, what it is when usable, else why not. The texts are the visitor's during the call only. Opens
 * the plugin of "cuda" to ask it; no device is opened. Where the plugin is missing or of another build that is a line too, not an
 * error. */
typedef void pb_device_visitor(void *context, const char *name, bool usable, const char *about);
void pb_device_each(pb_device_visitor *visit, void *context);

/* One line about it: name, instruction set or model, threads. Belongs to the device. For people and logs. */
const char *pb_device_description(const pb_device *device);

/* What decides the bits of network outputs beside their precision: library, version and instruction set. Devices of equal
 * arithmetic give equal features. Belongs to the device. Recorded in banks, so that it can be told why features of two machines
 * differ. */
const char *pb_device_arithmetic(const pb_device *device);

/* Which piece of hardware it is, where only one process should use it at a time: devices of equal identity are the same one, in
 * whatever process. "" where it may be shared. Belongs to the device. A GPU's UUID in hexadecimal digits; "" for the CPU. */
const char *pb_device_identity(const pb_device *device);

/* Whether device memory may be read and written as host memory too, once the operations before are done. */
bool pb_device_memory_is_host(const pb_device *device);

/* Device memory of `bytes` bytes, aligned to PB_ALIGNMENT. Errors: PB_E_SYSTEM. Released by pb_device_release, which sets
 * *pointer to NULL and takes NULL. What is in it is undefined. `what` names it in messages. 0 bytes give a pointer too. Released
 * memory may still be read by operations called before: they come first. */
PB_CHECKED pb_status pb_device_alloc(pb_device *device, size_t bytes, void *pointer_out, const char *what);
void pb_device_release(pb_device *device, void *pointer_inout);

/* Copies between host and device memory; complete on return. They come after every operation called before, and so wait for
 * those; an error may be one of theirs. Host memory may be of any kind. */
PB_CHECKED pb_status pb_device_upload(pb_device *device, void *to_device, const void *from_host, size_t bytes);
PB_CHECKED pb_status pb_device_download(pb_device *device, void *to_host, const void *from_device, size_t bytes);

/* Copies `height` stretches of `width` bytes within device memory; stretch i goes from `from + i * from_pitch` to
 * `to + i * to_pitch`. Pitches in bytes, at least `width`; the areas do not overlap. Ordered among the operations, and not waited
 * for. */
PB_CHECKED pb_status pb_device_copy_block(pb_device *device, void *to, size_t to_pitch, const void *from, size_t from_pitch,
                                          size_t width, size_t height);

/* Puts a network into the device's form, ready for up to batch_max images a call. The network may be freed afterwards. Asks for
 * all memory that running it needs. Errors: PB_E_UNSUPPORTED for a precision that the device does not have (a CPU has fp32
 * alone), or a network that it cannot compute; PB_E_SYSTEM. After an error *compiled is NULL. */
PB_CHECKED pb_status pb_device_compile(pb_device *device, const pb_network *network, pb_precision precision, int batch_max,
                                       pb_compiled **compiled_out);
void pb_device_compiled_free(pb_device *device, pb_compiled **compiled);

/* Runs images through a compiled network: normalises the bytes and writes every tap.
 * images: device memory, [n][height][width][3] bytes, 0 <= n <= batch_max. taps: tap_count pointers to device memory, tap t
 * [n][its height][its width][its channels] float. The result of an image does not depend on the other images of the call. Cost:
 * that of the network; an error may be an earlier operation's. */
PB_CHECKED pb_status pb_device_run(pb_device *device, pb_compiled *compiled, const uint8_t *images, int n, float *const *taps);

/* Largest side of a neighbourhood, in places of a tap. */
enum { PB_NEIGHBOURHOOD_MAX = 13 };

/* PatchCore's locally aware patch features, from taps in device memory:
 *   1. each tap: mean over the neighbourhood of patch x patch places, stride 1, zeros outside, always divided by patch * patch;
 *   2. bilinear to the first tap's grid (source position (i + 0.5) * in / out - 0.5, clamped at 0 and at the last row);
 *   3. concatenated over channels in tap order.
 * patch: odd, 1 to PB_NEIGHBOURHOOD_MAX; 1 leaves the taps as they are. shapes: tap_count shapes. features: device memory,
 * [n * grid.height * grid.width][sum of channels] float, patch (row, column) of image i at row
 * (i * grid.height + row) * grid.width + column. The order of arithmetic is pb_ref_patch_features'. */
PB_CHECKED pb_status pb_device_patch_features(pb_device *device, int patch, int tap_count, const pb_layer_shape *shapes,
                                              const float *const *taps, int n, float *features);

/* How PatchCore, as published and in its authors' code, makes a patch of a neighbourhood. */
typedef struct pb_patchcore {
    int patch;       /* side of the neighbourhood in places of a tap, odd, 1 to PB_NEIGHBOURHOOD_MAX */
    int stride;      /* places of a tap from one patch to the next, >= 1 */
    int layer_dim;   /* values that a neighbourhood of one tap is pooled to, >= 1 */
    int feature_dim; /* values that those of all taps are pooled to, >= 1 */
} pb_patchcore;

/* Patches of a tap of so many places. */
static inline pb_size pb_patchcore_grid(const pb_patchcore *how, pb_size size) { return pb_size_over(size, how->stride); }

/* PatchCore's patch features as published, from taps in device memory. Adaptive average pooling of a values to b: value j is the
 * mean of those from floor(j a / b) to ceil((j + 1) a / b) - 1, which overlap, and may be one value several times.
 *   1. each tap: the neighbourhoods of patch x patch places round every stride-th place, zeros outside, each flattened channel by
 *      channel, row by row, and pooled to layer_dim;
 *   2. bilinear to the first tap's grid of patches, as in pb_device_patch_features;
 *   3. concatenated in tap order and pooled to feature_dim.
 * (In the authors' code 2 comes before the pooling of 1. Both are linear and look at different axes, so that their order changes
 * only roundings, and 9 values a channel need not be interpolated.) The order of arithmetic is pb_ref_patchcore_features'.
 * features: device memory, [n * grid.height * grid.width][feature_dim] float, grid being that of the first tap; rows as above. */
PB_CHECKED pb_status pb_device_patchcore_features(pb_device *device, const pb_patchcore *how, int tap_count,
                                                  const pb_layer_shape *shapes, const float *const *taps, int n,
                                                  float *features);

/* Divides each row [n][dim] (device memory, in place) by its Euclidean length, canonically: the order of arithmetic is
 * pb_ref_unit_rows'. A row whose square is 0 stays as it is; one whose square overflows becomes NaN. Between unit rows,
 * distance^2 / 2 is 1 - cosine. */
PB_CHECKED pb_status pb_device_unit_rows(pb_device *device, float *rows, size_t n, int dim);

/* Linear projection, canonical (see above). rows: [n][dim]; matrix: [dim][out_dim], entries of any value; out: [n][out_dim]; all
 * in device memory, out not overlapping. n * dim * out_dim fused multiply-adds. */
PB_CHECKED pb_status pb_device_project(pb_device *device, const float *rows, size_t n, int dim, const float *matrix, int out_dim,
                                       float *out);

/* Maps of patches to maps of pixels, as PatchCore's authors do it: bilinear (pixel i lies at (i + 0.5) * in / out - 0.5 places,
 * clamped at both ends), then smoothed down the columns and along the rows, the image being mirrored about its edges
 * (pb_smoothing_mirror). Canonical: the order of arithmetic is pb_ref_smooth_maps'. maps: [n][grid.height][grid.width] float,
 * finite; pixels: [n][size.height][size.width] float; both in device memory, not overlapping. `how` is in host memory and is read
 * before the call returns. */
PB_CHECKED pb_status pb_device_smooth_maps(pb_device *device, const pb_smoothing *how, const float *maps, int n, pb_size grid,
                                           pb_size size, float *pixels);

/* Room for `capacity` points of `dim` values in the device's own layout. capacity < 2^32 - 1. Every point's distance^2 starts at
 * +infinity. Owned by the caller. A point takes dim + 1 floats, whatever the device's layout adds. */
PB_CHECKED pb_status pb_device_points_create(pb_device *device, size_t capacity, int dim, pb_points **points_out);
void pb_device_points_free(pb_device *device, pb_points **points);

/* Stores rows [count][dim] (device memory) as points first .. first + count - 1 and resets their distances; the number of points
 * becomes the largest first + count seen, and whoever leaves gaps must fill them before the next greedy step or search.
 * *not_finite is the least index of a point with a NaN or infinite value among those written, or -1; such a point makes later
 * results undefined, so the caller must stop. */
PB_CHECKED pb_status pb_device_points_write(pb_device *device, pb_points *points, size_t first, size_t count, const float *rows,
                                            int64_t *not_finite);

/* Copies point `index` to `row`, device memory, dim floats. index < the number of points, asserted. */
PB_CHECKED pb_status pb_device_points_read(pb_device *device, const pb_points *points, size_t index, float *row);

/* Forgets all points: their number becomes 0, the capacity stays. */
void pb_device_points_clear(pb_device *device, pb_points *points);

/* One step of textbook greedy selection: distance^2 of every point becomes the smaller of itself and its canonical distance^2 to
 * `centre` (device memory, dim floats). *best (device memory) is the packed maximum over the points afterwards, the index of a
 * point being its place plus first_index (< 2^32 - 1 in sum); 0 when there are none. A point that equals a centre stays at 0 and
 * can be picked again only when every point is at 0. One pass over all points: bound by memory where they do not fit a cache. */
PB_CHECKED pb_status pb_device_greedy_step(pb_device *device, pb_points *points, uint32_t first_index, const float *centre,
                                           uint64_t *best);

/* Nearest neighbours: for each query the packed minimum over itself and all points, the index of a point being its place plus
 * first_index (< 2^32 in sum). queries: [count][dim], device memory; nearest: device memory, [count], in and out;
 * PB_NEAREST_NONE where nothing has been seen yet. A search of count queries among n points is n * count * dim subtractions and
 * fused multiply-adds, or less where a device filters pairs by anything cheaper; the bits are the same. Ties go to the smallest
 * index (invariant 2). */
PB_CHECKED pb_status pb_device_nearest(pb_device *device, const pb_points *points, uint32_t first_index, const float *queries,
                                       size_t count, uint64_t *nearest);

/* Larger than every packed pair; its upper half is the bits of a NaN. */
#define PB_NEAREST_NONE UINT64_MAX

/* The bits of a float, and back; for floats >= +0 their order is the order of the values. */
static inline uint32_t pb_float_bits(float value) {
    union {
        float value;
        uint32_t bits;
    } both = {.value = value};
    return both.bits;
}

/* The distance^2 of either packing. */
static inline float pb_packed_distance2(uint64_t packed) {
    union {
        uint32_t bits;
        float value;
    } both = {.bits = (uint32_t)(packed >> 32)};
    return both.value;
}

/* The two packings and what is in them. distance^2 must be >= +0 and not NaN. index < 2^32 - 1 in the first, so that no pair is
 * 0; < 2^32 in the second. */
static inline uint64_t pb_pack_farthest(float distance2, uint32_t index) {
    return (uint64_t)pb_float_bits(distance2) << 32 | (UINT32_MAX - index);
}

static inline uint64_t pb_pack_nearest(float distance2, uint32_t index) {
    return (uint64_t)pb_float_bits(distance2) << 32 | index;
}

static inline uint32_t pb_farthest_index(uint64_t packed) { return UINT32_MAX - (uint32_t)packed; }

static inline uint32_t pb_nearest_index(uint64_t packed) { return (uint32_t)packed; }

#endif
