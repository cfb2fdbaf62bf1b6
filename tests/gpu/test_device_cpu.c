#include "gpu/cpu.h"

#include "base/fault.h"
#include "base/memory.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

static const char *kernels_of(const pb_device *device) { return ((const pb_cpu_state *)device->state)->kernels->name; }

Test(device_cpu, says_what_it_runs) {
    pb_device *device;
    test_must(pb_device_open("cpu", 3, &device));
    const char *text = pb_device_description(device);
    cr_assert_eq(strncmp(text, "cpu: ", 5), 0, "%s", text);
    cr_assert_not_null(strstr(text, kernels_of(device)), "%s", text);
    cr_assert_not_null(strstr(text, "oneDNN 2."), "%s", text);
    cr_assert_not_null(strstr(text, "3 threads"), "%s", text);
    cr_assert_str_eq(kernels_of(device), pb_cpu_kernels_choose(NULL)->name);
    pb_device_close(&device);
}

Test(device_cpu, kernels_can_be_forced) {
    pb_device *device;
    test_must(pb_device_open("cpu:plain", 1, &device));
    cr_assert_str_eq(kernels_of(device), "plain");
    pb_device_close(&device);
    static const char *const NAMES[] = {"cpu:0", "cpu:", "cpu:plain "};
    for (size_t n = 0; n < 3; n++) {
        pb_status status = pb_device_open(NAMES[n], 1, &device);
        cr_assert_eq(status.code, PB_E_UNSUPPORTED, "\"%s\"", NAMES[n]);
        cr_assert_not_null(strstr(status.message, NAMES[n]), "%s", status.message);
        cr_assert_null(device);
    }
}

Test(device_cpu, memory_is_aligned_and_copies_copy) {
    pb_device *device;
    test_must(pb_device_open("cpu", 1, &device));
    static const size_t SIZES[] = {0, 1, 64, 1000003};
    for (size_t s = 0; s < 4; s++) {
        uint8_t *memory, *host, *back;
        test_must(pb_device_alloc(device, SIZES[s], &memory, "memory"));
        test_must(pb_allocate(&host, SIZES[s], 1, "host"));
        test_must(pb_allocate(&back, SIZES[s], 1, "back"));
        cr_assert_eq((uintptr_t)memory % PB_ALIGNMENT, 0);
        for (size_t i = 0; i < SIZES[s]; i++)
            host[i] = (uint8_t)(i * 31 + 7);
        test_must(pb_device_upload(device, memory, host, SIZES[s]));
        test_must(pb_device_download(device, back, memory, SIZES[s]));
        cr_assert(SIZES[s] == 0 || memcmp(host, back, SIZES[s]) == 0);
        pb_release(&back);
        pb_release(&host);
        pb_device_release(device, &memory);
        cr_assert_null(memory);
    }
    pb_device_close(&device);
}

/* Stretches go where they belong, and what lies between them stays; a copy of nothing touches nothing. */
Test(device_cpu, blocks_are_copied_line_by_line) {
    enum { FROM_PITCH = 13, TO_PITCH = 17, LINES = 9 };
    static const size_t WIDTHS[] = {0, 1, 5, 13}, HEIGHTS[] = {0, 1, 9};
    pb_device *device;
    uint8_t *from, *to, host[FROM_PITCH * LINES], found[TO_PITCH * LINES], filled[TO_PITCH * LINES];
    test_must(pb_device_open("cpu", 1, &device));
    test_must(pb_device_alloc(device, sizeof host, &from, "from"));
    test_must(pb_device_alloc(device, sizeof found, &to, "to"));
    for (size_t i = 0; i < sizeof host; i++)
        host[i] = (uint8_t)(i % 251);
    memset(filled, 0xEE, sizeof filled);
    test_must(pb_device_upload(device, from, host, sizeof host));
    for (size_t w = 0; w < 4; w++)
        for (size_t h = 0; h < 3; h++) {
            test_must(pb_device_upload(device, to, filled, sizeof filled));
            test_must(pb_device_copy_block(device, to, TO_PITCH, from, FROM_PITCH, WIDTHS[w], HEIGHTS[h]));
            test_must(pb_device_download(device, found, to, sizeof found));
            for (size_t i = 0; i < sizeof found; i++) {
                size_t line = i / TO_PITCH, place = i % TO_PITCH;
                bool copied = line < HEIGHTS[h] && place < WIDTHS[w];
                cr_assert_eq(found[i], copied ? host[line * FROM_PITCH + place] : 0xEE, "%zu x %zu, byte %zu", WIDTHS[w],
                             HEIGHTS[h], i);
            }
        }
    test_must(pb_device_copy_block(device, NULL, 0, NULL, 0, 0, 5));
    pb_device_release(device, &from);
    pb_device_release(device, &to);
    pb_device_close(&device);
}

Test(device_cpu, a_pitch_below_the_width_is_our_defect, .signal = SIGABRT) {
    uint8_t bytes[8] = {0};
    pb_device *device;
    test_must(pb_device_open("cpu", 1, &device));
    pb_status status = pb_device_copy_block(device, bytes + 4, 2, bytes, 1, 2, 1);
    (void)status;
}

Test(device_cpu, memory_that_is_refused_is_an_error) {
    pb_device *device;
    static const char *const FAULTS[] = {"base.allocate@0:1", "base.allocate@0:2"};
    for (int f = 0; f < 2; f++) {
        test_must(pb_fault_arm(FAULTS[f], 0));
        pb_status status = pb_device_open("cpu", 1, &device);
        cr_assert_eq(status.code, PB_E_SYSTEM);
        cr_assert_null(device);
    }
    test_must(pb_device_open("cpu", 1, &device));
    void *memory = &device;
    pb_status status = pb_device_alloc(device, (size_t)1 << 60, &memory, "too much");
    cr_assert_eq(status.code, PB_E_SYSTEM);
    cr_assert_not_null(strstr(status.message, "too much"));
    cr_assert_null(memory);
    pb_device_close(&device);
}

/* The device answers for every operation of its table, but for exchange, which it leaves to MPI. */
Test(device_cpu, every_slot_is_filled) {
    const size_t first = offsetof(pb_device_table, open), size = sizeof pb_cpu_table.open;
    for (size_t at = first; at < offsetof(pb_device_table, has_peers); at += size) {
        uintptr_t slot;
        memcpy(&slot, (const char *)&pb_cpu_table + at, sizeof slot);
        cr_assert_neq(slot, 0, "slot %zu is empty", (at - first) / size);
    }
}
