/* plan.c: nodes, memory, time and storage for training, updating and scoring an archive, by measured constants, and the settings
 * of batch jobs. Rank 0 reckons (jobs/model.h); nothing of the archive is read but its manifest.
 *
 * The answer is the least number of nodes on which a job keeps --hours and the memory of a node, or, with --ranks, what so
 * many ranks would need. A plan that does not keep what was asked is still printed and written, and ends with PB_E_NO. */
#include "io/archive.h"
#include "io/file.h"
#include "jobs/job.h"
#include "jobs/json.h"
#include "jobs/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What a batch system should grant beyond what is expected: time for a slow night, memory for what the model does not know: a
 * test holds its memory to 25 % (docs/SCALING.md). */
static const double TIME_SPARE = 1.5, MEMORY_SPARE = 1.25, GIB = 1024.0 * 1024 * 1024;

/* So long before its limit a job is told to leave: WARNING of slurm/patchbank.conf.example. */
enum { WARNING_MINUTES = 5 };

/* What lies beyond is no plan but a slip in the constants: ranks or threads of a node, seconds, bytes. */
static const double NODE_MOST = 65536, SECONDS_MOST = 1e10, BYTES_MOST = 1e18;

/* One job's answer. All borrowed texts are static. */
typedef struct choice {
    const char *job; /* "train" */
    double nodes, ranks_a_node, ranks, node_bytes; /* node_bytes: of the fullest node */
    pb_forecast forecast;
    const char *why; /* why not better: "" when everything asked for is kept */
} choice;

/* What is asked, and by which constants. */
typedef struct plan {
    const pb_job_options *options;
    pb_constants constants;
    pb_work work;
    double node_ranks, node_bytes; /* most of a node */
    choice train, score, update;   /* update: only with --update-images */
} plan;

/* pb_model_train, pb_model_score or pb_model_update. */
typedef pb_forecast model(const pb_constants *constants, const pb_work *work, double ranks);

static bool updates(const plan *p) { return p->work.update_images > 0; }

/* --- what is asked ----------------------------------------------------------------------------------------------- */

/* Largest of --ratios: one selection serves all, and its bank is the largest. */
static pb_status read_ratio(const char *text, double *largest) {
    *largest = 0;
    for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        char word[64];
        size_t length = strcspn(at, ",");
        snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : 0), at);
        double ratio = pb_option_number(word);
        bool within = ratio > 0 && ratio <= 1;
        if (!within)
            return pb_fail(PB_E_USAGE, "--ratios %s: must be shares from above 0 to 1, as 25%%,10%%,1%%", text);
        *largest = fmax(*largest, ratio);
    }
    return pb_ok();
}

/* Images, by the manifest, and their mean size. */
static pb_status count_archive(const char *folder, pb_work *work, double *image_bytes) {
    pb_archive *archive;
    double bytes = 0;
    PB_TRY(pb_archive_open(folder, &archive));
    for (size_t shard = 0; shard < pb_archive_shards(archive); shard++) {
        const pb_shard_summary *summary = pb_archive_shard(archive, shard);
        work->train_images += (double)summary->train;
        work->test_images += (double)(summary->images - summary->train);
        bytes += (double)summary->bytes;
    }
    *image_bytes = bytes / (double)pb_archive_images(archive);
    pb_archive_close(&archive);
    return pb_ok();
}

/* How patches are selected. */
static pb_status read_ways(plan *p) {
    const pb_job_options *options = p->options;
    p->work.candidates = (double)options->candidates;
    p->work.parts = strcmp(options->coreset, "two-round") == 0 ? (double)options->parts : 0;
    p->work.denoise = strcmp(options->denoise, "none") != 0;
    if (p->work.parts == 0 && strcmp(options->coreset, "greedy") != 0)
        return pb_fail(PB_E_USAGE, "--coreset %s: plans are of greedy and two-round", options->coreset);
    if (p->work.parts > 0 && p->work.denoise)
        return pb_fail(PB_E_USAGE, "--denoise %s: train does not do so with --coreset two-round", options->denoise);
    return pb_ok();
}

/* Options and constants, checked. What a command line says goes before what a manifest or the constants say. Without
 * --node-memory a tenth of the measured host's memory is left to the system. */
static pb_status read_work(plan *p) {
    const pb_job_options *options = p->options;
    double image_bytes = options->image_bytes;
    bool counts = options->train_images > 0 || options->test_images > 0;
    if (!options->archive == !counts)
        return pb_fail(PB_E_USAGE, "give either --archive FOLDER or --train-images N and --test-images N");
    PB_TRY(read_ratio(options->ratios, &p->work.ratio));
    PB_TRY(pb_constants_read(options->constants, &p->constants));
    p->work.train_images = (double)options->train_images;
    p->work.test_images = (double)options->test_images;
    p->work.update_images = (double)options->update_images;
    PB_TRY(read_ways(p));
    if (options->archive)
        PB_TRY(count_archive(options->archive, &p->work, &image_bytes));
    if (options->image_bytes > 0)
        image_bytes = options->image_bytes;
    if (image_bytes > 0)
        p->constants.image_bytes = image_bytes;
    /* What a node takes: of --node-cores as many ranks as were measured with their threads, unless --node-ranks says how many. */
    const pb_constants *c = &p->constants;
    double cores = options->node_cores > 0 ? (double)options->node_cores : c->host_cores;
    p->node_ranks = options->node_ranks > 0 ? (double)options->node_ranks : fmax(1, floor(cores / fmax(1, c->threads)));
    p->node_bytes = options->node_memory > 0 ? options->node_memory * GIB : 0.9 * c->host_bytes;
    /* What the formulas divide by. */
    if (c->extract_images_per_s <= 0 || c->search_pairs_per_s <= 0 || c->write_bytes_per_s <= 0 || c->select_speedup <= 0 ||
        c->compare_pairs_per_s <= 0 || c->patches < 1 || c->rounds_picks < 1 || c->batch < 1 || c->threads < 1)
        return pb_fail(PB_E_INPUT, "%s: a rate or a size in it is 0; measure again by patchbank bench constants",
                       options->constants);
    return p->node_ranks <= NODE_MOST && c->threads <= NODE_MOST
               ? pb_ok()
               : pb_fail(PB_E_INPUT, "%s: host_cores %g, threads %g: more than %g ranks or threads of a node", options->constants,
                         c->host_cores, c->threads, NODE_MOST);
}

/* --- choosing nodes ---------------------------------------------------------------------------------------------- */

/* `ranks` on as many nodes of `a_node` ranks as they need. */
static choice reckon(const plan *p, const char *job, model *predict, double ranks, double a_node) {
    choice made = {.job = job, .ranks = ranks, .ranks_a_node = fmin(a_node, ranks), .why = ""};
    made.nodes = ceil(ranks / made.ranks_a_node);
    made.forecast = predict(&p->constants, &p->work, ranks);
    made.node_bytes = made.forecast.root_bytes + (made.ranks_a_node - 1) * made.forecast.rank_bytes;
    return made;
}

/* Most ranks of a node whose memory and cores suffice; more nodes make a rank's share smaller. At least 1, which may still be too
 * much. */
static double ranks_that_fit(const plan *p, model *predict, double nodes) {
    double a_node = p->node_ranks;
    while (a_node > 1 && reckon(p, "", predict, nodes * a_node, a_node).node_bytes * MEMORY_SPARE > p->node_bytes)
        a_node--;
    return a_node;
}

/* The least number of nodes on which the job keeps time and memory; if none up to --nodes-most does, that many, and `why` says
 * what is lacking. Nodes are tried one by one: a forecast is some hundred operations, and cost falls too unevenly to be searched
 * by halving. */
static choice choose(const plan *p, const char *job, model *predict) {
    const pb_job_options *options = p->options;
    double limit_s = options->hours * 3600;
    choice made;
    if (options->plan_ranks > 0)
        return reckon(p, job, predict, (double)options->plan_ranks, p->node_ranks);
    double nodes = 1;
    for (;; nodes++) {
        double a_node = ranks_that_fit(p, predict, nodes);
        made = reckon(p, job, predict, nodes * a_node, a_node);
        bool fits = made.node_bytes * MEMORY_SPARE <= p->node_bytes, in_time = made.forecast.seconds <= limit_s;
        made.why = !fits ? "memory" : !in_time ? "time" : "";
        if ((fits && in_time) || nodes >= (double)options->nodes_most)
            return made;
    }
}

/* Written so that what is no number does not pass. */
static bool is_sane(const choice *c) {
    const pb_forecast *f = &c->forecast;
    return f->seconds <= SECONDS_MOST && f->processor_s <= SECONDS_MOST * NODE_MOST && c->node_bytes <= BYTES_MOST &&
           f->device_bytes <= BYTES_MOST;
}

/* Without an update its choice is of zeros, and sane. */
static pb_status check_sane(const plan *p) {
    double archive = pb_model_archive_bytes(&p->constants, &p->work), results = pb_model_results_bytes(&p->constants, &p->work);
    if (is_sane(&p->train) && is_sane(&p->score) && is_sane(&p->update) && archive <= BYTES_MOST && results <= BYTES_MOST)
        return pb_ok();
    return pb_fail(PB_E_INPUT,
                   "%s: no machine is like that: train takes %g s and %g bytes a node, score %g s and %g; measure "
                   "again by patchbank bench constants",
                   p->options->constants, p->train.forecast.seconds, p->train.node_bytes, p->score.forecast.seconds,
                   p->score.node_bytes);
}

/* --- answering --------------------------------------------------------------------------------------------------- */

static void print_choice(const plan *p, const choice *c) {
    const pb_forecast *f = &c->forecast;
    printf("%s: %.0f node%s of %.0f rank%s, %.0f threads each\n", c->job, c->nodes, c->nodes > 1 ? "s" : "", c->ranks_a_node,
           c->ranks_a_node > 1 ? "s" : "", p->constants.threads);
    printf(
        "  %.1f s: extraction %.1f, denoising %.1f, selection %.1f, collecting %.1f, search %.1f, messages %.1f, writing %.1f\n",
        f->seconds, f->extract_s, f->denoise_s, f->select_s, f->collect_s, f->search_s, f->messages_s, f->write_s);
    printf("  processors: %.1f s of all ranks\n", f->processor_s);
    printf("  memory: %.0f MiB a rank, rank 0 %.0f, a node %.0f of %.0f", f->rank_bytes / 1048576, f->root_bytes / 1048576,
           c->node_bytes / 1048576, p->node_bytes / 1048576);
    if (f->device_bytes > 0)
        printf("; %.0f MiB of a device", f->device_bytes / 1048576);
    printf("\n");
    if (*c->why)
        printf("  not enough %s on --nodes-most %lld: %s\n", c->why, (long long)p->options->nodes_most,
               strcmp(c->why, "time") == 0 ? "allow more nodes or --hours"
               : p->work.denoise           ? "allow more nodes"
                                           : "allow more nodes or, for train, --coreset two-round with more --parts");
}

static void print_plan(const plan *p) {
    printf("%.0f training images, %.0f to score, %.0f patches each; bank of %.0f rows (%g%%)\n", p->work.train_images,
           p->work.test_images, p->constants.patches, p->train.forecast.picks, 100 * p->work.ratio);
    print_choice(p, &p->train);
    print_choice(p, &p->score);
    if (updates(p)) {
        printf("an update with %.0f new images, to %.0f rows at most\n", p->work.update_images, p->update.forecast.picks);
        print_choice(p, &p->update);
    }
    printf("storage: archive %.1f MB, bank %.1f MB, results %.1f MB\n", pb_model_archive_bytes(&p->constants, &p->work) / 1e6,
           pb_model_bank_bytes(&p->constants, &p->work) / 1e6, pb_model_results_bytes(&p->constants, &p->work) / 1e6);
    if (p->constants.link_bytes_per_s <= 0 && fmax(p->train.ranks, fmax(p->score.ranks, p->update.ranks)) > 1)
        printf("messages are not in these times: they were measured on one rank\n");
}

static json_t *choice_json(const choice *c) {
    const pb_forecast *f = &c->forecast;
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:s}", "nodes", c->nodes,
                     "ranks_a_node", c->ranks_a_node, "ranks", c->ranks, "node_bytes", c->node_bytes, "rank_bytes", f->rank_bytes,
                     "root_bytes", f->root_bytes, "device_bytes", f->device_bytes, "seconds", f->seconds, "extract_s",
                     f->extract_s, "denoise_s", f->denoise_s, "select_s", f->select_s, "collect_s", f->collect_s, "search_s",
                     f->search_s, "messages_s", f->messages_s, "write_s", f->write_s, "processor_s", f->processor_s, "rows",
                     f->picks, "rounds", f->rounds, "not_kept", c->why);
}

/* "update" is there when one was asked for. */
static pb_status write_json(const plan *p) {
    json_t *answer = json_pack(
        "{s:f,s:f,s:f,s:f,s:f,s:f,s:o,s:o,s:o*}", "train_images", p->work.train_images, "test_images", p->work.test_images,
        "update_images", p->work.update_images, "archive_bytes", pb_model_archive_bytes(&p->constants, &p->work), "bank_bytes",
        pb_model_bank_bytes(&p->constants, &p->work), "results_bytes", pb_model_results_bytes(&p->constants, &p->work), "train",
        choice_json(&p->train), "score", choice_json(&p->score), "update", updates(p) ? choice_json(&p->update) : NULL);
    pb_status status = pb_json_write(answer, p->options->json);
    json_decref(answer);
    return status;
}

/* A line of words for slurm/submit.sh: the job, and settings as slurm/patchbank.conf.example has them. */
static int format_words(const plan *p, const choice *c, char *text, size_t size) {
    unsigned minutes = (unsigned)ceil(TIME_SPARE * c->forecast.seconds / 60) + 1 + WARNING_MINUTES;
    char gpus[64] = "";
    if (c->forecast.device_bytes > 0) /* memory of its own: a GPU for each rank */
        snprintf(gpus, sizeof gpus, " GRES=gpu:%.0f DEVICE=cuda", c->ranks_a_node);
    return snprintf(text, size, "%s NODES=%.0f TASKS_PER_NODE=%.0f CPUS_PER_TASK=%.0f MEMORY=%.0fM TIME=%02u:%02u:00%s\n", c->job,
                    c->nodes, c->ranks_a_node, p->constants.threads, ceil(MEMORY_SPARE * c->node_bytes / 1048576), minutes / 60,
                    minutes % 60, gpus);
}

/* A line for each job that slurm/ has a script for. Lines are a few hundred bytes: the assertion holds for any numbers that a
 * plan can have. */
static pb_status write_sbatch(const plan *p) {
    char text[1024];
    int used = format_words(p, &p->train, text, sizeof text);
    used += format_words(p, &p->score, text + used, sizeof text - (size_t)used);
    PB_ASSERT(used > 0 && (size_t)used < sizeof text);
    return pb_file_write(p->options->sbatch, text, (size_t)used);
}

/* Both jobs are planned, and both answers given, also when one of them does not keep what was asked. */
static pb_status make_plan(const pb_job_options *options) {
    plan p = {.options = options, .update = {.why = ""}};
    PB_TRY(read_work(&p));
    p.train = choose(&p, "train", pb_model_train);
    p.score = choose(&p, "score", pb_model_score);
    if (updates(&p))
        p.update = choose(&p, "update", pb_model_update);
    PB_TRY(check_sane(&p));
    if (!pb_json_only(options->json))
        print_plan(&p);
    if (options->json)
        PB_TRY(write_json(&p));
    if (options->sbatch)
        PB_TRY(write_sbatch(&p));
    return *p.train.why || *p.score.why || *p.update.why ? pb_fail(PB_E_NO, "the plan does not keep what was asked for")
                                                         : pb_ok();
}

pb_status pb_job_plan(const pb_job *job) {
    return pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? make_plan(job->options) : pb_ok());
}
