/* agree.c: one verdict for all ranks: whether all are well (decision 0002), and whether all have read the same.
 *
 * In the good case, which is nearly all of them, an agreement is one allreduce of 8 bytes. Only a failure costs more: the status
 * that won is sent to all as bytes, which is right because all ranks run the same build and a pb_status owns nothing.
 */
#include "mpi/comm_private.h"

#include <stdio.h>
#include <string.h>

/* The severest failure wins; among ranks with equally severe ones the lowest. Packed so that one maximum decides both: severity
 * in the upper half, the complement of the rank in the lower. PB_OK alone has severity 0. */
static uint64_t pack_verdict(pb_code code, int rank) {
    return (uint64_t)pb_code_severity(code) << 32 | (UINT32_MAX - (uint32_t)rank);
}

/* A status that was agreed on before, perhaps in another communicator, has the rank that failed then and keeps it: what a rank
 * says again is still that rank's failure. */
pb_status pb_agree(pb_comm *comm, pb_status local) {
    uint64_t verdict = pb_comm_max_u64(comm, pack_verdict(local.code, comm->rank), "agreement on success");
    if (verdict >> 32 == 0)
        return pb_ok();
    int worst = (int)(UINT32_MAX - (uint32_t)verdict);
    pb_comm_broadcast(comm, &local, sizeof local, worst, "broadcast of the failure");
    if (local.rank < 0)
        local.rank = worst;
    return local;
}

/* FNV-1a of 64 bits (offset basis and prime by G. Fowler, L. C. Noll, K.-P. Vo). Nobody attacks this comparison; a mistake of a
 * site (two versions of a file on two hosts) is found but for one in 2^64. */
static uint64_t hash_text(const char *text) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

/* Collective. All hashes are equal when the largest is the smallest; the smallest is the complement of the largest complement. So
 * one maximum of two numbers answers it, on all ranks alike. */
static bool same_everywhere(pb_comm *comm, uint64_t hash, const char *what) {
    uint64_t largest[2] = {hash, ~hash};
    pb_comm_enter(comm, what, sizeof largest);
    MPI_Allreduce(MPI_IN_PLACE, largest, 2, MPI_UINT64_T, MPI_MAX, comm->world);
    pb_comm_leave(comm);
    return largest[0] == ~largest[1];
}

/* What a message shows of a text: two of them and the words around fit into PB_MESSAGE_MAX. */
typedef struct excerpt {
    uint64_t hash; /* of the whole text */
    char text[400];
} excerpt;

/* The text, or as much of it as fits, with a mark that it was cut. */
static excerpt make_excerpt(const char *text, uint64_t hash) {
    static const char CUT[] = "[...]";
    excerpt made = {.hash = hash};
    if (snprintf(made.text, sizeof made.text, "%s", text) >= (int)sizeof made.text)
        memcpy(made.text + sizeof made.text - sizeof CUT, CUT, sizeof CUT);
    return made;
}

/* Where hashes differ, rank 0's excerpt is sent to all, and each rank that has another hash makes a failure of the two. All ranks
 * know from the maximum that they must go on to the broadcast. */
pb_status pb_agree_equal(pb_comm *comm, const char *text, const char *what) {
    uint64_t hash = hash_text(text);
    if (same_everywhere(comm, hash, what))
        return pb_ok();
    excerpt mine = make_excerpt(text, hash), first = mine;
    pb_comm_broadcast(comm, &first, sizeof first, 0, what);
    pb_status status = pb_ok();
    if (mine.hash != first.hash) /* pb_agree takes the lowest such rank's message */
        status = pb_fail(PB_E_INPUT,
                         "%s: differs between the ranks (rank 0 has %s, rank %d has %s); it must be the same on all ranks", what,
                         first.text, comm->rank, mine.text);
    return pb_agree(comm, status);
}
