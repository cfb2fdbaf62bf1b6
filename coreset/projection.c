/* projection.c: the matrix of random signs, and its product with features on a device (decision 0006). The product is an
 * operation of the device, canonical (invariant 1); here are only the matrix, where the result lies, and the case in which there
 * is nothing to do. */
#include "coreset/projection.h"

#include "base/fault.h"
#include "base/memory.h"
#include "base/random.h"

#include <math.h>

/* A projection on a device. The identity has neither matrix nor memory of its own: rows go through untouched. */
struct pb_projection {
    pb_device *device;
    int dim, out_dim; /* equal for the identity */
    float *matrix;    /* device memory, [dim][out_dim]; NULL for the identity */
    float *projected; /* device memory, [room][out_dim] */
    size_t room;      /* rows */
};

/* A number of the generator has 32 bits, of which a sign takes the uppermost. A block has four numbers, so a new one is made for
 * every fourth entry. */
void pb_projection_matrix(uint64_t seed, int dim, int out_dim, float *matrix) {
    const float entry = 1.0f / sqrtf((float)out_dim); /* square root and division are correctly rounded: IEEE 754 */
    size_t entries = (size_t)dim * (size_t)out_dim;
    uint32_t block[4];
    for (size_t i = 0; i < entries; i++) {
        if (i % 4 == 0)
            pb_random_block(seed, PB_STREAM_PROJECTION, 0, i / 4, block);
        matrix[i] = block[i % 4] >> 31 ? entry : -entry;
    }
}

/* Made on the host, on every rank alike, then copied: no rank waits for another, and no device needs a generator. */
static pb_status upload_matrix(pb_projection *projection, uint64_t seed) {
    size_t entries = (size_t)projection->dim * (size_t)projection->out_dim;
    float *matrix;
    PB_TRY(pb_allocate(&matrix, entries, sizeof *matrix, "the projection matrix"));
    pb_projection_matrix(seed, projection->dim, projection->out_dim, matrix);
    pb_device *device = projection->device;
    pb_status status = pb_device_alloc(device, entries * sizeof *matrix, &projection->matrix, "the projection matrix");
    if (!pb_failed(&status))
        status = pb_device_upload(device, projection->matrix, matrix, entries * sizeof *matrix);
    pb_release(&matrix);
    return status;
}

/* out_dim >= dim would only add noise: then the features themselves are looked at. */
pb_status pb_projection_create(pb_device *device, uint64_t seed, int dim, int out_dim, pb_projection **projection_out) {
    PB_ASSERT(dim > 0 && out_dim >= 0);
    *projection_out = NULL;
    pb_projection *projection;
    PB_TRY(pb_allocate(&projection, 1, sizeof *projection, "the projection"));
    bool identity = out_dim == 0 || out_dim >= dim;
    *projection = (pb_projection){.device = device, .dim = dim, .out_dim = identity ? dim : out_dim};
    pb_status status = identity ? pb_ok() : upload_matrix(projection, seed);
    if (pb_failed(&status))
        pb_projection_free(&projection);
    *projection_out = projection;
    return status;
}

void pb_projection_free(pb_projection **projection) {
    if (!*projection)
        return;
    pb_device_release((*projection)->device, &(*projection)->matrix);
    pb_device_release((*projection)->device, &(*projection)->projected);
    pb_release(projection);
}

int pb_projection_dim(const pb_projection *projection) { return projection->out_dim; }

/* Grows and stays; the old memory goes first, so that both sizes need not fit. room is 0 in between, and after a failure. */
static pb_status make_room(pb_projection *projection, size_t n) {
    if (n <= projection->room)
        return pb_ok();
    projection->room = 0;
    pb_device_release(projection->device, &projection->projected);
    size_t bytes = n * (size_t)projection->out_dim * sizeof *projection->projected;
    PB_TRY(pb_device_alloc(projection->device, bytes, &projection->projected, "projected features"));
    projection->room = n;
    return pb_ok();
}

pb_status pb_projection_reserve(pb_projection *projection, size_t n) {
    if (pb_fault("projection.memory"))
        return pb_fail(PB_E_SYSTEM, "no memory for %zu projected rows", n);
    return projection->matrix ? make_room(projection, n) : pb_ok();
}

pb_status pb_projection_apply(pb_projection *projection, const float *rows, size_t n, const float **projected) {
    *projected = rows;
    if (!projection->matrix)
        return pb_ok();
    PB_TRY(make_room(projection, n));
    *projected = projection->projected;
    return pb_device_project(projection->device, rows, n, projection->dim, projection->matrix, projection->out_dim,
                             projection->projected);
}
