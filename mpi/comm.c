/* comm.c: the communicator and its collectives. MPI's error handler stays MPI_ERRORS_ARE_FATAL: a failing MPI call means that
 * peers cannot be reached, and then there is nobody left to agree with. So no collective here returns an MPI error; what they
 * return is of memory alone.
 *
 * Every collective stands between pb_comm_enter and pb_comm_leave: the watchdog then knows what the rank waits for, and the
 * counters are true. Long messages go in pieces, whose boundaries follow from their length alone, so that all who take part cut
 * them alike. Of threads only the main one calls MPI (MPI_THREAD_FUNNELED).
 *
 * MPI_COMM_WORLD is used as it is, without a duplicate: nothing else in the process sends messages, and point-to-point ones are
 * told apart by their tags.
 */
#include "mpi/comm_private.h"

#include "base/clock.h"
#include "base/memory.h"
#include "mpi/affinity.h"

#include <limits.h>
#include <string.h>

/* MPI 3 counts are int; larger messages go in pieces of this many bytes, 1 GiB. The tests build these sources with pieces of a
 * few. */
#ifndef PB_PIECE_BYTES
#define PB_PIECE_BYTES ((size_t)1 << 30)
#endif
static const size_t PIECE_BYTES = PB_PIECE_BYTES;

/* Of the process, whatever the communicator; known once the local ranks have met in pb_comm_create. Written by the main thread
 * before there is another communicator. */
static int process_threads = 1, process_local_rank;

/* Brackets nest: a gather uses pb_agree, which is an allreduce. Each of them counts as a collective and names itself to the
 * watchdog, whose time begins anew; seconds are counted by the outermost one alone, so that none counts twice. */
void pb_comm_enter(pb_comm *comm, const char *what, size_t bytes) {
    comm->counters.collectives++;
    comm->counters.bytes_sent += bytes;
    if (comm->depth++ == 0)
        comm->entered = pb_clock_seconds();
    pb_watchdog_mark(&comm->watchdog, what);
}

/* The inner bracket leaves the watchdog without a name: whoever goes on in the outer one marks it again. */
void pb_comm_leave(pb_comm *comm) {
    pb_watchdog_mark(&comm->watchdog, NULL);
    if (--comm->depth == 0)
        comm->counters.seconds += pb_clock_seconds() - comm->entered;
}

/* Collective. The ranks of each host tell each other their masks. Not in a bracket: the watchdog has no limit yet. The agreement
 * is over all ranks, of all hosts, so that no host goes on when another cannot. */
static pb_status share_cores(pb_comm *comm) {
    MPI_Comm local;
    int size, rank;
    cpu_set_t mine = pb_affinity_mine(), *masks = NULL;
    /* Ranks that can share memory are those of a host; among them the order of their ranks. */
    MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->rank, MPI_INFO_NULL, &local);
    MPI_Comm_size(local, &size);
    MPI_Comm_rank(local, &rank);
    comm->local_rank = process_local_rank = rank;
    pb_status status = pb_agree(comm, pb_allocate(&masks, (size_t)size, sizeof *masks, "affinity masks"));
    if (!pb_failed(&status)) {
        MPI_Allgather(&mine, sizeof mine, MPI_BYTE, masks, sizeof mine, MPI_BYTE, local);
        comm->fair_threads = process_threads = pb_affinity_share(masks, size, rank);
    }
    pb_release(&masks);
    MPI_Comm_free(&local);
    return status;
}

/* Before MPI_Init_thread there is nobody to agree with: a rank without memory for the struct leaves alone, and ends with a code
 * that makes mpiexec or srun end the others. From then on every failure is agreed on. */
pb_status pb_comm_create(int *argc, char ***argv, pb_comm **comm_out) {
    *comm_out = NULL;
    pb_comm *comm;
    PB_TRY(pb_allocate(&comm, 1, sizeof *comm, "the communicator"));
    int provided;
    /* Only the main thread calls MPI; the watchdog thread never does. */
    MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &provided);
    PB_ASSERT(provided >= MPI_THREAD_FUNNELED);
    comm->world = MPI_COMM_WORLD;
    MPI_Comm_rank(comm->world, &comm->rank);
    MPI_Comm_size(comm->world, &comm->size);
    /* The watchdog is started before the first collective, without a limit: pb_comm_watchdog gives it one when options are
     * read. */
    pb_status status = pb_allocate(&comm->counts, 2 * (size_t)comm->size, sizeof *comm->counts, "message counts");
    pb_keep_first(&status, pb_watchdog_start(&comm->watchdog, comm->rank));
    status = pb_agree(comm, status);
    if (!pb_failed(&status))
        status = share_cores(comm);
    if (pb_failed(&status))
        pb_comm_destroy(&comm);
    *comm_out = comm;
    return status;
}

/* Its facts about the host are those of the process. local_rank and fair_threads would otherwise be those of a rank that is
 * alone. */
pb_status pb_comm_create_self(pb_comm **self_out) {
    *self_out = NULL;
    pb_comm *self;
    PB_TRY(pb_allocate(&self, 1, sizeof *self, "a communicator"));
    *self = (pb_comm){.world = MPI_COMM_SELF, .size = 1, .local_rank = process_local_rank, .fair_threads = process_threads};
    pb_status status = pb_allocate(&self->counts, 2, sizeof *self->counts, "message counts");
    pb_keep_first(&status, pb_watchdog_start(&self->watchdog, 0));
    if (pb_failed(&status))
        pb_comm_destroy(&self);
    *self_out = self;
    return status;
}

/* MPI_Finalize may wait for others, so it is a collective to the watchdog as well. The watchdog goes after it, and memory last. A
 * communicator that was only half made has everything zeroed that it lacks. */
void pb_comm_destroy(pb_comm **comm) {
    if (!*comm)
        return;
    pb_comm_enter(*comm, "end of MPI", 0);
    if ((*comm)->world == MPI_COMM_WORLD)
        MPI_Finalize();
    pb_comm_leave(*comm);
    pb_watchdog_stop(&(*comm)->watchdog);
    pb_release(&(*comm)->counts);
    pb_release(comm);
}

void pb_comm_watchdog(pb_comm *comm, double limit_s) { pb_watchdog_limit(&comm->watchdog, limit_s); }

int pb_comm_rank(const pb_comm *comm) { return comm->rank; }

int pb_comm_size(const pb_comm *comm) { return comm->size; }

int pb_comm_local_rank(const pb_comm *comm) { return comm->local_rank; }

int pb_comm_fair_threads(const pb_comm *comm) { return comm->fair_threads; }

void pb_comm_barrier(pb_comm *comm, const char *what) {
    pb_comm_enter(comm, what, 0);
    MPI_Barrier(comm->world);
    pb_comm_leave(comm);
}

/* Every reduction of one value: 8 bytes, whichever the type. */
static void reduce_in_place(pb_comm *comm, void *value, MPI_Datatype type, MPI_Op op, const char *what) {
    pb_comm_enter(comm, what, 8);
    MPI_Allreduce(MPI_IN_PLACE, value, 1, type, op, comm->world);
    pb_comm_leave(comm);
}

uint64_t pb_comm_max_u64(pb_comm *comm, uint64_t value, const char *what) {
    reduce_in_place(comm, &value, MPI_UINT64_T, MPI_MAX, what);
    return value;
}

uint64_t pb_comm_sum_u64(pb_comm *comm, uint64_t value, const char *what) {
    reduce_in_place(comm, &value, MPI_UINT64_T, MPI_SUM, what);
    return value;
}

/* In pieces of 1 MiB: a reduction makes buffers as large as what it reduces, and small ones are used again. The sum of whole
 * numbers does not depend on how MPI orders it. */
void pb_comm_sum_array_u64(pb_comm *comm, uint64_t *values, size_t count, const char *what) {
    const size_t piece = PIECE_BYTES < (1 << 20) ? PIECE_BYTES : 1 << 20;
    const size_t most = piece / sizeof *values > 0 ? piece / sizeof *values : 1;
    pb_comm_enter(comm, what, count * sizeof *values);
    for (size_t done = 0; done < count; done += most)
        MPI_Allreduce(MPI_IN_PLACE, values + done, (int)(count - done < most ? count - done : most), MPI_UINT64_T, MPI_SUM,
                      comm->world);
    pb_comm_leave(comm);
}

/* An exclusive prefix sum: where this rank's items begin when all are counted in rank order. */
uint64_t pb_comm_sum_before_u64(pb_comm *comm, uint64_t value, const char *what) {
    uint64_t before = 0;
    pb_comm_enter(comm, what, sizeof value);
    MPI_Exscan(&value, &before, 1, MPI_UINT64_T, MPI_SUM, comm->world);
    pb_comm_leave(comm);
    return comm->rank == 0 ? 0 : before; /* MPI leaves rank 0's result undefined */
}

double pb_comm_max_real(pb_comm *comm, double value, const char *what) {
    reduce_in_place(comm, &value, MPI_DOUBLE, MPI_MAX, what);
    return value;
}

/* How many of the bytes not yet done make the next piece. */
static int piece_size(size_t bytes, size_t done) {
    size_t left = bytes - done;
    return (int)(left < PIECE_BYTES ? left : PIECE_BYTES);
}

/* Only the root is counted as sending, whatever tree MPI makes of it. */
void pb_comm_broadcast(pb_comm *comm, void *buffer, size_t bytes, int root, const char *what) {
    pb_comm_enter(comm, what, comm->rank == root ? bytes : 0);
    for (size_t done = 0; done < bytes;) {
        int piece = piece_size(bytes, done);
        MPI_Bcast((char *)buffer + done, piece, MPI_BYTE, root, comm->world);
        done += (size_t)piece;
    }
    pb_comm_leave(comm);
}

/* Of the two operations made of single messages. Messages of one pair of ranks and one tag do not overtake each other, so pieces
 * arrive in order. */
enum { GATHER_TAG = 1, EXCHANGE_TAG = 2 };

/* Root takes the parts one after the other: the root's memory and disk are the limit of such a gather, not the latency. Its own
 * part is copied. gathered has room for the sum of the sizes; sizes[size] are what the ranks said. */
static void receive_parts(pb_comm *comm, const void *own, char *gathered, const size_t *sizes) {
    for (int rank = 0; rank < comm->size; gathered += sizes[rank], rank++) {
        if (rank == comm->rank) {
            if (sizes[rank] > 0)
                memcpy(gathered, own, sizes[rank]);
            continue;
        }
        for (size_t done = 0; done < sizes[rank];) {
            int piece = piece_size(sizes[rank], done);
            MPI_Recv(gathered + done, piece, MPI_BYTE, rank, GATHER_TAG, comm->world, MPI_STATUS_IGNORE);
            done += (size_t)piece;
        }
    }
}

/* The other side of receive_parts: the same pieces in the same order. A part of no bytes is no message on either side. */
static void send_part(pb_comm *comm, const void *part, size_t bytes, int root) {
    for (size_t done = 0; done < bytes;) {
        int piece = piece_size(bytes, done);
        MPI_Send((const char *)part + done, piece, MPI_BYTE, root, GATHER_TAG, comm->world);
        done += (size_t)piece;
    }
}

/* Memory for all parts on root. Only root can fail, which is why a gather agrees before a part is sent. */
static pb_status prepare_root(pb_comm *comm, const size_t *sizes, char **gathered) {
    size_t sum = 0;
    for (int rank = 0; rank < comm->size; rank++)
        sum += sizes[rank];
    return pb_allocate(gathered, sum, 1, "gathered parts");
}

/* Sizes first, then memory, then agreement, then parts: a root without memory would otherwise leave the others in a send that
 * nobody receives. */
pb_status pb_comm_gather(pb_comm *comm, const void *part, size_t bytes, int root, void *gathered_out, size_t *sizes,
                         const char *what) {
    char *gathered = NULL;
    pb_status status = pb_ok();
    uint64_t mine = bytes;
    _Static_assert(sizeof(size_t) == sizeof(uint64_t), "sizes travel as MPI_UINT64_T");
    pb_comm_enter(comm, what, comm->rank == root ? 0 : bytes);
    MPI_Gather(&mine, 1, MPI_UINT64_T, sizes, 1, MPI_UINT64_T, root, comm->world);
    if (comm->rank == root)
        status = prepare_root(comm, sizes, &gathered);
    status = pb_agree(comm, status);
    pb_watchdog_mark(&comm->watchdog, what); /* pb_agree has cleared it */
    if (!pb_failed(&status)) {
        if (comm->rank == root)
            receive_parts(comm, part, gathered, sizes);
        else
            send_part(comm, part, bytes, root);
    }
    pb_comm_leave(comm);
    memcpy(gathered_out, &gathered, sizeof gathered);
    return status;
}

/* MPI's counts and displacements are int, and displacements are counted over all parts: so all together must fit, not each part
 * alone. */
void pb_comm_allgather(pb_comm *comm, const void *part, size_t bytes, void *all, const char *what) {
    PB_ASSERT(bytes <= INT_MAX / (size_t)comm->size);
    pb_comm_enter(comm, what, bytes);
    MPI_Allgather(part, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, comm->world);
    pb_comm_leave(comm);
}

/* counts and places lie in the communicator, so that a collective in the midst of a round needs no memory. */
void pb_comm_allgather_parts(pb_comm *comm, const void *part, const size_t *sizes, void *all, const char *what) {
    int *counts = comm->counts, *places = comm->counts + comm->size;
    size_t total = 0;
    for (int rank = 0; rank < comm->size; rank++) {
        PB_ASSERT(sizes[rank] <= INT_MAX - total);
        counts[rank] = (int)sizes[rank];
        places[rank] = (int)total;
        total += sizes[rank];
    }
    pb_comm_enter(comm, what, sizes[comm->rank]);
    MPI_Allgatherv(part, counts[comm->rank], MPI_BYTE, all, counts, places, MPI_BYTE, comm->world);
    pb_comm_leave(comm);
}

/* A send and a receive at a time, so that a ring of ranks that all do the same cannot lock up, however long the messages. Bytes
 * that are a whole number of pieces have an empty one at the end, on both sides. */
void pb_comm_exchange(pb_comm *comm, const void *send, size_t send_bytes, int to, void *receive, size_t receive_bytes, int from,
                      const char *what) {
    pb_comm_enter(comm, what, send_bytes);
    size_t sent = 0, received = 0;
    /* Both ends cut the same bytes into the same pieces; the side that is done first goes on with MPI_PROC_NULL. */
    size_t send_pieces = send_bytes / PIECE_BYTES + 1, receive_pieces = receive_bytes / PIECE_BYTES + 1;
    for (size_t piece = 0; piece < send_pieces || piece < receive_pieces; piece++) {
        int outgoing = piece < send_pieces ? piece_size(send_bytes, sent) : 0;
        int incoming = piece < receive_pieces ? piece_size(receive_bytes, received) : 0;
        MPI_Sendrecv((const char *)send + sent, outgoing, MPI_BYTE, piece < send_pieces ? to : MPI_PROC_NULL, EXCHANGE_TAG,
                     (char *)receive + received, incoming, MPI_BYTE, piece < receive_pieces ? from : MPI_PROC_NULL, EXCHANGE_TAG,
                     comm->world, MPI_STATUS_IGNORE);
        sent += (size_t)outgoing;
        received += (size_t)incoming;
    }
    pb_comm_leave(comm);
}

pb_comm_counters pb_comm_count(const pb_comm *comm) { return comm->counters; }
