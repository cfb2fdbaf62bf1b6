/* bench.c: how fast are the parts of extraction alone, and all of it together? `patchbank bench extract`.
 *
 * Every part runs alone with the threads that it has in the pipeline, on the same images, by turns, so that what the machine does
 * beside it meets all of them. A pipeline can be no faster than its slowest part; how near it comes is its quality. A first pass
 * (keep_inputs) brings the files into the page cache and keeps inputs for the network alone; it is not measured. Of --repeat runs
 * the median counts. Ranks measure at the same time and are told apart in the answer. docs/PERFORMANCE.md shows what came of it;
 * decision 0023 says from which figures on something is wrong. */
#include "base/clock.h"
#include "base/memory.h"
#include "io/stream.h"
#include "jobs/json.h"
#include "jobs/setup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of inputs that are kept for the network alone, at least a batch; images that reading alone reads as one piece, as many as
 * the feeder does (jobs/feeder.c). */
enum { KEPT_BYTES = 64 << 20, READ_IMAGES = 256 };

/* The parts in the order in which they run. */
enum part { READ, DECODE, NETWORK, END_TO_END, PARTS };
static const char *const PART_NAMES[PARTS] = {"read", "decode", "network", "end_to_end"};

/* What a rank measured, as it travels to rank 0: medians; rates in units a second, of READ bytes, of the others images. */
typedef struct figures {
    double rate[PARTS];
    pb_stages stages; /* of all runs end to end */
    uint64_t images;  /* of a run */
} figures;

/* One rank's state. Zeroed it is empty. */
typedef struct bench {
    const pb_job *job;
    pb_attributes attributes; /* the request's texts */
    pb_request request;
    pb_setup setup;
    pb_rejects rejects;
    size_t images;   /* of a run */
    uint8_t *kept;   /* inputs for the network alone */
    size_t kept_count;
    uint8_t *buffer; /* [capacity] for reading alone */
    size_t capacity;
    pb_span *spans;
    double *rates[PARTS]; /* [repeat] */
    figures mine;
    figures *all; /* rank 0: [ranks] */
    size_t *sizes; /* [ranks] */
} bench;

/* Takes a bench in any state. Kept inputs belong to the device's kind of host memory and go before it. */
static void bench_free(bench *b) {
    pb_device_host_release(b->setup.device, &b->kept);
    pb_setup_close(&b->setup);
    pb_attributes_free(&b->attributes);
    pb_rejects_free(&b->rejects);
    pb_release(&b->buffer);
    pb_release(&b->spans);
    for (int part = 0; part < PARTS; part++)
        pb_release(&b->rates[part]);
    pb_release(&b->all);
    pb_release(&b->sizes);
}

/* --- preparing -------------------------------------------------------------------------------------------------- */

/* Bytes of an input: RGB. */
static size_t input_bytes(const bench *b) { return pb_size_area(b->request.fit.crop) * 3; }

/* Inputs to keep: whole batches, unless there are fewer images. */
static size_t kept_most(const bench *b) {
    size_t batch = pb_pipeline_batch_max(b->setup.pipeline), most = KEPT_BYTES / input_bytes(b) / batch * batch;
    most = most > batch ? most : batch;
    return most < b->images ? most : b->images;
}

/* A rank runs on its share of the images or --images of it. */
static pb_status allocate(bench *b) {
    size_t wanted = (size_t)b->job->options->images, share = b->setup.selection.count;
    b->images = b->mine.images = wanted > 0 && wanted < share ? wanted : share;
    if (b->images == 0)
        return pb_fail(PB_E_INPUT, "%s: has fewer images than there are ranks; measure on fewer", b->job->options->archive);
    PB_TRY(pb_device_host_alloc(b->setup.device, kept_most(b) * input_bytes(b), &b->kept, "network inputs"));
    PB_TRY(pb_allocate(&b->spans, READ_IMAGES, sizeof *b->spans, "a piece of a stream"));
    PB_TRY(pb_allocate(&b->sizes, (size_t)pb_comm_size(b->job->comm), sizeof *b->sizes, "sizes of parts"));
    for (int part = 0; part < PARTS; part++)
        PB_TRY(pb_allocate(&b->rates[part], (size_t)b->job->options->repeat, sizeof(double), "rates"));
    return pb_ok();
}

/* Keeps the good inputs of a batch, as far as there is room. */
static void keep(bench *b, const pb_fed *fed) {
    for (size_t i = 0; i < fed->count && b->kept_count < kept_most(b); i++)
        if (!pb_failed(&fed->verdict[i]) && !fed->unread[i])
            memcpy(b->kept + b->kept_count++ * input_bytes(b), fed->inputs + i * input_bytes(b), input_bytes(b));
}

/* Decodes all images once: what the network alone will run on is kept, and the files are in the page cache from then on. */
static pb_status keep_inputs(bench *b) {
    pb_feeder *feeder;
    pb_stages unused = {0};
    pb_fed fed;
    PB_TRY(pb_pipeline_feed(b->setup.pipeline, b->setup.selection.index, b->images, &feeder));
    for (pb_feeder_next(feeder, &fed); fed.count > 0; pb_feeder_next(feeder, &fed))
        keep(b, &fed);
    pb_feeder_end(&feeder, &unused);
    if (b->kept_count == 0)
        return pb_fail(PB_E_INPUT, "%s: none of the first %zu images of a rank can be read", b->job->options->archive, b->images);
    return pb_ok();
}

/* Collective. */
static pb_status open_all(bench *b) {
    pb_comm *comm = b->job->comm;
    pb_status status = pb_setup_open_own(b->job, PB_WHICH_ALL, &b->attributes, &b->request, &b->setup);
    if (pb_failed(&status))
        return status;
    status = allocate(b);
    if (!pb_failed(&status))
        status = keep_inputs(b);
    return pb_agree(comm, status);
}

/* --- measuring -------------------------------------------------------------------------------------------------- */

/* Reads `images` images in pieces as the pipeline does. *bytes: of the files. */
static pb_status read_all(bench *b, pb_stream *stream, uint64_t *bytes) {
    for (size_t at = 0, count; at < b->images; at += count) {
        size_t room;
        uint64_t more;
        count = pb_stream_plan(stream, at, READ_IMAGES, PB_FEEDER_PIECE_BYTES, &room);
        if (room > b->capacity) {
            pb_release(&b->buffer);
            PB_TRY(pb_allocate(&b->buffer, room, 1, "encoded images"));
            b->capacity = room;
        }
        PB_TRY(pb_stream_read(stream, at, count, b->buffer, b->spans, &more));
        *bytes += more;
    }
    return pb_ok();
}

/* Each run_ function does its part once, on b->images images, and says how many units it did: bytes of files here, images
 * elsewhere. Not collective. */
static pb_status run_read(bench *b, double *units) {
    pb_stream *stream;
    uint64_t bytes = 0;
    PB_TRY(pb_stream_open(b->setup.archive, b->setup.selection.index, b->images, &stream));
    pb_status status = read_all(b, stream, &bytes);
    pb_stream_close(&stream);
    *units = (double)bytes;
    return status;
}

/* Reading and decoding, by the threads of the feeder and without a device that takes anything: the caller gives each batch back
 * at once. */
static pb_status run_decode(bench *b, double *units) {
    pb_feeder *feeder;
    pb_stages unused = {0};
    pb_fed fed;
    PB_TRY(pb_pipeline_feed(b->setup.pipeline, b->setup.selection.index, b->images, &feeder));
    do
        pb_feeder_next(feeder, &fed);
    while (fed.count > 0);
    pb_feeder_end(&feeder, &unused);
    *units = (double)b->images;
    return pb_ok();
}

/* On the kept inputs, again and again from their begin. */
static pb_status run_network(bench *b, double *units) {
    size_t batch_max = pb_pipeline_batch_max(b->setup.pipeline), at = 0;
    for (size_t done = 0, count; done < b->images; done += count, at += count) {
        at = at < b->kept_count ? at : 0;
        count = b->kept_count - at < batch_max ? b->kept_count - at : batch_max;
        count = count < b->images - done ? count : b->images - done;
        PB_TRY(pb_pipeline_run(b->setup.pipeline, b->kept + at * input_bytes(b), count));
    }
    *units = (double)b->images;
    return pb_ok();
}

/* As train and score do it. Bad images count as done: they cost their share. */
static pb_status run_end_to_end(bench *b, double *units) {
    pb_pipeline *pipeline = b->setup.pipeline;
    size_t batch_max = pb_pipeline_batch_max(pipeline);
    pb_status status = pb_pipeline_begin(pipeline, b->setup.selection.index, b->images);
    for (size_t done = 0; done < b->images && !pb_failed(&status); done += batch_max) {
        pb_batch batch;
        status = pb_pipeline_next(pipeline, &b->rejects, &batch);
    }
    pb_pipeline_end(pipeline);
    pb_stages_add(&b->mine.stages, pb_pipeline_stages(pipeline));
    *units = (double)b->images;
    return status;
}

/* Collective. Ranks begin a part together, so that what they share is shared by the same part. Each part ends in an agreement. */
static pb_status measure(bench *b) {
    static pb_status (*const RUN[PARTS])(bench *, double *) = {run_read, run_decode, run_network, run_end_to_end};
    pb_status status = pb_ok();
    for (int64_t turn = 0; turn < b->job->options->repeat; turn++)
        for (int part = 0; part < PARTS && !pb_failed(&status); part++) {
            double units = 0, begun = pb_clock_seconds();
            status = RUN[part](b, &units);
            b->rates[part][turn] = units / (pb_clock_seconds() - begun);
            pb_rejects_free(&b->rejects); /* the next run meets the same ones */
            b->rejects = pb_rejects_begin((uint64_t)b->job->options->max_bad);
            status = pb_agree(b->job->comm, status);
        }
    return status;
}

static int rising(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Sorts the values. Medians and not means: one run that something else disturbed does not count. */
static double median(double *values, size_t count) {
    qsort(values, count, sizeof *values, rising);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Collective. Brings the ranks' figures to rank 0. */
static pb_status gather(bench *b) {
    for (int part = 0; part < PARTS; part++)
        b->mine.rate[part] = median(b->rates[part], (size_t)b->job->options->repeat);
    return pb_comm_gather(b->job->comm, &b->mine, sizeof b->mine, 0, &b->all, b->sizes, "figures");
}

/* --- answering, on rank 0 --------------------------------------------------------------------------------------- */

/* The rate that a pipeline with processors for everything could reach: that of its slower part. */
static double slower(const figures *f) { return f->rate[DECODE] < f->rate[NETWORK] ? f->rate[DECODE] : f->rate[NETWORK]; }

/* Images a second when decoding and network share the same processors and nothing is lost. */
static double shared(const figures *f) { return 1 / (1 / f->rate[DECODE] + 1 / f->rate[NETWORK]); }

/* Rates add up, as ranks work at the same time. On rank 0. */
static figures sum(const bench *b) {
    figures total = {0};
    for (int rank = 0; rank < pb_comm_size(b->job->comm); rank++) {
        for (int part = 0; part < PARTS; part++)
            total.rate[part] += b->all[rank].rate[part];
        total.images += b->all[rank].images;
        pb_stages_add(&total.stages, &b->all[rank].stages);
    }
    return total;
}

/* Stages are sums over all runs end to end, printed as those of one. */
static void print_row(const bench *b, const char *name, const figures *f) {
    double runs = (double)b->job->options->repeat;
    const pb_stages *s = &f->stages;
    printf("%-10s %9.1f %9.1f %9.1f %11.1f %8.1f %9.1f   %8.3f %7.3f %8.3f %7.3f %8.3f %7.3f  %s\n", name, f->rate[READ] / 1e6,
           f->rate[DECODE], f->rate[NETWORK], f->rate[END_TO_END], 100 * f->rate[END_TO_END] / slower(f),
           100 * f->rate[END_TO_END] / shared(f), s->read_busy_s / runs, s->read_wait_s / runs, s->decode_busy_s / runs,
           s->decode_wait_s / runs, s->device_busy_s / runs, s->device_wait_s / runs, pb_stages_bottleneck(s));
}

static void print_table(const bench *b, const figures *total) {
    const pb_job_options *options = b->job->options;
    int ranks = pb_comm_size(b->job->comm);
    printf("# extraction of %llu images on %d rank%s, %zu a batch; medians of %lld runs, files in the page cache\n"
           "# device \"%s\", %s, taps %s; decoders: %d. Each part alone has the threads that it has end to end\n"
           "#                                                       %% of the %% of all   seconds of a run: busy and waiting\n"
           "#          reading  decoding   network  end to end    slower    shared   reader            decoders"
           "         device\n"
           "#             MB/s  images/s  images/s    images/s     alone\n",
           (unsigned long long)total->images, ranks, ranks == 1 ? "" : "s", pb_pipeline_batch_max(b->setup.pipeline),
           (long long)options->repeat, pb_device_description(b->setup.device), b->request.backbone, b->setup.taps,
           pb_setup_decoders(b->job));
    for (int rank = 0; rank < ranks; rank++) {
        char name[32];
        snprintf(name, sizeof name, "rank %d", rank);
        print_row(b, name, &b->all[rank]);
    }
    if (ranks > 1)
        print_row(b, "all ranks", total);
    printf("# all shared: 1 / (1 / decoding + 1 / network), which is all there is where both use the same cores\n");
}

static json_t *stages_json(const pb_stages *s, double runs) {
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:s}", "read_busy_s", s->read_busy_s / runs, "read_wait_s", s->read_wait_s / runs,
                     "decode_busy_s", s->decode_busy_s / runs, "decode_wait_s", s->decode_wait_s / runs, "device_busy_s",
                     s->device_busy_s / runs, "device_wait_s", s->device_wait_s / runs, "bottleneck", pb_stages_bottleneck(s));
}

static json_t *figures_json(const bench *b, const figures *f) {
    json_t *row = json_object();
    char name[64];
    json_object_set_new(row, "images", json_integer((json_int_t)f->images));
    for (int part = 0; part < PARTS; part++) {
        snprintf(name, sizeof name, "%s_%s_per_s", PART_NAMES[part], part == READ ? "bytes" : "images");
        json_object_set_new(row, name, json_real(f->rate[part]));
    }
    json_object_set_new(row, "share_of_slower", json_real(f->rate[END_TO_END] / slower(f)));
    json_object_set_new(row, "share_of_shared", json_real(f->rate[END_TO_END] / shared(f)));
    json_object_set_new(row, "stages", stages_json(&f->stages, (double)b->job->options->repeat));
    return row;
}

static pb_status write_json(const bench *b, const figures *total) {
    json_t *ranks = json_array();
    for (int rank = 0; rank < pb_comm_size(b->job->comm); rank++)
        json_array_append_new(ranks, figures_json(b, &b->all[rank]));
    json_t *answer = json_pack("{s:s,s:I,s:I,s:s,s:s,s:s,s:i,s:o,s:o}", "bench", "extract", "repeat",
                               (json_int_t)b->job->options->repeat, "batch",
                               (json_int_t)pb_pipeline_batch_max(b->setup.pipeline), "device",
                               pb_device_description(b->setup.device), "backbone", b->request.backbone, "taps", b->setup.taps,
                               "decoders", pb_setup_decoders(b->job), "ranks", ranks, "all", figures_json(b, total));
    pb_status status = pb_json_write(answer, b->job->options->json);
    json_decref(answer);
    return status;
}

/* The table, or JSON, or both: --json - is JSON alone. */
static pb_status answer(const bench *b) {
    const char *json = b->job->options->json;
    figures total = sum(b);
    if (!pb_json_only(json))
        print_table(b, &total);
    return json ? write_json(b, &total) : pb_ok();
}

pb_status pb_job_bench(const pb_job *job) {
    bench b = {.job = job, .rejects = pb_rejects_begin((uint64_t)job->options->max_bad)};
    pb_status status = open_all(&b);
    if (!pb_failed(&status))
        status = measure(&b);
    if (!pb_failed(&status))
        status = gather(&b);
    if (!pb_failed(&status))
        status = pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? answer(&b) : pb_ok());
    bench_free(&b);
    return status;
}
