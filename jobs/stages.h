/* stages.h: private to jobs/: how long the stages of a pipeline worked and waited, and which of them holds it up. */
#ifndef PB_JOBS_STAGES_H
#define PB_JOBS_STAGES_H

#include "mpi/comm.h"

#include <stdint.h>

/* Of one rank's pass over images, or the sum over ranks. Seconds by the wall clock: where stages share a core, the time that a
 * stage's threads wait for that core counts as work. */
typedef struct pb_stages {
    double read_busy_s, read_wait_s;     /* of the reader: reading, and the rest of the pass: waiting for room or its end */
    double decode_busy_s, decode_wait_s; /* sums over the decoders: decoding, and the rest: waiting for images or for room */
    double device_busy_s, device_wait_s; /* of the network with the patch features, and waiting for a batch of inputs */
    uint64_t images, bytes;              /* handed to the device; read from the archive */
    uint64_t read_again;                 /* images that had to be read through HDF5, one at a time */
} pb_stages;

/* The stage that is busy for the greatest share of its time: "read", "decode" or "device"; the device where none did anything. A
 * static text. Not collective. */
const char *pb_stages_bottleneck(const pb_stages *stages);

/* Adds those of `more`: of another pass, or of another rank. Not collective. */
void pb_stages_add(pb_stages *stages, const pb_stages *more);

/* Collective. The sum over the ranks, on all of them, seconds to microseconds. */
pb_stages pb_stages_sum(pb_comm *comm, const pb_stages *mine);

/* Collective. Rank 0 logs the sums over the ranks as event "pipeline"; pass: what the images were wanted for, one word. */
void pb_stages_log(pb_comm *comm, const char *pass, const pb_stages *mine);

#endif
