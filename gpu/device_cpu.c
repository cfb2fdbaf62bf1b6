/* The "cpu" device: its memory is host memory, so that copies are copies and results are in place when a call returns.
 *
 * The table at the end names every operation; those that are more than a copy are in the cpu_*.c files (gpu/cpu.h). Slots of
 * gpu/peers.h and gpu/ahead.h are empty: ranks exchange by MPI, and what is sent is copied at once.
 */
#include "gpu/cpu.h"

#include "base/memory.h"

#include <stdio.h>
#include <string.h>

/* "cpu" takes the best kernels of this processor, "cpu:avx2" those. oneDNN chooses for itself. "arithmetic" names what decides
 * the bits of features: oneDNN, its version and instruction set, and our Winograd. Our kernels are not in it, as all sets give
 * the same bits. */
static pb_status cpu_open(pb_device *device, const char *which) {
    const pb_cpu_kernels *kernels = pb_cpu_kernels_choose(which);
    if (!kernels)
        return pb_fail(PB_E_UNSUPPORTED, "device cpu:%s: this processor runs no kernels of that name (avx512, avx2, plain)",
                       which);
    pb_cpu_state *state;
    PB_TRY(pb_allocate(&state, 1, sizeof *state, "the cpu device"));
    state->kernels = kernels;
    device->state = state;
    char library[64];
    pb_cpu_network_library(library, sizeof library);
    snprintf(device->description, sizeof device->description, "cpu: %s kernels, %s, %d thread%s", kernels->name, library,
             device->threads, device->threads == 1 ? "" : "s");
    snprintf(device->arithmetic, sizeof device->arithmetic, "cpu: %s, Winograd 2x2", library); /* gpu/cpu_winograd.h */
    return pb_ok();
}

/* "cpu", and every set of kernels that it can be told to keep to. */
static void cpu_each(pb_device_visitor *visit, void *context) {
    char about[128], library[64], name[32];
    const char *set, *needs;
    pb_cpu_network_library(library, sizeof library);
    snprintf(about, sizeof about, "%s kernels, the best here; networks by %s", pb_cpu_kernels_choose(NULL)->name, library);
    visit(context, "cpu", true, about);
    for (size_t i = 0; (set = pb_cpu_kernels_name(i, &needs)); i++) {
        const bool usable = pb_cpu_kernels_choose(set) != NULL;
        snprintf(name, sizeof name, "cpu:%s", set);
        snprintf(about, sizeof about, "%s kernels%s%s", set, usable ? "" : ": this processor has not all that they need: ",
                 usable ? "" : needs);
        visit(context, name, usable, about);
    }
}

static void cpu_close(pb_device *device) { pb_release(&device->state); }

/* Zeroed, which the contract does not promise. */
static pb_status cpu_alloc(pb_device *device, size_t bytes, void **pointer, const char *what) {
    (void)device;
    return pb_allocate(pointer, bytes, 1, what);
}

static void cpu_release(pb_device *device, void *pointer) {
    (void)device;
    pb_release(&pointer);
}

/* Upload and download: a copy of nothing may have NULL pointers, which memcpy may not. */
static pb_status cpu_copy(pb_device *device, void *to, const void *from, size_t bytes) {
    (void)device;
    if (bytes > 0)
        memcpy(to, from, bytes);
    return pb_ok();
}

static pb_status cpu_copy_block(pb_device *device, void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                                size_t height) {
    (void)device;
    for (size_t i = 0; i < height && width > 0; i++)
        memcpy((char *)to + i * to_pitch, (const char *)from + i * from_pitch, width);
    return pb_ok();
}

const pb_device_table pb_cpu_table = {
    .version = PB_DEVICE_TABLE_VERSION,
    .kind = "cpu",
    .memory_is_host = true,
    .each = cpu_each,
    .open = cpu_open,
    .close = cpu_close,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .upload = cpu_copy,
    .download = cpu_copy,
    .copy_block = cpu_copy_block,
    .compile = pb_cpu_compile,
    .compiled_free = pb_cpu_compiled_free,
    .run = pb_cpu_run,
    .patch_features = pb_cpu_patch_features,
    .patchcore_features = pb_cpu_patchcore_features,
    .unit_rows = pb_cpu_unit_rows,
    .project = pb_cpu_project,
    .smooth_maps = pb_cpu_smooth_maps,
    .points_create = pb_cpu_points_create,
    .points_free = pb_cpu_points_free,
    .points_write = pb_cpu_points_write,
    .points_read = pb_cpu_points_read,
    .points_clear = pb_cpu_points_clear,
    .greedy_step = pb_cpu_greedy_step,
    .nearest = pb_cpu_nearest,
    .cover_create = pb_cpu_cover_create,
    .cover_free = pb_cpu_cover_free,
    .cover_write = pb_cpu_cover_write,
    .cover_place = pb_cpu_cover_place,
    .cover_read = pb_cpu_cover_read,
    .cover_add = pb_cpu_cover_add,
    .cover_refresh = pb_cpu_cover_refresh,
    .cover_settle = pb_cpu_cover_settle,
    .cover_key = pb_cpu_cover_key,
    .cover_raise = pb_cpu_cover_raise,
    .cover_candidates = pb_cpu_cover_candidates,
    .cover_select = pb_cpu_cover_select,
    .cover_update = pb_cpu_cover_update,
};
