/* weights.h: private to jobs/: the backbone's weights, from a file or random. */
#ifndef PB_JOBS_WEIGHTS_H
#define PB_JOBS_WEIGHTS_H

#include "base/status.h"
#include "gpu/network.h"
#include "mpi/comm.h"

enum { PB_WEIGHTS_IDENTITY_MAX = 96 };

/* Collective. Loads the network of `backbone` with `taps` and an input of `input` pixels. source: a safetensors file, which rank
 * 0 reads and hands to all, or "random:SEED". identity: "sha256:<64 digits>" of the file or
 * "random:<seed>"; two banks fit together only if it is equal. The network is owned by the caller (pb_network_free). Errors,
 * agreed: PB_E_INPUT for the file, PB_E_USAGE for a source that is neither; *network may then be filled on some ranks and is
 * freed by the caller in any case. */
PB_CHECKED pb_status pb_weights_load(pb_comm *comm, const char *source, const char *backbone, const char *taps, pb_size input,
                                     pb_network *network, char identity[PB_WEIGHTS_IDENTITY_MAX]);

#endif
