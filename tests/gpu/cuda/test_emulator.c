/* The emulator finds what it says it finds, in every order of threads, and nothing else. */
#include "emulated.h"
#include "emulator_kernels.h"

#include <errno.h>
#include <unistd.h>

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
        {FAULT_LANE_MISSING, "do not reach"},          {FAULT_PRODUCT_OF_SOME, "do not reach"},
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

/* The product of halves on the emulated tensor core. */
static void multiply(const float rows[16 * 16], const float columns[8 * 16], float sums[16 * 8]) {
    __extension__ _Float16 row_halves[16 * 16], column_halves[8 * 16];
    for (size_t i = 0; i < LENGTH(row_halves); i++)
        row_halves[i] = (__typeof__(*row_halves))rows[i];
    for (size_t i = 0; i < LENGTH(column_halves); i++)
        column_halves[i] = (__typeof__(*column_halves))columns[i];
    void *left = on_device(row_halves, sizeof row_halves), *right = on_device(column_halves, sizeof column_halves);
    void *there = on_device(sums, 16 * 8 * sizeof *sums);
    assert_cuda(launch_product(left, right, there));
    off_device(sums, there, 16 * 8 * sizeof *sums);
    assert_cuda(cudaFree(left));
    assert_cuda(cudaFree(right));
    assert_sound();
}

/* Whole numbers so small that nothing is lost, all of them different. */
Test(emulator, multiplies_a_warps_halves) {
    float rows[16 * 16], columns[8 * 16], sums[16 * 8];
    for (int i = 0; i < 16 * 16; i++)
        rows[i] = (float)(i * 37 % 211 - 100);
    for (int i = 0; i < 8 * 16; i++)
        columns[i] = (float)(i * 53 % 199 - 90);
    for (int i = 0; i < 16 * 8; i++)
        sums[i] = (float)(i * 1000);
    multiply(rows, columns, sums);
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 8; column++) {
            float sum = (float)((row * 8 + column) * 1000);
            for (int k = 0; k < 16; k++)
                sum += rows[row * 16 + k] * columns[column * 16 + k];
            cr_assert(sums[row * 8 + column] == sum, "row %d column %d: %g, not %g", row, column,
                      (double)sums[row * 8 + column], (double)sum);
        }
}

/* Beside 2^24 the last bit kept is 2: sixteen ones are nothing, sixteen threes are twos, of either sign. */
Test(emulator, multiplies_as_badly_as_is_allowed) {
    float rows[16 * 16], columns[8 * 16], sums[16 * 8];
    for (int i = 0; i < 16 * 16; i++)
        rows[i] = i / 16 % 2 ? -1 : 1;
    for (int i = 0; i < 8 * 16; i++)
        columns[i] = i / 16 % 2 ? 3 : 1;
    for (int i = 0; i < 16 * 8; i++)
        sums[i] = 0x1p24f;
    multiply(rows, columns, sums);
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 8; column++) {
            const float expected = 0x1p24f + (column % 2 ? row % 2 ? -32.0f : 32.0f : 0.0f);
            cr_assert(sums[row * 8 + column] == expected, "row %d column %d: %a", row, column, (double)sums[row * 8 + column]);
        }
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

/* Whether the host can read a byte there: the kernel is asked to, which says so instead of a signal. */
static bool host_reads(const void *memory) {
    int pipes[2];
    cr_assert_eq(pipe(pipes), 0);
    const bool done = write(pipes[1], memory, 1) == 1;
    cr_assert(done || errno == EFAULT);
    close(pipes[0]);
    close(pipes[1]);
    return done;
}

Test(emulator, keeps_device_memory_from_the_host) {
    uint8_t *memory = on_device(NULL, 3), back[3], *pinned;
    assert_cuda(cudaHostAlloc((void **)&pinned, 3, cudaHostAllocDefault));
    cr_assert(host_reads(back) && host_reads(pinned) && !host_reads(memory) && !host_reads(memory + 2));
    assert_cuda(cudaMemsetAsync(memory, 5, 3, NULL));
    cr_assert_not(host_reads(memory));
    off_device(back, memory, 3);
    cr_assert(back[0] == 5 && back[2] == 5);
    assert_cuda(cudaFreeHost(pinned));
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
