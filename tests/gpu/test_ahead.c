/* The plain answers of a device that neither sends ahead nor records; those of one that does are in tests/gpu/cuda. */
#include "gpu/ahead.h"

#include "base/memory.h"
#include "gpu/device_table.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

Test(ahead, a_device_without_it_copies_at_once) {
    static const char TEXT[] = "what is sent";
    pb_device *device;
    char *host, *there, back[sizeof TEXT];
    test_must(pb_device_open("cpu", 1, &device));
    cr_assert(!pb_device_sends_ahead(device) && !pb_device_records(device));
    test_must(pb_device_host_alloc(device, sizeof TEXT, &host, "host memory"));
    test_must(pb_device_alloc(device, sizeof TEXT, &there, "device memory"));
    memcpy(host, TEXT, sizeof TEXT);
    test_must(pb_device_send(device, 1, there, host, sizeof TEXT));
    memset(host, 0, sizeof TEXT);
    test_must(pb_device_arrive(device));
    test_must(pb_device_spent(device, 1));
    test_must(pb_device_sent(device));
    test_must(pb_device_download(device, back, there, sizeof back));
    cr_assert_str_eq(back, TEXT);
    pb_device_release(device, &there);
    pb_device_host_release(device, &host);
    cr_assert_null(host);
    pb_device_host_release(device, &host);
    pb_device_close(&device);
}

Test(ahead, no_device_gives_plain_memory) {
    char *host;
    test_must(pb_device_host_alloc(NULL, 5, &host, "host memory"));
    memset(host, 1, 5);
    pb_device_host_release(NULL, &host);
    cr_assert_null(host);
}

Test(ahead, recording_without_it_is_unsupported) {
    pb_device *device;
    pb_recording *recording;
    bool replayed = true;
    test_must(pb_device_open("cpu", 1, &device));
    cr_assert_eq(pb_device_record_begin(device).code, PB_E_UNSUPPORTED);
    cr_assert_eq(pb_device_record_end(device, &recording).code, PB_E_UNSUPPORTED);
    cr_assert_null(recording);
    cr_assert_eq(pb_device_replay(device, NULL, &replayed).code, PB_E_UNSUPPORTED);
    cr_assert_not(replayed);
    pb_device_recording_free(device, &recording);
    pb_device_close(&device);
}

Test(ahead, a_place_that_is_none_is_our_defect, .signal = SIGABRT) {
    pb_device *device;
    test_must(pb_device_open("cpu", 1, &device));
    pb_status status = pb_device_spent(device, PB_PLACES);
    (void)status;
}
