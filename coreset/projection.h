/* projection.h: the random linear projection before selection.
 *
 * Greedy selection looks only at distances, and by Johnson and Lindenstrauss a random linear map to out_dim dimensions keeps them
 * within a factor 1 +- epsilon. Entries are +-1 / sqrt(out_dim) with independent signs (D. Achlioptas, "Database-friendly random
 * projections", JCSS 66, 2003), from the counter-based generator: signs are exact, so every rank and device makes the same
 * matrix without a transcendental function, and 1 / sqrt(out_dim) is rounded once. Not collective.
 *
 * Life: pb_projection_create; perhaps pb_projection_reserve; pb_projection_apply for each batch, whose result is used before the
 * next; pb_projection_free.
 */
#ifndef PB_CORESET_PROJECTION_H
#define PB_CORESET_PROJECTION_H

#include "base/status.h"
#include "gpu/device.h"

/* matrix: [dim][out_dim], host memory of the caller. The sign of entry (k, j) is bit 31 of number k * out_dim + j of
 * PB_STREAM_PROJECTION under `seed`: 1 is plus. Thread safe. */
void pb_projection_matrix(uint64_t seed, int dim, int out_dim, float *matrix);

/* A projection ready on a device. Used by the device's thread. */
typedef struct pb_projection pb_projection;

/* Makes it for features of `dim` > 0 values. out_dim 0, or >= dim: selection sees the features themselves (the identity, no
 * copy). The device is borrowed and must outlive it. Owned by the caller, NULL on error. Errors: PB_E_SYSTEM, those of the
 * device. Of pb_projection_free NULL is fine, and *projection is NULL afterwards. */
PB_CHECKED pb_status pb_projection_create(pb_device *device, uint64_t seed, int dim, int out_dim, pb_projection **projection_out);
void pb_projection_free(pb_projection **projection);

/* Values a projected row has: out_dim, or dim for the identity. */
int pb_projection_dim(const pb_projection *projection);

/* Makes room for n projected rows, so that pb_projection_apply of as many needs no memory. Errors: PB_E_SYSTEM; the projection
 * can be used all the same. Fault point: projection.memory. */
PB_CHECKED pb_status pb_projection_reserve(pb_projection *projection, size_t n);

/* Projects rows [n][dim] in device memory, canonically. *projected: [n][pb_projection_dim], device memory of the projection
 * (valid until its next call), or rows itself for the identity. NaN and infinity go through as arithmetic has it. Errors:
 * PB_E_SYSTEM when there is no room for n rows, those of the device. */
PB_CHECKED pb_status pb_projection_apply(pb_projection *projection, const float *rows, size_t n, const float **projected);

#endif
