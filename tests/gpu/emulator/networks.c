/* The emulated plugin with networks: its table, in which the slots of networks queue runs of the CPU's on images and taps in
 * device memory, as kernels are queued, so that they are recorded too. So whole jobs run on the emulated device, and what they
 * make must be what the CPU makes: the device says that its networks' arithmetic is the CPU's, which is true. Streams do their
 * work as late as they may.
 *
 * Each rank is a process, told by the environment:
 *   EMULATED_FAIL   KIND:RANK:CALL: call number CALL of that rank fails: of CUDA, as the kinds cuda and memory say, or of NCCL,
 *                   by an error (nccl) or by never ending (hang)
 *   EMULATED_CALLS  a file; FILE.RANK gets a line "CUDA NCCL" when the process ends, how many calls of each there were, and a
 *                   line for each call of CUDA: the way it was come to (emulator_note_ways)
 */
#include "gpu/cuda/cuda.h"

#include "base/memory.h"
#include "emulator.h"
#include "gpu/cuda/cuda.h"
#include "inside.h"
#include "nccl_stub.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const pb_device_table *emulated; /* the plugin's own */

/* What stands for a pb_compiled. */
typedef struct networks {
    pb_device *cpu;
    pb_compiled *compiled; /* of cpu */
    int tap_count;
} networks;

static networks *networks_of(pb_compiled *compiled) { return (networks *)(void *)compiled; }

static void compiled_free(pb_device *device, pb_compiled *compiled) {
    (void)device;
    networks *n = networks_of(compiled);
    if (!n)
        return;
    pb_device_compiled_free(n->cpu, &n->compiled);
    pb_device_close(&n->cpu);
    pb_release(&n);
}

static pb_status prepare(networks *n, int threads, const pb_network *network, pb_precision precision, int batch_max) {
    n->tap_count = network->tap_count;
    PB_TRY(pb_device_open("cpu", threads, &n->cpu));
    return pb_device_compile(n->cpu, network, precision, batch_max, &n->compiled);
}

static pb_status compile(pb_device *device, const pb_network *network, pb_precision precision, int batch_max,
                         pb_compiled **compiled) {
    networks *n;
    *compiled = NULL;
    PB_TRY(pb_allocate(&n, 1, sizeof *n, "networks"));
    *n = (networks){0};
    pb_status status = prepare(n, device->threads, network, precision, batch_max);
    if (pb_failed(&status))
        compiled_free(device, (pb_compiled *)(void *)n);
    else
        *compiled = (pb_compiled *)(void *)n;
    return status;
}

typedef struct network_run {
    networks *of;
    const uint8_t *images; /* device memory, which on the emulator is the process's, as are the taps */
    int count;
    float *taps[PB_TAPS_MAX];
} network_run;

/* As a kernel that fails. */
static void run_queued(void *data) {
    const network_run *r = data;
    pb_status status = pb_device_run(r->of->cpu, r->of->compiled, r->images, r->count, r->taps);
    if (pb_failed(&status))
        emulator_set_error(cudaErrorLaunchFailure, true);
}

static pb_status run(pb_device *device, pb_compiled *compiled, const uint8_t *images, int count, float *const *taps) {
    network_run r = {.of = networks_of(compiled), .images = images, .count = count};
    memcpy(r.taps, taps, (size_t)r.of->tap_count * sizeof *taps);
    PB_TRY(pb_cuda_enter(device));
    emulator_queue(pb_cuda_state_of(device)->stream, run_queued, &r, sizeof r);
    return pb_cuda_check(device, cudaGetLastError(), "network");
}

/* Small searches are filtered too: jobs here have no large ones. */
static pb_status open_device(pb_device *device, const char *which) {
    pb_device *cpu;
    PB_TRY(pb_device_open("cpu", device->threads, &cpu));
    pb_status status = emulated->open(device, which);
    if (!pb_failed(&status))
        pb_cuda_state_of(device)->filter_least = 0;
    snprintf(device->arithmetic, sizeof device->arithmetic, "%s", pb_device_arithmetic(cpu));
    pb_device_close(&cpu);
    return status;
}

/* ---- what the environment says ---- */

enum { WAYS = 1 << 16 };

static char calls_path[4096];
static uint64_t ways[WAYS];

static void write_calls(void) {
    FILE *file = fopen(calls_path, "w");
    if (!file)
        return;
    const size_t calls = emulator_fail(0, 0);
    fprintf(file, "%zu %zu\n", calls, nccl_stub_fail(0, PB_NCCL_SUCCESS));
    for (size_t i = 0; i < calls && i < WAYS; i++)
        fprintf(file, "%016llx\n", (unsigned long long)ways[i]);
    fclose(file);
}

static void arm(const char *kind, size_t call) {
    if (strcmp(kind, "cuda") == 0)
        emulator_fail(call, cudaErrorLaunchFailure);
    else if (strcmp(kind, "memory") == 0)
        emulator_fail(call, cudaErrorMemoryAllocation);
    else if (strcmp(kind, "nccl") == 0)
        nccl_stub_fail(call, PB_NCCL_SYSTEM_ERROR);
    else
        nccl_stub_fail(call, PB_NCCL_IN_PROGRESS);
}

/* Each rank has a GPU of its own, as far as its number tells. */
static void obey_environment(void) {
    const char *number = getenv("OMPI_COMM_WORLD_RANK"), *fail = getenv("EMULATED_FAIL"), *calls = getenv("EMULATED_CALLS");
    const int self = number ? atoi(number) : 0;
    char kind[8];
    int rank;
    size_t call;
    emulator_identity(1 + self);
    if (fail && sscanf(fail, "%7[a-z]:%d:%zu", kind, &rank, &call) == 3 && rank == self)
        arm(kind, call);
    if (calls) {
        snprintf(calls_path, sizeof calls_path, "%s.%d", calls, self);
        emulator_note_ways(ways, WAYS);
        atexit(write_calls);
    }
}

/* The plugin of the same symbol is in place already, because this one is linked to it. */
static const pb_device_table *table_of(const char *library) {
    void *opened = dlopen(library, RTLD_NOW | RTLD_LOCAL), *symbol = opened ? dlsym(opened, "pb_device_plugin") : NULL;
    const pb_device_table *(*plugin)(void);
    memcpy(&plugin, &symbol, sizeof plugin);
    return plugin ? plugin() : NULL;
}

const pb_device_table *pb_device_plugin(void);
const pb_device_table *pb_device_plugin(void) {
    static pb_device_table table;
    emulated = table_of(PB_EMULATED_PLUGIN);
    if (!emulated)
        return NULL;
    obey_environment();
    emulator_lazy(~0u);
    table = *emulated;
    table.open = open_device;
    table.compile = compile;
    table.compiled_free = compiled_free;
    table.run = run;
    return &table;
}
