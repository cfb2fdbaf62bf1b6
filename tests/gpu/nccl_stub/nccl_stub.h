/* nccl_stub.h: an NCCL for tests of gpu/cuda/peers.c: the symbols that the plugin uses, between processes of one host, each of
 * which has an emulated device (emulator.h). Ranks meet in shared memory and not in MPI: a rank that gave up an exchange must
 * leave nothing behind that MPI would still wait for.
 *
 * As NCCL without blocking does, calls that start something answer "in progress", and the stream waits for the ranks. What an
 * exchange carries is checked: kinds, sizes and memory of all ranks must fit together, or the communicator has an error.
 */
#ifndef PB_TESTS_NCCL_STUB_H
#define PB_TESTS_NCCL_STUB_H

#include "gpu/cuda/nccl.h"

/* NCCL's call number `call` from now on (1 is the next) answers `result` once, and does nothing; PB_NCCL_IN_PROGRESS: and stays
 * in progress for ever. 0: none. Returns how many calls were made since the last call of this function. Not counted are
 * GetVersion, GetErrorString, CommDestroy and CommAbort, and CommGetAsyncError unless it ends what was in progress: how often a
 * rank asks is a matter of time. */
size_t nccl_stub_fail(size_t call, pb_nccl_result result);

/* From now on communicators of this process have this error. */
void nccl_stub_lose(pb_nccl_result result);

/* What GetVersion says. */
void nccl_stub_version(int version);

/* Communicators that have been neither destroyed nor aborted. */
size_t nccl_stub_living(void);

#endif
