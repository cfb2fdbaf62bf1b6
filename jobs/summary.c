/* summary.c: --summary. Noting is two readings of clocks and counters a step, so it is always done; gathering and writing only
 * where a file is wanted.
 *
 * A step's times are differences of this rank's counters between its begin and its end. On rank 0 the ranks' parts of a step are
 * put together: sums, but for seconds and collectives, which are those of the rank with the most. docs/FORMATS.md says what the
 * keys mean. */
#include "jobs/summary.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/version.h"
#include "io/file.h"
#include "jobs/json.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What travels to rank 0: plain data. */
typedef struct rank_summary {
    char host[PB_HOST_MAX];
    int64_t pid;
    pb_usage usage;
    pb_comm_counters counters;
    size_t count;
    pb_step steps[PB_STEPS_MAX];
} rank_summary;

/* --- noting, on every rank -------------------------------------------------------------------------------------- */

void pb_summary_begin(pb_summary *summary, pb_comm *comm) {
    *summary = (pb_summary){.comm = comm, .begun = pb_clock_seconds()};
    pb_clock_timestamp(summary->began);
}

/* Adds what passed since the step was begun, also to a step that goes on from earlier. Nothing when none is open. */
static void end_step(pb_summary *summary) {
    pb_step *step = summary->open;
    if (!step)
        return;
    pb_comm_counters now = pb_comm_count(summary->comm), *then = &summary->step_counters;
    step->seconds += pb_clock_seconds() - summary->step_begun;
    step->processor_s += pb_usage_now().processor_s - summary->step_processor_s;
    step->waiting_s += now.seconds - then->seconds;
    step->collectives += now.collectives - then->collectives;
    step->sent_bytes += now.bytes_sent - then->bytes_sent;
    summary->open = NULL;
}

/* The step of that name, a new one at the end if there is none. Names are our own words, so too many or too long ones are a
 * defect. */
static pb_step *find_step(pb_summary *summary, const char *name, const char *unit) {
    size_t i = 0;
    while (i < summary->count && strcmp(summary->steps[i].name, name) != 0)
        i++;
    if (i == summary->count) {
        PB_ASSERT(i < PB_STEPS_MAX && strlen(name) < PB_STEP_NAME && strlen(unit) < PB_STEP_NAME);
        strcpy(summary->steps[i].name, name);
        strcpy(summary->steps[i].unit, unit);
        summary->count++;
    }
    return &summary->steps[i];
}

void pb_summary_step(const pb_job *job, const char *name, const char *unit) {
    pb_summary *summary = job->summary;
    end_step(summary);
    pb_pulse_step(summary->pulse, name);
    summary->open = find_step(summary, name, unit);
    summary->step_begun = pb_clock_seconds();
    summary->step_processor_s = pb_usage_now().processor_s;
    summary->step_counters = pb_comm_count(summary->comm);
}

void pb_summary_done(const pb_job *job, uint64_t more) {
    PB_ASSERT(job->summary->open);
    job->summary->open->done += more;
}

void pb_summary_stages(const pb_job *job, const pb_stages *more) {
    pb_summary_done(job, more->images);
    pb_stages_add(&job->summary->open->stages, more);
}

void pb_summary_device(const pb_job *job, const char *description, const char *arithmetic) {
    snprintf(job->summary->device, PB_SUMMARY_TEXT, "%s", description);
    snprintf(job->summary->arithmetic, PB_SUMMARY_TEXT, "%s", arithmetic);
}

/* --- writing, on rank 0 ----------------------------------------------------------------------------------------- */

/* Seconds of a step in which a rank did not wait for others. Who works longest is whom the others wait for. */
static double working_s(const pb_step *step) { return step->seconds - step->waiting_s; }

/* The rank that worked longest in step s; the lowest of several. */
static int slowest_rank(const rank_summary *all, int ranks, size_t s) {
    int slowest = 0;
    for (int rank = 1; rank < ranks; rank++)
        if (working_s(&all[rank].steps[s]) > working_s(&all[slowest].steps[s]))
            slowest = rank;
    return slowest;
}

/* Puts another rank's part to the sum. */
static void add_step(pb_step *sum, const pb_step *more) {
    sum->done += more->done;
    sum->seconds = more->seconds > sum->seconds ? more->seconds : sum->seconds;
    sum->waiting_s += more->waiting_s;
    sum->processor_s += more->processor_s;
    sum->collectives = more->collectives > sum->collectives ? more->collectives : sum->collectives;
    sum->sent_bytes += more->sent_bytes;
    pb_stages_add(&sum->stages, &more->stages);
}

static json_t *stages_json(const pb_stages *s) {
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:I,s:I,s:s}", "read_busy_s", s->read_busy_s, "read_wait_s", s->read_wait_s,
                     "decode_busy_s", s->decode_busy_s, "decode_wait_s", s->decode_wait_s, "device_busy_s", s->device_busy_s,
                     "device_wait_s", s->device_wait_s, "read_bytes", (json_int_t)s->bytes, "read_again",
                     (json_int_t)s->read_again, "bottleneck", pb_stages_bottleneck(s));
}

/* A rank's part of a step, or the ranks' together. */
static json_t *step_json(const pb_step *step) {
    json_t *row = json_pack("{s:s,s:f,s:f,s:f,s:I,s:I}", "step", step->name, "seconds", step->seconds, "waiting_s",
                            step->waiting_s, "processor_s", step->processor_s, "collectives", (json_int_t)step->collectives,
                            "sent_bytes", (json_int_t)step->sent_bytes);
    if (*step->unit) {
        json_object_set_new(row, step->unit, json_integer((json_int_t)step->done));
        json_object_set_new(row, "per_s", json_real(step->seconds > 0 ? (double)step->done / step->seconds : 0));
    }
    if (step->stages.images > 0 || step->stages.bytes > 0)
        json_object_set_new(row, "stages", stages_json(&step->stages));
    return row;
}

/* In the order in which rank 0 began them; `all` has the same steps on every rank. */
static json_t *steps_json(const rank_summary *all, int ranks) {
    json_t *rows = json_array();
    for (size_t s = 0; s < all[0].count; s++) {
        pb_step sum = all[0].steps[s];
        for (int rank = 1; rank < ranks; rank++)
            add_step(&sum, &all[rank].steps[s]);
        int slowest = slowest_rank(all, ranks, s);
        json_t *row = step_json(&sum);
        json_object_set_new(row, "slowest", json_pack("{s:i,s:o,s:f}", "rank", slowest, "host", pb_json_text(all[slowest].host),
                                                      "working_s", working_s(&all[slowest].steps[s])));
        json_array_append_new(rows, row);
    }
    return rows;
}

static json_t *rank_json(const rank_summary *one, int rank) {
    json_t *steps = json_array();
    for (size_t s = 0; s < one->count; s++)
        json_array_append_new(steps, step_json(&one->steps[s]));
    return json_pack("{s:i,s:o,s:I,s:I,s:f,s:I,s:I,s:f,s:o}", "rank", rank, "host", pb_json_text(one->host), "pid",
                     (json_int_t)one->pid, "peak_bytes", (json_int_t)one->usage.peak_bytes, "processor_s", one->usage.processor_s,
                     "collectives", (json_int_t)one->counters.collectives, "sent_bytes", (json_int_t)one->counters.bytes_sent,
                     "waiting_s", one->counters.seconds, "steps", steps);
}

/* Sums over the ranks, and whose memory is largest. */
static json_t *totals_json(const rank_summary *all, int ranks) {
    double processor_s = 0, waiting_s = 0;
    uint64_t sent = 0;
    int largest = 0;
    for (int rank = 0; rank < ranks; rank++) {
        processor_s += all[rank].usage.processor_s;
        waiting_s += all[rank].counters.seconds;
        sent += all[rank].counters.bytes_sent;
        if (all[rank].usage.peak_bytes > all[largest].usage.peak_bytes)
            largest = rank;
    }
    return json_pack("{s:f,s:f,s:I,s:I,s:{s:I,s:i,s:o}}", "processor_s", processor_s, "waiting_s", waiting_s, "collectives",
                     (json_int_t)all[0].counters.collectives, "sent_bytes", (json_int_t)sent, "peak", "bytes",
                     (json_int_t)all[largest].usage.peak_bytes, "rank", largest, "host", pb_json_text(all[largest].host));
}

/* Every option that the job takes, given or default, as text. */
static json_t *options_json(const pb_job *job) {
    size_t count;
    const pb_option *rows = pb_option_rows(&count);
    json_t *options = json_object();
    for (size_t i = 0; i < count; i++) {
        char value[PB_OPTION_TEXT_MAX];
        if (!(rows[i].jobs & job->bit))
            continue;
        pb_options_value_text(&rows[i], job->options, value);
        json_object_set_new(options, rows[i].name, pb_json_text(value));
    }
    return options;
}

/* How the job ended; the rank that failed, -1 for none. */
static json_t *status_json(const pb_status *status) {
    return json_pack("{s:i,s:s,s:o,s:i}", "exit", (int)status->code, "name", pb_code_name(status->code), "message",
                     pb_json_text(status->message), "rank", pb_failed(status) ? status->rank : -1);
}

/* On rank 0. `ended` is now: after the work, before the file. All texts that may hold anything (names of files in options and
 * messages) go by pb_json_text. */
static pb_status write_file(const pb_job *job, const pb_status *status, const rank_summary *all) {
    const pb_summary *summary = job->summary;
    int ranks = pb_comm_size(job->comm);
    char ended[PB_TIMESTAMP_MAX];
    json_t *rows = json_array();
    for (int rank = 0; rank < ranks; rank++)
        json_array_append_new(rows, rank_json(&all[rank], rank));
    pb_clock_timestamp(ended);
    json_t *answer = json_pack("{s:s,s:i,s:s,s:s,s:s,s:o,s:s,s:s,s:f,s:i,s:o,s:o,s:o,s:o,s:o,s:o}", "format", "patchbank-summary",
                               "version", 1, "program_version", pb_version(), "program_commit", pb_version_commit(), "job",
                               job->name, "status", status_json(status), "began", summary->began, "ended", ended, "seconds",
                               pb_clock_seconds() - summary->begun, "ranks", ranks, "device", pb_json_text(summary->device),
                               "arithmetic", pb_json_text(summary->arithmetic), "options", options_json(job), "all",
                               totals_json(all, ranks), "steps", steps_json(all, ranks), "per_rank", rows);
    pb_status written = pb_fault("summary.write") ? pb_fail_errno(ENOSPC, job->options->summary, "cannot write")
                                                  : pb_json_write(answer, job->options->summary);
    json_decref(answer);
    return written;
}

pb_status pb_summary_check(const pb_job *job) {
    return job->options->summary ? pb_output_check(job->options->summary) : pb_ok();
}

/* Memory for a rank's summary may be lacking, too; then no rank has one, and it is said. */
void pb_summary_write(const pb_job *job, const pb_status *status) {
    pb_summary *summary = job->summary;
    pb_comm *comm = job->comm;
    rank_summary *mine = NULL, *all = NULL;
    size_t *sizes = NULL;
    bool fenced = (job->bit & PB_JOBS_KEEPING_STATE) && status->code == PB_E_NO; /* the file is the later run's */
    if (!job->options->summary || fenced) /* the same on every rank */
        return;
    end_step(summary);
    pb_status made = pb_allocate(&mine, 1, sizeof *mine, "the summary");
    pb_keep_first(&made, pb_allocate(&sizes, (size_t)pb_comm_size(comm), sizeof *sizes, "sizes of parts"));
    if (!pb_failed(&made)) {
        *mine = (rank_summary){
            .pid = getpid(), .usage = pb_usage_now(), .counters = pb_comm_count(comm), .count = summary->count};
        pb_usage_host(mine->host);
        memcpy(mine->steps, summary->steps, sizeof mine->steps);
    }
    made = pb_agree(comm, made);
    if (!pb_failed(&made))
        made = pb_comm_gather(comm, mine, sizeof *mine, 0, &all, sizes, "summary");
    if (!pb_failed(&made) && pb_comm_rank(comm) == 0)
        made = write_file(job, status, all);
    if (pb_failed(&made))
        pb_log_once(PB_LOG_WARN, "no-summary", "file=\"%s\" reason=\"%s\"", job->options->summary, made.message);
    pb_release(&mine);
    pb_release(&all);
    pb_release(&sizes);
}
