/* Exchanges are numbered. In each a rank waits until all have read the one before, writes what it gives into its own part of the
 * shared memory and posts its number; when all have posted it, it reads what is for it. A group of calls is one exchange. */
#include "nccl_stub.h"

#include "emulator.h"
#include "inside.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RANKS = 4, WISHES = 8, ROOM = 4 << 20 };

typedef enum kind { REDUCE, BROADCAST, SEND, RECEIVE } kind;

/* What one call asks for; `at`: where in the rank's part lies what it gives. */
typedef struct wish {
    kind kind;
    int peer; /* or root */
    size_t bytes, at;
    const void *from;
    void *to;
} wish;

typedef struct part {
    atomic_ulong posted, taken; /* numbers of exchanges */
    size_t count;
    wish wishes[WISHES];
    char bytes[ROOM];
} part;

typedef struct meeting {
    atomic_int joined;
    part parts[RANKS];
} meeting;

struct pb_nccl_group {
    meeting *all;
    int rank, size;
    unsigned long number; /* of the present exchange */
    bool written, joining, stuck, finalized;
    pb_nccl_result state;
    size_t count;
    wish wishes[WISHES];
};

static int version = 22809;
static size_t living;
static pb_nccl_result lost = PB_NCCL_SUCCESS;
static bool grouped;
static pb_nccl_comm only; /* the process has no more than one */

static struct {
    size_t calls, due;
    pb_nccl_result result;
} injected;

size_t nccl_stub_fail(size_t call, pb_nccl_result result) {
    const size_t calls = injected.calls;
    injected.calls = 0;
    injected.due = call;
    injected.result = result;
    return calls;
}

void nccl_stub_lose(pb_nccl_result result) { lost = result; }

void nccl_stub_version(int now) { version = now; }

size_t nccl_stub_living(void) { return living; }

/* Counts a call, and says what it must answer. */
static pb_nccl_result begin(pb_nccl_comm comm) {
    if (++injected.calls != injected.due)
        return PB_NCCL_SUCCESS;
    if (comm)
        comm->stuck = injected.result == PB_NCCL_IN_PROGRESS;
    return injected.result;
}

#define BEGIN(comm)                           \
    do {                                      \
        pb_nccl_result begun_ = begin(comm);  \
        if (begun_ != PB_NCCL_SUCCESS)        \
            return begun_;                    \
    } while (0)

/* ---- an exchange ---- */

static bool all_have(const pb_nccl_comm comm, bool posted, unsigned long number) {
    for (int r = 0; r < comm->size; r++) {
        part *p = &comm->all->parts[r];
        if (atomic_load(posted ? &p->posted : &p->taken) < number)
            return false;
    }
    return true;
}

static bool gives(const pb_nccl_comm comm, const wish *w) {
    return w->kind == REDUCE || w->kind == SEND || (w->kind == BROADCAST && w->peer == comm->rank);
}

static void write_mine(pb_nccl_comm comm) {
    part *mine = &comm->all->parts[comm->rank];
    size_t at = 0;
    for (size_t i = 0; i < comm->count; i++) {
        wish *w = &comm->wishes[i];
        w->at = at;
        if (!gives(comm, w))
            continue;
        if (w->bytes > ROOM - at)
            abort(); /* the test asks for more than there is room for */
        memcpy(mine->bytes + at, w->from, w->bytes);
        at += w->bytes;
    }
    memcpy(mine->wishes, comm->wishes, sizeof mine->wishes);
    mine->count = comm->count;
    atomic_store(&mine->posted, comm->number);
}

/* What rank `from` gives to this rank's wish, NULL when it has nothing that fits. */
static const char *given(const pb_nccl_comm comm, const wish *w, int from) {
    const kind wanted = w->kind == RECEIVE ? SEND : w->kind;
    const part *p = &comm->all->parts[from];
    for (size_t i = 0; i < p->count; i++) {
        const wish *theirs = &p->wishes[i];
        const int peer = w->kind == RECEIVE ? comm->rank : w->peer;
        if (theirs->kind == wanted && theirs->peer == peer && theirs->bytes == w->bytes)
            return p->bytes + theirs->at;
    }
    return NULL;
}

static bool reduce(const pb_nccl_comm comm, const wish *w) {
    uint64_t most = 0;
    for (int r = 0; r < comm->size; r++) {
        uint64_t value;
        const char *bytes = given(comm, w, r);
        if (!bytes)
            return false;
        memcpy(&value, bytes, sizeof value);
        most = value > most ? value : most;
    }
    memcpy(w->to, &most, sizeof most);
    return true;
}

static bool fulfil(const pb_nccl_comm comm, const wish *w) {
    if (w->kind == REDUCE)
        return reduce(comm, w);
    if (w->kind == SEND)
        return true;
    const char *bytes = given(comm, w, w->peer);
    if (bytes)
        memcpy(w->to, bytes, w->bytes);
    return bytes != NULL;
}

static bool go_on(pb_nccl_comm comm) {
    if (!comm->written && all_have(comm, false, comm->number - 1)) {
        write_mine(comm);
        comm->written = true;
    }
    if (!comm->written || !all_have(comm, true, comm->number))
        return false;
    for (size_t i = 0; i < comm->count; i++)
        if (!fulfil(comm, &comm->wishes[i]))
            comm->state = PB_NCCL_SYSTEM_ERROR;
    atomic_store(&comm->all->parts[comm->rank].taken, comm->number);
    return comm->state == PB_NCCL_SUCCESS;
}

/* What the stream waits for. A stuck communicator goes no further. */
static bool advance(void *context) {
    pb_nccl_comm comm = context;
    if (comm->stuck || comm->state != PB_NCCL_SUCCESS)
        return false;
    emulator_reach(true);
    const bool done = go_on(comm);
    emulator_reach(false);
    return done;
}

static pb_nccl_result start(pb_nccl_comm comm) {
    comm->number++;
    comm->written = false;
    comm->joining = true;
    emulator_wait_for(advance, comm);
    return PB_NCCL_IN_PROGRESS;
}

static pb_nccl_result ask(pb_nccl_comm comm, wish w) {
    BEGIN(comm);
    emulator_finish(); /* what was queued before it on its stream */
    if (!emulator_has(w.from ? w.from : w.to, w.bytes) || !emulator_has(w.to ? w.to : w.from, w.bytes))
        emulator_fault("an exchange of %zu bytes that are not device memory", w.bytes);
    if (!grouped)
        comm->count = 0;
    if (comm->count == WISHES)
        abort();
    comm->wishes[comm->count++] = w;
    return grouped ? PB_NCCL_SUCCESS : start(comm);
}

/* ---- NCCL's functions ---- */

#define DECLARE(result, name, arguments) result nccl##name arguments;
PB_NCCL_FUNCTIONS(DECLARE)

pb_nccl_result ncclGetVersion(int *out) {
    *out = version;
    return PB_NCCL_SUCCESS;
}

const char *ncclGetErrorString(pb_nccl_result result) {
    return result == PB_NCCL_SUCCESS        ? "no error"
           : result == PB_NCCL_SYSTEM_ERROR ? "unhandled system error"
           : result == PB_NCCL_REMOTE_ERROR ? "remote process exited or there was a network error"
           : result == PB_NCCL_IN_PROGRESS  ? "NCCL operation in progress"
                                            : "an emulated error";
}

static char made[64]; /* names of a meeting that may still be there at the end of the process, if nobody joined it */
static void forget_meeting(void) { (void)shm_unlink(made); }

pb_nccl_result ncclGetUniqueId(pb_nccl_id *id) {
    static unsigned ids;
    BEGIN(NULL);
    if (ids == 0)
        (void)atexit(forget_meeting);
    else
        forget_meeting();
    snprintf(made, sizeof made, "/patchbank-nccl-%d-%u", (int)getpid(), ids++);
    memset(id, 0, sizeof *id);
    snprintf(id->bytes, sizeof id->bytes, "%s", made);
    int file = shm_open(made, O_CREAT | O_EXCL | O_RDWR, 0600);
    bool there = file >= 0 && ftruncate(file, sizeof(meeting)) == 0;
    if (file >= 0)
        close(file);
    return there ? PB_NCCL_SUCCESS : PB_NCCL_SYSTEM_ERROR;
}

static meeting *meet(const char *name) {
    int file = shm_open(name, O_RDWR, 0600);
    void *memory = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(meeting), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (file >= 0)
        close(file);
    return memory == MAP_FAILED ? NULL : memory;
}

pb_nccl_result ncclCommInitRankConfig(pb_nccl_comm *comm, int size, pb_nccl_id id, int rank, pb_nccl_config *config) {
    *comm = NULL;
    pb_nccl_result begun = begin(NULL);
    if (begun != PB_NCCL_SUCCESS && begun != PB_NCCL_IN_PROGRESS)
        return begun;
    meeting *all = meet(id.bytes);
    if (!all || size > RANKS || config->blocking != 0 || config->size != sizeof *config)
        return PB_NCCL_SYSTEM_ERROR;
    *comm = calloc(1, sizeof **comm);
    **comm = (struct pb_nccl_group){.all = all, .rank = rank, .size = size, .joining = true};
    (*comm)->stuck = begun == PB_NCCL_IN_PROGRESS;
    living++;
    only = *comm;
    if (!(*comm)->stuck && atomic_fetch_add(&all->joined, 1) + 1 == size)
        (void)shm_unlink(id.bytes);
    return PB_NCCL_IN_PROGRESS;
}

pb_nccl_result ncclCommGetAsyncError(pb_nccl_comm comm, pb_nccl_result *state) {
    *state = PB_NCCL_IN_PROGRESS;
    if (comm->stuck || atomic_load(&comm->all->joined) < comm->size)
        return PB_NCCL_SUCCESS;
    if (comm->joining) {
        comm->joining = false;
        pb_nccl_result begun = begin(comm);
        if (begun == PB_NCCL_IN_PROGRESS)
            return PB_NCCL_SUCCESS;
        if (begun != PB_NCCL_SUCCESS)
            return begun;
    }
    *state = lost != PB_NCCL_SUCCESS ? lost : comm->state;
    return PB_NCCL_SUCCESS;
}

pb_nccl_result ncclCommFinalize(pb_nccl_comm comm) {
    BEGIN(comm);
    comm->finalized = comm->joining = true;
    return PB_NCCL_IN_PROGRESS;
}

static pb_nccl_result forget(pb_nccl_comm comm) {
    emulator_wait_for(NULL, NULL);
    grouped = false;
    only = NULL;
    munmap(comm->all, sizeof *comm->all);
    free(comm);
    living--;
    return PB_NCCL_SUCCESS;
}

pb_nccl_result ncclCommDestroy(pb_nccl_comm comm) {
    if (!comm->finalized || comm->joining)
        emulator_fault("a communicator is destroyed that has not been finalized");
    return forget(comm);
}

pb_nccl_result ncclCommAbort(pb_nccl_comm comm) { return forget(comm); }

pb_nccl_result ncclAllReduce(const void *send, void *receive, size_t count, pb_nccl_type type, pb_nccl_operation operation,
                             pb_nccl_comm comm, cudaStream_t stream) {
    if (count != 1 || type != PB_NCCL_UINT64 || operation != PB_NCCL_MAX || !emulator_is_stream(stream))
        return PB_NCCL_SYSTEM_ERROR;
    return ask(comm, (wish){.kind = REDUCE, .bytes = 8, .from = send, .to = receive});
}

pb_nccl_result ncclBroadcast(const void *send, void *receive, size_t count, pb_nccl_type type, int root, pb_nccl_comm comm,
                             cudaStream_t stream) {
    if (type != PB_NCCL_UINT8 || root >= comm->size || !emulator_is_stream(stream))
        return PB_NCCL_SYSTEM_ERROR;
    return ask(comm, (wish){.kind = BROADCAST, .peer = root, .bytes = count, .from = send, .to = receive});
}

pb_nccl_result ncclSend(const void *send, size_t count, pb_nccl_type type, int peer, pb_nccl_comm comm, cudaStream_t stream) {
    if (type != PB_NCCL_UINT8 || peer >= comm->size || !emulator_is_stream(stream))
        return PB_NCCL_SYSTEM_ERROR;
    return ask(comm, (wish){.kind = SEND, .peer = peer, .bytes = count, .from = send});
}

pb_nccl_result ncclRecv(void *receive, size_t count, pb_nccl_type type, int peer, pb_nccl_comm comm, cudaStream_t stream) {
    if (type != PB_NCCL_UINT8 || peer >= comm->size || !emulator_is_stream(stream))
        return PB_NCCL_SYSTEM_ERROR;
    return ask(comm, (wish){.kind = RECEIVE, .peer = peer, .bytes = count, .to = receive});
}

pb_nccl_result ncclGroupStart(void) {
    BEGIN(NULL);
    grouped = true;
    if (only)
        only->count = 0;
    return PB_NCCL_SUCCESS;
}

/* A failed end does nothing of what was asked for, and a stuck one never ends. An empty group is an exchange, too, since other
 * ranks count theirs. */
pb_nccl_result ncclGroupEnd(void) {
    grouped = false;
    BEGIN(only);
    return only ? start(only) : PB_NCCL_SUCCESS;
}
