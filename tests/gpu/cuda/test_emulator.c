/* The emulator finds what it says it finds, in every order of threads, and nothing else. */
#include "emulated.h"
#include "emulator_kernels.h"

enum { FLOATS = 3 * FAULT_THREADS };

/* Runs a kernel; how many faults there were. */
static size_t faults_of(fault what, float *values) {
    float *host = values ? values : constants(1.0f, FLOATS);
    void *memory = on_device(host, FLOATS * sizeof *host);
    (void)launch_fault(what, memory, FLOATS, FAULT_THREADS);
    size_t faults = emulator_faults();
    off_device(host, memory, FLOATS * sizeof *host);
    if (!values)
        pb_release(&host);
    return faults;
}

Test(emulator, finds_nothing_in_what_is_right) {
    for (size_t o = 0; o < LENGTH(ORDERS); o++) {
        float *values = numbers(UNIFORM, 0, FLOATS), *before = numbers(UNIFORM, 0, FLOATS);
        emulator_turns(ORDERS[o]);
        cr_assert_eq(faults_of(FAULT_NONE, values), 0, "%s", emulator_first_fault());
        for (size_t i = 0; i < FLOATS; i++)
            cr_assert(values[i] == before[i / FAULT_THREADS * FAULT_THREADS + FAULT_THREADS - 1 - i % FAULT_THREADS]);
        cr_assert_eq(faults_of(FAULT_NONE_ATOMIC, NULL), 0, "%s", emulator_first_fault());
        pb_release(&values);
        pb_release(&before);
    }
    assert_sound();
}

Test(emulator, finds_each_fault_in_any_order) {
    static const struct {
        fault what;
        const char *words;
    } FAULTS[] = {
        {FAULT_NO_BARRIER, "shared memory"},           {FAULT_NOBODY_WROTE, "that nobody wrote"},
        {FAULT_NO_SECOND_BARRIER, "shared memory"},    {FAULT_READS_BEYOND, "reads 4 bytes outside"},
        {FAULT_WRITES_BEFORE, "writes 4 bytes outside"}, {FAULT_SHARED_BEYOND, "writes 4 bytes outside"},
        {FAULT_BLOCKS_WRITE, "writes what another wrote in device memory"},
        {FAULT_BLOCKS_READ, "device memory"},          {FAULT_PLAIN_MEETS_ATOMIC, "device memory"},
        {FAULT_BARRIER_OF_SOME, "do not reach"},       {FAULT_TWO_BARRIERS, "do not reach"},
        {FAULT_LANE_MISSING, "do not reach"},
    };
    for (size_t o = 0; o < LENGTH(ORDERS); o++)
        for (size_t f = 0; f < LENGTH(FAULTS); f++) {
            emulator_turns(ORDERS[o]);
            cr_assert_gt(faults_of(FAULTS[f].what, NULL), 0, "%s, order %zu", FAULTS[f].words, o);
            cr_assert_not_null(strstr(emulator_first_fault(), FAULTS[f].words), "%s: %s", FAULTS[f].words,
                               emulator_first_fault());
        }
    assert_sound();
}

/* As on a device: a fault of a kernel is told by whatever is called next, for ever. */
Test(emulator, an_illegal_address_is_an_error_from_then_on) {
    void *memory = on_device(NULL, FLOATS * sizeof(float));
    cr_assert_eq(launch_fault(FAULT_READS_BEYOND, memory, FLOATS, FAULT_THREADS), cudaErrorIllegalAddress);
    cr_assert_eq(cudaStreamSynchronize(NULL), cudaErrorIllegalAddress);
    cr_assert_eq(cudaMemsetAsync(memory, 0, 1, NULL), cudaErrorIllegalAddress);
    cr_assert_eq(emulator_faults(), 1);
    assert_cuda(cudaMemsetAsync(memory, 0, 1, NULL));
    assert_cuda(cudaFree(memory));
}

Test(emulator, refuses_launches_that_no_device_takes) {
    void *memory = on_device(NULL, FLOATS * sizeof(float));
    cr_assert_eq(launch_fault(FAULT_NONE, memory, FLOATS, 1025), cudaErrorInvalidConfiguration);
    cr_assert_eq(launch_fault(FAULT_NONE, memory, 0, FAULT_THREADS), cudaErrorInvalidConfiguration);
    assert_cuda(cudaGetLastError());
    assert_cuda(cudaFree(memory));
    assert_sound();
}

Test(emulator, refuses_copies_past_the_end_and_the_wrong_way) {
    char host[8] = {0};
    void *memory = on_device(NULL, 4);
    cr_assert_eq(cudaMemcpyAsync(memory, host, 5, cudaMemcpyHostToDevice, NULL), cudaErrorInvalidValue);
    cr_assert_eq(cudaMemcpyAsync(memory, host, 4, cudaMemcpyDeviceToHost, NULL), cudaErrorInvalidValue);
    cr_assert_eq(cudaMemsetAsync(memory, 0, 5, NULL), cudaErrorInvalidValue);
    cr_assert_eq(emulator_faults(), 3);
    assert_cuda(cudaFree(memory));
    assert_sound();
}

Test(emulator, fails_the_call_that_it_is_told) {
    void *memory = NULL;
    assert_cuda(cudaSetDevice(0));
    emulator_fail(2, cudaErrorMemoryAllocation);
    assert_cuda(cudaStreamSynchronize(NULL));
    cr_assert_eq(cudaMalloc(&memory, 4), cudaErrorMemoryAllocation);
    assert_cuda(cudaMalloc(&memory, 4));
    cr_assert_eq(emulator_fail(0, 0), 3);
    cr_assert_eq(emulator_living(), 1);
    assert_cuda(cudaFree(memory));
    assert_sound();
}
