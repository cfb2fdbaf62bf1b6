/* The front of the device table: finds a kind of device by name, checks what no kind needs to check again, and answers
 * PB_E_UNSUPPORTED for operations that a kind does not have.
 *
 * Every function has the same form: assert what no caller may get wrong, empty the outputs, ask for the slot (PB_NEED), call it.
 * Contracts are in gpu/device.h; gpu/ahead.c, gpu/cover.c and gpu/peers.c are the fronts of the other slots. The device's errors
 * pass unchanged.
 */
#include "gpu/device_table.h"

#include "base/memory.h"
#include "gpu/plugin.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The one kind that comes as a plugin (gpu/plugin.h). */
#define PLUGIN_KIND "cuda"

/* Devices point at it, so it is to be set before the first of them is opened. */
static char plans[PATH_MAX]; /* by pb_device_plans_path; "" when none was */

void pb_device_plans_path(const char *path) { snprintf(plans, sizeof plans, "%s", path ? path : ""); }

/* Whether `name` is "kind" or "kind:which". */
static bool is_of_kind(const char *name, const char *kind) {
    size_t length = strcspn(name, ":");
    return strlen(kind) == length && memcmp(kind, name, length) == 0;
}

/* The table for the kind before the colon of "kind:which". The plugin is opened only when its kind is named, so a program that
 * uses the CPU alone starts where there is no driver. */
static pb_status find_kind(const char *name, const pb_device_table **table) {
    *table = &pb_cpu_table;
    if (is_of_kind(name, pb_cpu_table.kind))
        return pb_ok();
    if (!is_of_kind(name, PLUGIN_KIND))
        return pb_fail(PB_E_USAGE, "device %s: unknown; this build has: %s %s", name, pb_cpu_table.kind, PLUGIN_KIND);
    char prefix[64];
    snprintf(prefix, sizeof prefix, "device %s", name);
    return pb_prefix(pb_plugin_table(table), prefix);
}

/* A plugin that cannot be opened is one line too: the kind, not usable, and why. */
void pb_device_each(pb_device_visitor *visit, void *context) {
    const pb_device_table *plugin;
    pb_cpu_table.each(visit, context);
    pb_status status = pb_plugin_table(&plugin);
    if (pb_failed(&status))
        visit(context, PLUGIN_KIND, false, status.message);
    else
        plugin->each(visit, context);
}

/* The kind's own `open` gets what stands after the colon, NULL when there is none, and fills in state, description, arithmetic
 * and identity. */
pb_status pb_device_open(const char *name, int threads, pb_device **device_out) {
    PB_ASSERT(name && threads >= 1);
    *device_out = NULL;
    const pb_device_table *table;
    PB_TRY(find_kind(name, &table));
    const char *colon = strchr(name, ':');
    pb_device *device;
    PB_TRY(pb_allocate(&device, 1, sizeof *device, "a device"));
    *device = (pb_device){.table = table, .threads = threads, .plans = plans[0] ? plans : NULL};
    pb_status status = table->open(device, colon ? colon + 1 : NULL);
    if (pb_failed(&status)) {
        pb_release(&device);
        return status;
    }
    *device_out = device;
    return status;
}

/* What was made on it is not freed here: it must be gone already. */
void pb_device_close(pb_device **device) {
    if (!*device)
        return;
    (*device)->table->close(*device);
    pb_release(device);
}

const char *pb_device_identity(const pb_device *device) { return device->identity; }

const char *pb_device_description(const pb_device *device) { return device->description; }

bool pb_device_memory_is_host(const pb_device *device) { return device->table->memory_is_host; }

const char *pb_device_arithmetic(const pb_device *device) { return device->arithmetic; }

pb_status pb_device_unsupported(const pb_device *device, const char *operation) {
    return pb_fail(PB_E_UNSUPPORTED, "device %s: has no operation %s", device->table->kind, operation);
}

/* pointer is the address of any object pointer, which void ** could not be: see base/memory.c. */
static void store(void *pointer, void *value) { memcpy(pointer, &value, sizeof value); }

pb_status pb_device_alloc(pb_device *device, size_t bytes, void *pointer_out, const char *what) {
    store(pointer_out, NULL);
    PB_NEED(device, alloc);
    void *memory = NULL;
    PB_TRY(device->table->alloc(device, bytes, &memory, what));
    store(pointer_out, memory);
    return pb_ok();
}

/* Takes the address of any object pointer, like pb_device_alloc. */
void pb_device_release(pb_device *device, void *pointer_inout) {
    void *memory;
    memcpy(&memory, pointer_inout, sizeof memory);
    if (!memory)
        return;
    device->table->release(device, memory);
    store(pointer_inout, NULL);
}

pb_status pb_device_upload(pb_device *device, void *to_device, const void *from_host, size_t bytes) {
    PB_ASSERT(bytes == 0 || (to_device && from_host));
    PB_NEED(device, upload);
    return device->table->upload(device, to_device, from_host, bytes);
}

pb_status pb_device_download(pb_device *device, void *to_host, const void *from_device, size_t bytes) {
    PB_ASSERT(bytes == 0 || (to_host && from_device));
    PB_NEED(device, download);
    return device->table->download(device, to_host, from_device, bytes);
}

pb_status pb_device_copy_block(pb_device *device, void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                               size_t height) {
    PB_ASSERT(width * height == 0 || (to && from && to_pitch >= width && from_pitch >= width));
    PB_NEED(device, copy_block);
    return device->table->copy_block(device, to, to_pitch, from, from_pitch, width, height);
}

pb_status pb_device_compile(pb_device *device, const pb_network *network, pb_precision precision, int batch_max,
                            pb_compiled **compiled_out) {
    PB_ASSERT(network->layer_count >= 1 && network->tap_count >= 1 && batch_max >= 1);
    *compiled_out = NULL;
    PB_NEED(device, compile);
    return device->table->compile(device, network, precision, batch_max, compiled_out);
}

void pb_device_compiled_free(pb_device *device, pb_compiled **compiled) {
    if (!*compiled)
        return;
    device->table->compiled_free(device, *compiled);
    *compiled = NULL;
}

pb_status pb_device_run(pb_device *device, pb_compiled *compiled, const uint8_t *images, int n, float *const *taps) {
    PB_ASSERT(compiled && n >= 0 && (n == 0 || images) && taps);
    PB_NEED(device, run);
    return device->table->run(device, compiled, images, n, taps);
}

/* A neighbourhood has a middle: its side is odd. */
static bool is_neighbourhood(int patch) { return patch >= 1 && patch <= PB_NEIGHBOURHOOD_MAX && patch % 2 == 1; }

pb_status pb_device_patch_features(pb_device *device, int patch, int tap_count, const pb_layer_shape *shapes,
                                   const float *const *taps, int n, float *features) {
    PB_ASSERT(is_neighbourhood(patch));
    PB_ASSERT(tap_count >= 1 && tap_count <= PB_TAPS_MAX && shapes && taps && n >= 0 && (n == 0 || features));
    PB_NEED(device, patch_features);
    return device->table->patch_features(device, patch, tap_count, shapes, taps, n, features);
}

pb_status pb_device_patchcore_features(pb_device *device, const pb_patchcore *how, int tap_count, const pb_layer_shape *shapes,
                                       const float *const *taps, int n, float *features) {
    PB_ASSERT(is_neighbourhood(how->patch) && how->stride >= 1);
    PB_ASSERT(how->layer_dim >= 1 && how->feature_dim >= 1);
    PB_ASSERT(tap_count >= 1 && tap_count <= PB_TAPS_MAX && shapes && taps && n >= 0 && (n == 0 || features));
    PB_NEED(device, patchcore_features);
    return device->table->patchcore_features(device, how, tap_count, shapes, taps, n, features);
}

pb_status pb_device_unit_rows(pb_device *device, float *rows, size_t n, int dim) {
    PB_ASSERT(dim >= 1 && (n == 0 || rows));
    PB_NEED(device, unit_rows);
    return device->table->unit_rows(device, rows, n, dim);
}

pb_status pb_device_project(pb_device *device, const float *rows, size_t n, int dim, const float *matrix, int out_dim,
                            float *out) {
    PB_ASSERT(dim >= 1 && out_dim >= 1 && matrix && (n == 0 || (rows && out)));
    PB_NEED(device, project);
    return device->table->project(device, rows, n, dim, matrix, out_dim, out);
}

pb_status pb_device_smooth_maps(pb_device *device, const pb_smoothing *how, const float *maps, int n, pb_size grid, pb_size size,
                                float *pixels) {
    PB_ASSERT(how->reach >= 0 && how->reach <= PB_SMOOTHING_REACH_MAX && n >= 0 && (n == 0 || (maps && pixels)));
    PB_ASSERT(grid.width >= 1 && grid.height >= 1 && size.width >= 1 && size.height >= 1);
    PB_NEED(device, smooth_maps);
    return device->table->smooth_maps(device, how, maps, n, grid, size, pixels);
}

pb_status pb_device_points_create(pb_device *device, size_t capacity, int dim, pb_points **points_out) {
    PB_ASSERT(capacity < UINT32_MAX && dim >= 1);
    *points_out = NULL;
    PB_NEED(device, points_create);
    return device->table->points_create(device, capacity, dim, points_out);
}

void pb_device_points_free(pb_device *device, pb_points **points) {
    if (!*points)
        return;
    device->table->points_free(device, *points);
    *points = NULL;
}

pb_status pb_device_points_write(pb_device *device, pb_points *points, size_t first, size_t count, const float *rows,
                                 int64_t *not_finite) {
    PB_ASSERT(points && not_finite && (count == 0 || rows));
    PB_NEED(device, points_write);
    return device->table->points_write(device, points, first, count, rows, not_finite);
}

pb_status pb_device_points_read(pb_device *device, const pb_points *points, size_t index, float *row) {
    PB_ASSERT(points && row);
    PB_NEED(device, points_read);
    return device->table->points_read(device, points, index, row);
}

/* Returns nothing, so a missing slot is asserted: whoever has points has this. */
void pb_device_points_clear(pb_device *device, pb_points *points) {
    PB_ASSERT(points && device->table->points_clear);
    device->table->points_clear(device, points);
}

pb_status pb_device_greedy_step(pb_device *device, pb_points *points, uint32_t first_index, const float *centre, uint64_t *best) {
    PB_ASSERT(points && centre && best);
    PB_NEED(device, greedy_step);
    return device->table->greedy_step(device, points, first_index, centre, best);
}

pb_status pb_device_nearest(pb_device *device, const pb_points *points, uint32_t first_index, const float *queries, size_t count,
                            uint64_t *nearest) {
    PB_ASSERT(points && (count == 0 || (queries && nearest)));
    PB_NEED(device, nearest);
    return device->table->nearest(device, points, first_index, queries, count, nearest);
}
