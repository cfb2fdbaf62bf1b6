/* The exchange among GPUs as one process sees it, over the stub of NCCL; ranks and the failures of every call: tests/coreset. */
#include "emulated.h"
#include "gpu/peers.h"
#include "nccl_stub.h"

static pb_device *device;
static pb_peers *peers;
static pb_peers_id id;

static void open_device(void) {
    pb_device_plugin_path(PB_EMULATED_PLUGIN);
    assert_done(pb_device_open("cuda:0", 1, &device));
}

static void close_device(void) {
    pb_peers_leave(device, &peers);
    pb_device_close(&device);
    cr_assert_eq(nccl_stub_living(), 0);
    assert_sound();
}

TestSuite(cuda_peers, .init = open_device, .fini = close_device);

static void join(int rank, int size, double limit_s) {
    assert_done(pb_peers_id_create(device, &id));
    assert_done(pb_peers_join(device, &id, rank, size, limit_s, &peers));
}

static void expect_trouble(pb_status status, const char *words) {
    cr_assert_eq(status.code, PB_E_SYSTEM, "%s", status.message);
    cr_assert_not_null(strstr(status.message, "device cuda:0 (Emulator, "), "%s", status.message);
    cr_assert_not_null(strstr(status.message, words), "%s", status.message);
}

Test(cuda_peers, need_a_version_that_does_not_block) {
    const char *why_not;
    nccl_stub_version(21305);
    cr_assert_not(pb_device_has_peers(device, &why_not));
    cr_assert_str_eq(why_not, "libnccl.so.2 is NCCL 2.13, 2.14 is the least");
    cr_assert_eq(pb_peers_id_create(device, &id).code, PB_E_UNSUPPORTED);
    cr_assert_eq(pb_peers_join(device, &id, 0, 1, 1, &peers).code, PB_E_UNSUPPORTED);
    cr_assert_null(peers);
}

Test(cuda_peers, a_group_of_one_gives_to_itself) {
    const char *why_not;
    const uint64_t value = 7;
    const size_t sizes[] = {8}, none[] = {0};
    uint64_t *first = on_device(&value, 8), *second = on_device(NULL, 8), got = 0;
    cr_assert(pb_device_has_peers(device, &why_not));
    join(0, 1, 9);
    assert_done(pb_peers_max_u64(device, peers, first));
    assert_done(pb_peers_broadcast(device, peers, first, 8, 0));
    assert_done(pb_peers_broadcast(device, peers, first, 0, 0));
    assert_done(pb_peers_allgather(device, peers, first, none, second));
    assert_done(pb_peers_allgather(device, peers, first, sizes, second));
    assert_done(pb_device_download(device, &got, second, 8));
    cr_assert_eq(got, 7);
    assert_done(pb_device_upload(device, second, &(uint64_t){0}, 8));
    assert_done(pb_peers_exchange(device, peers, first, 8, 0, second, 8, 0));
    assert_done(pb_peers_exchange(device, peers, first, 0, 0, second, 0, 0));
    off_device(&got, second, 8);
    cr_assert_eq(got, 7);
    off_device(&got, first, 8);
    cr_assert_eq(got, 7);
}

/* Whoever waits alone waits for the limit. */
Test(cuda_peers, a_peer_that_does_not_join_costs_the_limit) {
    assert_done(pb_peers_id_create(device, &id));
    expect_trouble(pb_peers_join(device, &id, 1, 2, 0.05, &peers),
                   "NCCL start, rank 1 of 2: not done within 0.05 s: a rank does not take part, or failed");
    cr_assert_null(peers);
}

Test(cuda_peers, the_first_failure_is_the_last_word) {
    uint64_t *value = on_device(NULL, 8), got;
    const size_t sizes[] = {8};
    join(0, 1, 9);
    nccl_stub_fail(1, PB_NCCL_SYSTEM_ERROR);
    expect_trouble(pb_peers_max_u64(device, peers, value), "NCCL all-reduce, rank 0 of 1: unhandled system error");
    cr_assert_eq(nccl_stub_living(), 0);
    nccl_stub_fail(0, PB_NCCL_SUCCESS);
    expect_trouble(pb_peers_broadcast(device, peers, value, 8, 0), "NCCL all-reduce, rank 0 of 1: unhandled system error");
    expect_trouble(pb_peers_allgather(device, peers, value, sizes, value), "NCCL all-reduce");
    expect_trouble(pb_peers_exchange(device, peers, value, 0, 0, value, 0, 0), "NCCL all-reduce");
    expect_trouble(pb_peers_max_u64(device, peers, value), "NCCL all-reduce");
    cr_assert_eq(nccl_stub_fail(0, PB_NCCL_SUCCESS), 0, "NCCL was called after the end");
    off_device(&got, value, 8);
}

/* What NCCL notices by itself while the stream waits: a peer's process is gone. */
Test(cuda_peers, a_lost_peer_is_told_before_the_limit) {
    const size_t sizes[] = {8};
    uint64_t *value = on_device(NULL, 8), got;
    join(0, 1, 0);
    nccl_stub_lose(PB_NCCL_REMOTE_ERROR);
    expect_trouble(pb_peers_allgather(device, peers, value, sizes, value), "NCCL all-gather, rank 0 of 1: remote process exited");
    off_device(&got, value, 8);
}

Test(cuda_peers, a_failure_of_cuda_ends_the_group) {
    uint64_t *value = on_device(NULL, 8), got;
    for (size_t call = 1; call <= 3; call++) { /* taking the device, recording and asking for an event */
        join(0, 1, 9);
        emulator_fail(call, cudaErrorLaunchFailure);
        expect_trouble(pb_peers_max_u64(device, peers, value), "an emulated error");
        cr_assert_eq(nccl_stub_living(), 0);
        expect_trouble(pb_peers_max_u64(device, peers, value), "an emulated error");
        pb_peers_leave(device, &peers);
        cr_assert_null(peers);
    }
    off_device(&got, value, 8);
}
