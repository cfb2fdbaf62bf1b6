#include "gpu/peers.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect_unsupported(pb_status status, const char *slot) {
    cr_expect_eq(status.code, PB_E_UNSUPPORTED, "%s", slot);
    cr_expect(strstr(status.message, slot), "%s", status.message);
}

/* The cpu device leaves exchange to MPI, and says so. What a device with peers does is tested in tests/mpi. */
Test(peers, a_device_without_them_says_so) {
    pb_device *device;
    const char *why_not = NULL;
    pb_peers_id id;
    pb_peers *peers = (pb_peers *)&id;
    uint64_t value = 0;
    size_t size = 0;
    cr_assert_eq(pb_device_open("cpu", 1, &device).code, PB_OK);
    cr_expect_not(pb_device_has_peers(device, &why_not));
    cr_expect(why_not && strlen(why_not) > 0);
    expect_unsupported(pb_peers_id_create(device, &id), "peers_id");
    expect_unsupported(pb_peers_join(device, &id, 0, 1, 1, &peers), "peers_join");
    cr_expect_null(peers);
    expect_unsupported(pb_peers_max_u64(device, peers, &value), "peers_max_u64");
    expect_unsupported(pb_peers_allgather(device, peers, &value, &size, &value), "peers_allgather");
    expect_unsupported(pb_peers_broadcast(device, peers, &value, sizeof value, 0), "peers_broadcast");
    expect_unsupported(pb_peers_exchange(device, peers, &value, 0, 0, &value, 0, 0), "peers_exchange");
    pb_peers_leave(device, &peers); /* none: nothing happens */
    pb_device_close(&device);
}
