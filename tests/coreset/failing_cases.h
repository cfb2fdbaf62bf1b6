/* failing_cases.h, private to tests/coreset/: every call of NCCL and of CUDA fails once, on one rank, in a job with all that
 * coreset/ does on devices. All ranks must end with the same status, soon, and leave nothing behind. */
#ifndef PB_TESTS_CORESET_FAILING_CASES_H
#define PB_TESTS_CORESET_FAILING_CASES_H

#include "cases.h"

#include "coreset/greedy.h"
#include "coreset/greedy_step.h"
#include "coreset/search.h"
#include "base/clock.h"
#include "base/random.h"
#include "mpi/partition.h"

#include "emulator.h"
#include "nccl_stub.h"

enum { FAIL_N = 9, FAIL_DIM = 2, FAIL_PICKS = 3 };

/* How long others wait for a rank that fails, and one that is to end well; no run may take longer than the last. */
static const double SHORT_S = 0.1, LONG_S = 5, HANGS_S = 60;

typedef struct small_job {
    pb_range mine;
    float all[FAIL_N * FAIL_DIM];
    float *rows; /* device memory */
    pb_points *points;
    pb_cover *cover;
    pb_device_comm *devices;
    pb_search *search;
} small_job;

static pb_status load(pb_device *device, small_job *job) {
    const size_t count = pb_range_size(job->mine), bytes = count * FAIL_DIM * sizeof *job->rows;
    int64_t not_finite;
    PB_TRY(pb_device_alloc(device, bytes, &job->rows, "rows"));
    PB_TRY(pb_device_upload(device, job->rows, job->all + job->mine.first * FAIL_DIM, bytes));
    PB_TRY(pb_device_points_create(device, count, FAIL_DIM, &job->points));
    PB_TRY(pb_device_points_write(device, job->points, 0, count, job->rows, &not_finite));
    PB_TRY(pb_device_cover_create(device, count, FAIL_DIM, 0, &job->cover));
    PB_TRY(pb_device_cover_write(device, job->cover, 0, count, job->rows, &not_finite));
    pb_device_cover_place(device, job->cover, (uint32_t)job->mine.first);
    return pb_ok();
}

/* Collective: the textbook's selection, then that in rounds; the same picks. */
static pb_status select_twice(const small_job *job) {
    uint64_t picks[2][FAIL_PICKS];
    float radii[2][FAIL_PICKS];
    pb_coreset first = {.room = FAIL_PICKS, .picked = picks[0], .radius = radii[0]};
    pb_coreset second = {.room = FAIL_PICKS, .picked = picks[1], .radius = radii[1]};
    const size_t count = pb_range_size(job->mine);
    pb_greedy_step_input steps = {.points = job->points, .count = count, .first = job->mine.first, .total = FAIL_N,
                                  .dim = FAIL_DIM, .start = 1, .picks = FAIL_PICKS};
    pb_greedy_input rounds = {.cover = job->cover, .count = count, .first = job->mine.first, .total = FAIL_N, .dim = FAIL_DIM,
                              .start = 1, .picks = FAIL_PICKS, .candidates_most = FAIL_N};
    PB_TRY(pb_greedy_step_select(job->devices, &steps, &first));
    PB_TRY(pb_greedy_select(job->devices, &rounds, &second, NULL, NULL));
    HOLDS(memcmp(picks[0], picks[1], sizeof picks[0]) == 0 && memcmp(radii[0], radii[1], sizeof radii[0]) == 0);
    return pb_ok();
}

/* Collective. Every point finds itself. */
static pb_status search_all(const small_job *job) {
    float distance[FAIL_N];
    uint32_t row[FAIL_N];
    const size_t count = pb_range_size(job->mine);
    PB_TRY(pb_search_nearest(job->search, job->rows, count, distance, row));
    for (size_t i = 0; i < count; i++)
        HOLDS(row[i] == job->mine.first + i && distance[i] <= 0);
    return pb_ok();
}

/* Collective; the status is agreed on. */
static pb_status run_job(pb_comm *comm, pb_device *device, double limit_s) {
    small_job job = {.mine = pb_partition(FAIL_N, pb_comm_size(comm), pb_comm_rank(comm))};
    for (size_t i = 0; i < FAIL_N * FAIL_DIM; i++)
        job.all[i] = pb_random_symmetric(11, PB_STREAM_TEST, 20, i);
    pb_status status = pb_agree(comm, load(device, &job));
    if (!pb_failed(&status))
        status = pb_device_comm_create(comm, device, PB_ROUTE_AUTO, limit_s, &job.devices);
    if (!pb_failed(&status))
        status = pb_agree(comm, select_twice(&job));
    if (!pb_failed(&status))
        status = pb_search_create(job.devices, job.all + job.mine.first * FAIL_DIM, FAIL_N, FAIL_DIM, &job.search);
    if (!pb_failed(&status))
        status = pb_agree(comm, search_all(&job));
    pb_search_free(&job.search);
    pb_device_comm_destroy(&job.devices);
    pb_device_cover_free(device, &job.cover);
    pb_device_points_free(device, &job.points);
    pb_device_release(device, &job.rows);
    return status;
}

/* Collective. One run in which something of this rank or another fails, or nothing does: well. */
static void check_run(pb_comm *comm, pb_device *device, bool well, double limit_s, const char *what, size_t call) {
    const size_t living = emulator_living();
    const double begin = pb_clock_seconds();
    pb_status status = run_job(comm, device, limit_s);
    const bool right = well ? !pb_failed(&status)
                            : status.code == PB_E_SYSTEM && strstr(status.message, "device cuda:0 (Emulator, ") != NULL;
    if (!right)
        fprintf(stderr, "%s call %zu: code %d: %s\n", what, call, (int)status.code, status.message);
    HOLDS(right && pb_clock_seconds() - begin < HANGS_S);
    HOLDS(emulator_living() == living && nccl_stub_living() == 0);
    if (emulator_faults() > 0)
        fprintf(stderr, "%s call %zu: %s\n", what, call, emulator_first_fault());
    HOLDS(emulator_faults() == 0);
    pb_status same = pb_agree_equal(comm, status.message, "messages");
    HOLDS(!pb_failed(&same));
}

/* Makes call number `call` of this rank fail (0: none), and says how many there were since. */
typedef size_t fail_call(size_t call);

static size_t fail_nccl(size_t call) { return nccl_stub_fail(call, PB_NCCL_SYSTEM_ERROR); }
static size_t hang_nccl(size_t call) { return nccl_stub_fail(call, PB_NCCL_IN_PROGRESS); }
static size_t fail_cuda(size_t call) {
    return emulator_fail(call, call % 2 ? cudaErrorLaunchFailure : cudaErrorMemoryAllocation);
}

/* Collective. Fails a call of rank `failing`. On a busy machine a limit may pass before the call is reached, which is a failure
 * as good as any but not the one meant: then with more time. */
static void fail_one_call(pb_comm *comm, pb_device *device, int failing, fail_call *fail, bool well, const char *what,
                          size_t call) {
    uint64_t reached = 0;
    for (double limit_s = well ? LONG_S : SHORT_S; !reached && limit_s < HANGS_S / 2; limit_s *= 4) {
        if (pb_comm_rank(comm) == failing)
            (void)fail(call);
        check_run(comm, device, well, limit_s, what, call);
        reached = fail(0) >= call;
        pb_comm_broadcast(comm, &reached, sizeof reached, failing, "whether the call was reached");
    }
    HOLDS(reached);
}

/* Collective. Fails every call of rank `failing`; those after the last `harmless` ones cannot harm a job that is done. */
static void fail_every_call(pb_comm *comm, pb_device *device, int failing, fail_call *fail, size_t harmless, const char *what) {
    (void)fail(0);
    check_run(comm, device, true, HANGS_S / 2, what, 0);
    uint64_t calls = fail(0);
    pb_comm_broadcast(comm, &calls, sizeof calls, failing, "calls");
    HOLDS(calls > 30);
    for (size_t call = 1; call <= calls; call++)
        fail_one_call(comm, device, failing, fail, call > calls - harmless, what, call);
}

/* Collective. */
static void on_one_rank(pb_comm *comm, fail_call *fail, size_t harmless, const char *what) {
    const int size = pb_comm_size(comm);
    pb_device *device;
    emulator_identity(1 + pb_comm_rank(comm));
    pb_comm_watchdog(comm, HANGS_S);
    pb_status status = pb_agree(comm, pb_device_open("cuda:0", 1, &device));
    HOLDS(!pb_failed(&status));
    if (pb_failed(&status))
        return;
    fail_every_call(comm, device, size == 3 ? 0 : size / 2, fail, harmless, what); /* first, last and between */
    pb_device_close(&device);
}

/* The end of a group is two calls. A single rank has no group. */
static void fails_nccl(pb_comm *comm) {
    if (pb_comm_size(comm) > 1)
        on_one_rank(comm, fail_nccl, 2, "failing NCCL");
}

static void hangs_nccl(pb_comm *comm) {
    if (pb_comm_size(comm) > 1)
        on_one_rank(comm, hang_nccl, 2, "hanging NCCL");
}

static void fails_cuda(pb_comm *comm) { on_one_rank(comm, fail_cuda, 0, "failing CUDA"); }

#endif
