/* comm.h: the ranks of a job.
 *
 * A thin layer over MPI_COMM_WORLD that adds what MPI lacks: one way to agree on an error, a watchdog that names the collective
 * that does not end, and checked sizes. No other room includes mpi.h.
 *
 * The rule of this project: no early return between a local failure and the next collective. A rank that fails finishes its
 * local work, enters pb_agree with its status, and all ranks leave together with the same one.
 *
 * "Collective" below: every rank of the communicator calls it, in the same order. An MPI error means that a peer cannot be
 * reached; MPI's own error handler then ends the job.
 *
 * What a step of a job looks like, in which some ranks may fail:
 *     pb_status status = work_of_this_rank();            may fail here and not there
 *     status = pb_agree(comm, status);                   from here on the same on all ranks
 *     if (!pb_failed(&status))
 *         pb_comm_broadcast(comm, ...);                  all ranks or none
 * A rank that cannot know yet whether it fails (in the midst of a ring) takes part with whatever it has, and agrees afterwards.
 */
#ifndef PB_MPI_COMM_H
#define PB_MPI_COMM_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* A communicator: the one of all ranks, or one of a single rank. Used by the main thread alone. The watchdog that it has is a
 * thread, but calls no MPI. */
typedef struct pb_comm pb_comm;

/* Collective. Starts MPI (a run without mpiexec is one rank) and the watchdog thread, which has no limit until
 * pb_comm_watchdog gives it one. argc, argv: main's; MPI may take its own arguments out. Once in a process.
 * Out: *comm_out, owned by the caller; NULL after a failure. Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_comm_create(int *argc, char ***argv, pb_comm **comm_out);

/* Ends a communicator, stops its watchdog, sets *comm to NULL; NULL is left alone. One of pb_comm_create: collective, ends MPI,
 * after which no other may be used. One of pb_comm_create_self: not collective, MPI goes on. */
void pb_comm_destroy(pb_comm **comm);

/* A communicator of this rank alone, for work that a rank does by itself with functions that are collective elsewhere. MPI must
 * run (pb_comm_create). Has its own watchdog, without a limit, and its own counters. Owned by the caller, destroyed by
 * pb_comm_destroy before the one of all ranks is. Not collective. Errors: PB_E_SYSTEM; *self_out is NULL then. */
PB_CHECKED pb_status pb_comm_create_self(pb_comm **self_out);

/* Sets the watchdog's limit, in seconds; 0 (as at the start) switches it off. A collective that has not ended after that time
 * writes one line with its name, this rank and host, and ends the process with exit code PB_E_SYSTEM, upon which mpiexec or srun
 * ends the job. The time counts from the last step of a collective that has several. Not collective. */
void pb_comm_watchdog(pb_comm *comm, double limit_s);

/* This rank's number, from 0, and the number of ranks. Not collective. */
int pb_comm_rank(const pb_comm *comm);
int pb_comm_size(const pb_comm *comm);

/* This rank's number among those of its host, from 0, in the order of their ranks. The same for a communicator of
 * pb_comm_create_self. Not collective. */
int pb_comm_local_rank(const pb_comm *comm);

/* CPU threads that this rank may use so that the ranks of one host share its cores: the cores that it may run on (its affinity
 * mask when MPI was started), divided by the number of ranks of the host, itself included, that may run on any of these too; at
 * least 1. The same for a communicator of pb_comm_create_self: its rank still has its neighbours. Not collective. */
int pb_comm_fair_threads(const pb_comm *comm);

/* Collective. The one verdict of all ranks: PB_OK when every rank's status is PB_OK, else the status of the lowest rank among
 * those with the greatest severity (pb_code_severity: what must never be retried hides what may be), on every rank alike; its
 * member `rank` then names that rank (a status that was agreed on before keeps its rank).
 * Cost: one allreduce of 8 bytes; one broadcast of the status only on failure. */
PB_CHECKED pb_status pb_agree(pb_comm *comm, pb_status local);

/* Collective. Whether `text` (what a rank made of a file that all of them read, say) is the same on every rank: PB_OK, else
 * PB_E_INPUT on all ranks alike: "<what>: differs between the ranks (rank 0 has ..., rank R has ...); it must be the same on
 * all ranks", R the lowest rank that differs from rank 0; long texts are shown cut. Texts are compared by a 64-bit hash.
 * Cost: one allreduce of 16 bytes; texts travel only when they differ. */
PB_CHECKED pb_status pb_agree_equal(pb_comm *comm, const char *text, const char *what);

/* Collective. Waits for all ranks. `what` names it for the watchdog, here and below ("before publishing the bank"). */
void pb_comm_barrier(pb_comm *comm, const char *what);

/* Collective. The maximum (sum) of `value` over the ranks, on all of them. A sum that overflows wraps round; of max_real no value
 * may be NaN, of which MPI's maximum says nothing. */
uint64_t pb_comm_max_u64(pb_comm *comm, uint64_t value, const char *what);
uint64_t pb_comm_sum_u64(pb_comm *comm, uint64_t value, const char *what);
/* Collective. As pb_comm_sum_u64, for each of `count` values, any number, the same on all ranks. */
void pb_comm_sum_array_u64(pb_comm *comm, uint64_t *values, size_t count, const char *what);
/* Collective. The sum of `value` over the ranks below this one; 0 on rank 0. */
uint64_t pb_comm_sum_before_u64(pb_comm *comm, uint64_t value, const char *what);
double pb_comm_max_real(pb_comm *comm, double value, const char *what);

/* Collective. Copies `bytes` bytes (any size, equal on all ranks) from rank root's buffer to everybody's. */
void pb_comm_broadcast(pb_comm *comm, void *buffer, size_t bytes, int root, const char *what);

/* Collective. Every rank gives `bytes` bytes (any number, may differ, may be 0); rank root gets them end to end in rank order in
 * *gathered (owned by the caller, released by pb_release) with sizes[rank]; elsewhere *gathered is NULL and sizes is not touched.
 * sizes: room for one entry a rank on root, may be NULL elsewhere. Message sizes are cut to what MPI's int counts allow.
 * Errors: PB_E_SYSTEM on every rank when root has no memory. */
PB_CHECKED pb_status pb_comm_gather(pb_comm *comm, const void *part, size_t bytes, int root, void *gathered_out, size_t *sizes,
                                    const char *what);

/* Collective. Every rank gives `bytes` bytes, the same number on all; everybody gets those of all ranks in rank order in `all`
 * (size * bytes). The buffers do not overlap. Precondition as of pb_comm_allgather_parts: all parts together are below 2 GiB. */
void pb_comm_allgather(pb_comm *comm, const void *part, size_t bytes, void *all, const char *what);

/* Collective. As pb_comm_allgather with parts of different sizes: rank r gives sizes[r] bytes; `sizes` is the same on all ranks.
 * Precondition, an assertion here, so callers must check it before where sizes come from options or files: the sum of the sizes
 * is below 2 GiB (INT_MAX bytes at most). */
void pb_comm_allgather_parts(pb_comm *comm, const void *part, const size_t *sizes, void *all, const char *what);

/* Collective. Sends send_bytes bytes to rank `to` while receiving exactly receive_bytes bytes from rank `from` (any sizes; both
 * ends must know them); the buffers do not overlap. For rings. */
void pb_comm_exchange(pb_comm *comm, const void *send, size_t send_bytes, int to, void *receive, size_t receive_bytes, int from,
                      const char *what);

/* How many collectives this rank has entered, the bytes it has sent in them and the seconds it has spent there, for the most part
 * waiting for others, since pb_comm_create. Not collective. */
typedef struct pb_comm_counters {
    uint64_t collectives, bytes_sent; /* those that a collective is made of count too */
    double seconds;
} pb_comm_counters;
pb_comm_counters pb_comm_count(const pb_comm *comm);

#endif
