/* cpu.h: private to gpu/: the parts of the "cpu" device, which fill the slots of pb_cpu_table (gpu/device_cpu.c).
 * Contracts: gpu/device.h. cpu_network*.c are the only files that know oneDNN; cpu_points.c and cpu_features.c drive the kernels
 * of cpu_kernels.h, which come in one source compiled per instruction set and are chosen when the device is opened. Not
 * collective. Slots may use up to pb_device.threads OpenMP threads inside and are called by one thread at a time. Errors:
 * PB_E_SYSTEM for memory; others where said. */
#ifndef PB_GPU_CPU_H
#define PB_GPU_CPU_H

#include "gpu/cpu_kernels.h"
#include "gpu/device_table.h"

/* What pb_device.state of an opened "cpu" device points at; made by its open (gpu/device_cpu.c). */
typedef struct pb_cpu_state {
    const pb_cpu_kernels *kernels; /* chosen by pb_cpu_kernels_choose when it was opened; a test may put another set here */
} pb_cpu_state;

/* The kernels that this processor runs, best first; `name` ("avx512", "avx2", "plain") forces one, NULL chooses.
 * NULL when the forced one is unknown or this processor cannot run it. */
const pb_cpu_kernels *pb_cpu_kernels_choose(const char *name);

/* Name of set number `set`, best first, and what it needs of a processor, in words; NULL past the last. */
const char *pb_cpu_kernels_name(size_t set, const char **needs);

/* oneDNN: cpu_network.c. pb_cpu_network_library writes its version and instruction set ("oneDNN 2.6.3 avx512_core"). */
void pb_cpu_network_library(char *text, size_t size);
pb_status pb_cpu_compile(pb_device *device, const pb_network *network, pb_precision precision, int batch_max,
                         pb_compiled **compiled);
void pb_cpu_compiled_free(pb_device *device, pb_compiled *compiled);
pb_status pb_cpu_run(pb_device *device, pb_compiled *compiled, const uint8_t *images, int n, float *const *taps);

/* cpu_features.c */
pb_status pb_cpu_patch_features(pb_device *device, int patch, int tap_count, const pb_layer_shape *shapes,
                                const float *const *taps, int n, float *features);
pb_status pb_cpu_unit_rows(pb_device *device, float *rows, size_t n, int dim);
pb_status pb_cpu_project(pb_device *device, const float *rows, size_t n, int dim, const float *matrix, int out_dim, float *out);

/* Where output place i of `out` lies in `in` places (gpu/ref.h): between low and high, `fraction` of the way. The same for rows
 * and columns, of features and of maps. */
typedef struct pb_cpu_place {
    int low, high;
    float fraction;
} pb_cpu_place;

/* In whole numbers, so that low, high and the two operands of the fraction are exact on every machine: p / q with p = (2 i + 1)
 * in - out, q = 2 out, clamped to [0, in - 1]. */
static inline pb_cpu_place pb_cpu_place_of(int i, int in, int out) {
    int64_t numerator = (2 * (int64_t)i + 1) * in - out, denominator = 2 * (int64_t)out, most = denominator * (in - 1);
    numerator = numerator < 0 ? 0 : numerator > most ? most : numerator;
    int low = (int)(numerator / denominator);
    return (pb_cpu_place){low, low + 1 < in ? low + 1 : low, (float)(numerator % denominator) / (float)denominator};
}

/* cpu_patchcore.c */
pb_status pb_cpu_patchcore_features(pb_device *device, const pb_patchcore *how, int tap_count, const pb_layer_shape *shapes,
                                    const float *const *taps, int n, float *features);

/* cpu_maps.c */
pb_status pb_cpu_smooth_maps(pb_device *device, const pb_smoothing *how, const float *maps, int n, pb_size grid, pb_size size,
                             float *pixels);

/* cpu_points.c */
pb_status pb_cpu_points_create(pb_device *device, size_t capacity, int dim, pb_points **points);
void pb_cpu_points_free(pb_device *device, pb_points *points);
pb_status pb_cpu_points_write(pb_device *device, pb_points *points, size_t first, size_t count, const float *rows,
                              int64_t *not_finite);
pb_status pb_cpu_points_read(pb_device *device, const pb_points *points, size_t index, float *row);
void pb_cpu_points_clear(pb_device *device, pb_points *points);
pb_status pb_cpu_greedy_step(pb_device *device, pb_points *points, uint32_t first_index, const float *centre, uint64_t *best);
pb_status pb_cpu_nearest(pb_device *device, const pb_points *points, uint32_t first_index, const float *queries, size_t count,
                         uint64_t *nearest);

/* cpu_cover.c: a cover, its points and centres */
pb_status pb_cpu_cover_create(pb_device *device, size_t capacity, int dim, uint32_t first_index, pb_cover **cover);
void pb_cpu_cover_free(pb_device *device, pb_cover *cover);
pb_status pb_cpu_cover_write(pb_device *device, pb_cover *cover, size_t first, size_t count, const float *rows,
                             int64_t *not_finite);
void pb_cpu_cover_place(pb_device *device, pb_cover *cover, uint32_t first_index);
pb_status pb_cpu_cover_read(pb_device *device, const pb_cover *cover, size_t first, size_t count,
                            float *host_rows);
pb_status pb_cpu_cover_add(pb_device *device, pb_cover *cover, const float *centres, size_t count);

/* cpu_cover_rounds.c */
pb_status pb_cpu_cover_refresh(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count, uint64_t *most);
pb_status pb_cpu_cover_settle(pb_device *device, pb_cover *cover, size_t *count);
pb_status pb_cpu_cover_key(pb_device *device, pb_cover *cover, size_t position, uint64_t *key);
pb_status pb_cpu_cover_raise(pb_device *device, pb_cover *cover, uint64_t floor, size_t *count);
pb_status pb_cpu_cover_candidates(pb_device *device, pb_cover *cover, pb_candidate *candidates, float *rows);
pb_status pb_cpu_cover_select(pb_device *device, pb_cover *cover, pb_candidate *candidates, const float *rows, size_t count,
                              uint64_t floor, size_t most, uint64_t *picked, float *distance2, size_t *made, uint64_t *next);
pb_status pb_cpu_cover_update(pb_device *device, pb_cover *cover, const pb_candidate *candidates, size_t count);

#endif
