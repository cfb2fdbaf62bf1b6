/* setup.c: opening, step by step, with an agreement after each step that can fail on one rank alone. The one thing that is tried
 * again is what finds no memory: with half the batch, on all ranks (fit_pipeline, pb_setup_relieve; docs/decisions/0025). */
#include "jobs/setup.h"

#include "base/log.h"
#include "jobs/provenance.h"
#include "jobs/share.h"
#include "jobs/summary.h"

#include <stdio.h>
#include <string.h>

int pb_setup_threads(const pb_job *job) {
    return job->options->threads > 0 ? (int)job->options->threads : pb_comm_fair_threads(job->comm);
}

int pb_setup_decoders(const pb_job *job) {
    return job->options->decoders > 0 ? (int)job->options->decoders : pb_setup_threads(job);
}

/* Of one host: NVIDIA's largest have 16. */
enum { GPUS_MAX = 64, GPU_NAME_MAX = 64 };

/* Usable GPUs that this rank sees, in the order of their numbers. */
typedef struct gpus {
    int count;
    char names[GPUS_MAX][GPU_NAME_MAX]; /* "cuda:0", ... of the usable ones */
} gpus;

/* A visitor of pb_device_each: keeps the names of usable GPUs; what else there is, the CPU, is none. */
static void consider(void *context, const char *name, bool usable, const char *about) {
    (void)about;
    gpus *g = context;
    if (usable && strncmp(name, "cuda:", 5) == 0 && g->count < GPUS_MAX)
        snprintf(g->names[g->count++], GPU_NAME_MAX, "%s", name);
}

/* "cuda" without a number: the usable GPUs that the batch system lets this rank see, by turns among the ranks of the host. Where
 * each sees one, as with a GPU a task under Slurm, it is that. They are looked for once: a GPU that fails may be usable the first
 * time and not the second. Where none is, opening the first says why. */
static void name_device(const pb_job *job, char *name, size_t size) {
    gpus g = {.count = 0};
    if (strcmp(job->options->device, "cuda") == 0)
        pb_device_each(consider, &g);
    if (g.count > 0)
        snprintf(name, size, "%s", g.names[pb_comm_local_rank(job->comm) % g.count]);
    else
        snprintf(name, size, "%s", strcmp(job->options->device, "cuda") == 0 ? "cuda:0" : job->options->device);
}

pb_status pb_setup_device(const pb_job *job, int threads, pb_device **device) {
    char name[256];
    name_device(job, name, sizeof name);
    return pb_device_open(name, threads, device);
}

/* What is the same or possible on each rank alone: its images, its device. */
static pb_status open_local(const pb_job *job, const pb_request *request, pb_which which, int parts, pb_setup *setup) {
    setup->cosine = request->features.unit;
    setup->taps = request->taps;
    PB_TRY(pb_prefix(pb_selection_make(setup->archive, which, parts, pb_comm_size(job->comm),
                                       pb_comm_rank(job->comm), &setup->selection),
                     job->options->archive));
    setup->threads = pb_setup_threads(job);
    return pb_setup_device(job, setup->threads, &setup->device);
}

/* Collective. Two ranks on one GPU slow each other down and halve its memory: mostly a mistake in how ranks were started. The
 * second of the two says so, for all. */
static pb_status check_alone(const pb_job *job, const pb_device *device) {
    int first, second;
    pb_status status = pb_device_comm_find_shared(job->comm, device, &first, &second);
    if (pb_failed(&status) || first < 0 || job->options->share_device)
        return status;
    if (pb_comm_rank(job->comm) == second)
        status = pb_fail(PB_E_USAGE, "ranks %d and %d drive one GPU (%s): start a rank for each GPU, or say --share-device",
                         first, second, pb_device_description(device));
    return pb_agree(job->comm, status);
}

/* Collective. Features are the same bits on one kind of processor only, so ranks of different kinds would make the result depend
 * on who has which image. */
static pb_status check_arithmetic(const pb_job *job, const pb_device *device) {
    pb_status status = pb_agree_equal(job->comm, pb_device_arithmetic(device), "processors");
    if (status.code != PB_E_INPUT)
        return status;
    pb_log_once(PB_LOG_WARN, "mixed-processors", "reason=\"%s\" effect=\"results depend on the number of ranks\"",
                status.message);
    return pb_ok();
}

/* The pipeline for batches of setup->batch tiles; the network is needed only meanwhile. Not collective. */
static pb_status open_pipeline(const pb_job *job, const pb_network *network, pb_setup *setup) {
    const pb_request *request = &setup->request;
    pb_pipeline_setup pipeline = {.device = setup->device,
                                  .archive = setup->archive,
                                  .network = network,
                                  .features = request->features,
                                  .how = {.fit = request->fit, .dct_scaling = request->dct_scaling},
                                  .batch = setup->batch,
                                  .decoders = pb_setup_decoders(job)};
    return pb_pipeline_create(&pipeline, &setup->pipeline);
}

/* Collective. What a machine lacks, memory first of all, half the batch may do without, so a rank that lacks something halves the
 * batch of all: they go through their images in step, and a GPU's bits may depend on the batch that its network was compiled for.
 * Whatever else it is, the smallest batch meets it too, and then the first failure is told. */
static pb_status fit_pipeline(const pb_job *job, const pb_network *network, pb_setup *setup) {
    pb_status status = pb_agree(job->comm, open_pipeline(job, network, setup));
    const pb_status first = status;
    while (status.code == PB_E_SYSTEM && setup->batch > 1) {
        pb_pipeline_free(&setup->pipeline);
        setup->batch /= 2;
        status = pb_agree(job->comm, open_pipeline(job, network, setup));
    }
    if (pb_failed(&status))
        return first;
    if (pb_failed(&first))
        pb_log_once(PB_LOG_WARN, "smaller-batch", "images=%d rank=%d reason=\"%s\"", setup->batch, first.rank, first.message);
    return status;
}

/* Collective. Weights and pipeline, which is made again when there is one. Weights are loaded anew for it: they are not kept
 * beside what the device has of them, and this is rare. */
static pb_status load_pipeline(const pb_job *job, pb_setup *setup) {
    const pb_request *request = &setup->request;
    pb_network network = {0};
    pb_status status = pb_weights_load(job->comm, job->options->weights, request->backbone, setup->taps, request->tile, &network,
                                       setup->weights);
    pb_pipeline_free(&setup->pipeline);
    if (!pb_failed(&status))
        status = fit_pipeline(job, &network, setup);
    pb_network_free(&network);
    return status;
}

/* `status` is agreed and so is what load_pipeline makes, so all ranks take the same way through here. setup->batch has fallen
 * also when that failed: the setup is of no more use then. */
pb_status pb_setup_relieve(const pb_job *job, pb_setup *setup, pb_status status, bool *again) {
    *again = false;
    if (status.code != PB_E_SYSTEM || setup->batch == 1)
        return status;
    setup->batch /= 2;
    pb_status made = load_pipeline(job, setup);
    if (pb_failed(&made))
        return status;
    pb_log_once(PB_LOG_WARN, "smaller-batch", "images=%d rank=%d reason=\"%s\"", setup->batch, status.rank, status.message);
    *again = true;
    return made;
}

/* Collective. GPUs wait for each other half as long as ranks do, so that one that gave up still meets the others in time to tell
 * them. Comes before the pipeline: NCCL's memory has no smaller size, batches have. */
static pb_status open_exchange(const pb_job *job, pb_setup *setup) {
    const char *how = job->options->exchange;
    pb_route route = strcmp(how, "host") == 0 ? PB_ROUTE_HOST : strcmp(how, "device") == 0 ? PB_ROUTE_DEVICE : PB_ROUTE_AUTO;
    return pb_device_comm_create(job->comm, setup->device, route, job->options->watchdog / 2, &setup->devices);
}

/* Ranks must agree on the archive's edition before they select images, on the device before they load a network for it. */
pb_status pb_setup_open(const pb_job *job, const pb_request *request, pb_which which, int parts, pb_setup *setup) {
    *setup = (pb_setup){.request = *request, .batch = (int)job->options->batch};
    pb_status status =
        pb_archive_open_for_all(job->comm, job->options->archive, request->archive_sha256, PB_SHARDS_THERE, &setup->archive);
    if (!pb_failed(&status))
        status = pb_agree(job->comm, open_local(job, request, which, parts, setup));
    if (!pb_failed(&status))
        status = check_alone(job, setup->device);
    if (!pb_failed(&status))
        status = check_arithmetic(job, setup->device);
    if (!pb_failed(&status))
        status = open_exchange(job, setup);
    if (!pb_failed(&status))
        status = load_pipeline(job, setup);
    if (pb_failed(&status))
        pb_setup_close(setup);
    else
        pb_log_once(PB_LOG_INFO, "ready", "ranks=%d device=\"%s\" images=%llu backbone=%s taps=%s features=%s dim=%d exchange=%s",
                    pb_comm_size(job->comm), pb_device_description(setup->device), (unsigned long long)setup->selection.total,
                    request->backbone, setup->taps, request->features.is_patchcore ? "patchcore" : "mean",
                    pb_pipeline_dim(setup->pipeline), pb_device_comm_way(setup->devices));
    return status;
}

pb_status pb_setup_open_own(const pb_job *job, pb_which which, pb_attributes *attributes, pb_request *request, pb_setup *setup) {
    pb_status status = pb_provenance(job, attributes);
    if (!pb_failed(&status))
        status = pb_request_read(attributes, NULL, request);
    status = pb_agree(job->comm, status);
    return pb_failed(&status) ? status : pb_setup_open(job, request, which, 0, setup);
}

/* What talks to others first, then what uses the device, then the device. */
void pb_setup_close(pb_setup *setup) {
    pb_device_comm_destroy(&setup->devices);
    pb_pipeline_free(&setup->pipeline);
    pb_device_close(&setup->device);
    pb_selection_free(&setup->selection);
    pb_archive_close(&setup->archive);
}
