/* certificate.h: private to tests/bench/: whether a coreset is what the textbook loop picks, found out by another way than either
 * selection: by the search kernel (gpu/device.h, nearest). */
#ifndef PB_BENCH_CORESET_CERTIFICATE_H
#define PB_BENCH_CORESET_CERTIFICATE_H

#include "coreset/coreset.h"
#include "gpu/device.h"
#include "mpi/comm.h"
#include "points.h"

/* What was found, over all ranks. Sound when all are 0. */
typedef struct bench_certificate {
    uint64_t wrong_radii; /* picks at another distance than the radius before them says */
    uint64_t beaten; /* pairs of a pick and a point that was farther away (or as far, with a smaller index) when it was picked */
    uint64_t wrong_last;  /* the last radius is not the largest distance of any point to the picks */
} bench_certificate;

/* Collective. All picks and all radii of `coreset`, which is equal on all ranks. Cost: points * picks distances. */
bench_certificate bench_certify(pb_comm *comm, pb_device *device, const bench_points *points, const pb_coreset *coreset);

#endif
