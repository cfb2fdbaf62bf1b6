/* main.c: the program's edge. The only file that reads argv and the environment, and that decides the exit code.
 *
 * The order matters: help and version need no MPI; then MPI starts, so that a wrong option is said once and not once a rank; then
 * options; then the job. A rank never leaves alone: whatever fails is agreed on first.
 *
 * Signals and exec stand in this order, too: SIGUSR1 and SIGTERM are held back before anything takes time; the program may begin
 * once more (wait_without_spinning), which forgets handlers but not what is held back; then handlers are set, and only then MPI
 * starts (base/stop.h). */
#include "base/fault.h"
#include "base/log.h"
#include "base/stop.h"
#include "base/version.h"
#include "gpu/device.h"
#include "gpu/network.h"
#include "jobs/job.h"
#include "jobs/summary.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A job as the command line knows it; made from the list in jobs/job.h. */
typedef struct job_entry {
    const char *name, *summary;
    uint32_t bit;
    pb_status (*run)(const pb_job *job);
} job_entry;

static const job_entry JOBS[] = {
#define JOB_ENTRY(name, words, summary) {words, summary, PB_JOB_##name, pb_job_##name},
    PB_JOBS(JOB_ENTRY)
#undef JOB_ENTRY
};

static void print_exit_codes(FILE *out) {
    fprintf(out, "\nExit codes:\n");
#define PRINT_CODE(name, exit_code, severity, meaning, advice) fprintf(out, "  %3d  %s; %s\n", exit_code, meaning, advice);
    PB_CODES(PRINT_CODE)
#undef PRINT_CODE
}

static void print_usage(FILE *out) {
    fprintf(out, "patchbank: finds defects in images the PatchCore way, on any number of MPI ranks\n\n"
                 "usage: [mpiexec -n RANKS] patchbank JOB --OPTION VALUE ...\n\nJobs:\n");
    for (int i = 0; i < PB_JOB_COUNT; i++)
        fprintf(out, "  %-13s %s\n", JOBS[i].name, JOBS[i].summary);
    fprintf(out, "\n  patchbank JOB --help   the options of a job\n"
                 "  patchbank options      all options, as Markdown\n"
                 "  patchbank backbones    the feature networks: a line for each block that can be a tap\n"
                 "  patchbank devices      what --device can name here: usable or not, and why\n"
                 "  patchbank --version    version and commit\n"
                 "\nEnvironment:\n"
                 "  PATCHBANK_CUDA_PLUGIN  libpatchbank_cuda.so, where it is not beside the program or in ../lib/patchbank\n"
                 "  PATCHBANK_PLANS        a folder of yours where GPUs' compiled networks are kept for the next job\n");
    print_exit_codes(out);
}

static void print_job_help(const job_entry *entry, FILE *out) {
    size_t rows;
    const pb_option *table = pb_option_rows(&rows);
    fprintf(out, "patchbank %s: %s\n\n", entry->name, entry->summary);
    pb_options_help(table, rows, entry->bit, out);
    print_exit_codes(out);
}

static void print_all_options(FILE *out) {
    size_t rows;
    const pb_option *table = pb_option_rows(&rows);
    fprintf(out, "# Options\n\nMade from `jobs/options.def` by `patchbank options`; a test compares.\n");
    for (int i = 0; i < PB_JOB_COUNT; i++) {
        fprintf(out, "\n## patchbank %s\n\n%s.\n\n", JOBS[i].name, JOBS[i].summary);
        pb_options_markdown(table, rows, JOBS[i].bit, out);
    }
}

static pb_status print_backbones(FILE *out) {
    fprintf(out, "%-20s %11s %13s %5s %7s %5s\n", "backbone", "parameters", "default taps", "tap", "stride", "dims");
    for (const char *const *name = pb_backbone_names(); *name; name++) {
        pb_backbone_info info;
        PB_TRY(pb_backbone_describe(*name, &info));
        for (int t = 0; t < info.tap_count; t++)
            fprintf(out, "%-20s %11lld %13s %5d %7d %5d\n", *name, (long long)info.parameters, info.taps, info.all[t].block,
                    info.all[t].stride, info.all[t].channels);
    }
    return pb_ok();
}

static void print_device(void *out, const char *name, bool usable, const char *about) {
    fprintf(out, "%-12s %-7s %s\n", name, usable ? "yes" : "no", about);
}

static void print_devices(FILE *out) {
    fprintf(out, "%-12s %-7s %s\n", "device", "usable", "what it is, or why not");
    pb_device_each(print_device, out);
}

/* Whether argv[1], or argv[1] and argv[2], are the job's name. *words: how many words that is, set in any case. */
static bool is_named(const job_entry *entry, int argc, char **argv, int *words) {
    size_t first = strcspn(entry->name, " ");
    bool two = entry->name[first] != '\0';
    *words = two ? 2 : 1;
    return argc > *words && strlen(argv[1]) == first && strncmp(argv[1], entry->name, first) == 0 &&
           (!two || strcmp(argv[2], entry->name + first + 1) == 0);
}

/* The job that the first words name, NULL when they name none. */
static const job_entry *find_job(int argc, char **argv, int *words) {
    for (int i = 0; i < PB_JOB_COUNT; i++)
        if (is_named(&JOBS[i], argc, argv, words))
            return &JOBS[i];
    return NULL;
}

/* Whether `word` is the first of the two words of this job's name. */
static bool is_first_of_two(const job_entry *entry, const char *word) {
    size_t length = strlen(word);
    return length > 0 && strncmp(entry->name, word, length) == 0 && entry->name[length] == ' ';
}

/* Whether some job's name has two words, of which this is the first. */
static bool has_second_words(const char *first) {
    int i = 0;
    while (i < PB_JOB_COUNT && !is_first_of_two(&JOBS[i], first))
        i++;
    return i < PB_JOB_COUNT;
}

static void print_second_words(const char *first, FILE *out) {
    fprintf(out, "patchbank %s: needs a second word\n\n", first);
    for (int i = 0; i < PB_JOB_COUNT; i++)
        if (is_first_of_two(&JOBS[i], first))
            fprintf(out, "  %-13s %s\n", JOBS[i].name, JOBS[i].summary);
}

/* The second words that `first` can have, as "a, b, c", cut at `size`. */
static void list_second_words(const char *first, char *list, size_t size) {
    size_t used = 0;
    list[0] = '\0';
    for (int i = 0; i < PB_JOB_COUNT; i++)
        if (is_first_of_two(&JOBS[i], first) && used < size)
            used += (size_t)snprintf(list + used, size - used, "%s%s", used ? ", " : "", strchr(JOBS[i].name, ' ') + 1);
}

/* Which of three mistakes it was: an unknown word, a missing second one, an unknown second one. */
static pb_status no_such_job(int argc, char **argv) {
    char list[256];
    if (!has_second_words(argv[1]))
        return pb_fail(PB_E_USAGE, "%s: no such job; patchbank --help lists them", argv[1]);
    list_second_words(argv[1], list, sizeof list);
    if (argc < 3 || argv[2][0] == '-')
        return pb_fail(PB_E_USAGE, "%s: needs a second word: %s", argv[1], list);
    return pb_fail(PB_E_USAGE, "%s %s: no such job; %s has %s", argv[1], argv[2], argv[1], list);
}

/* Answers that need no ranks. False: it is a job. */
static bool answer_at_once(int argc, char **argv, pb_status *status) {
    const char *word = argc > 1 ? argv[1] : "";
    int words;
    const job_entry *entry = find_job(argc, argv, &words);
    if (strcmp(word, "--help") == 0 || strcmp(word, "help") == 0 || strcmp(word, "-h") == 0)
        print_usage(stdout);
    else if (strcmp(word, "--version") == 0)
        printf("patchbank %s (%s)\n", pb_version(), pb_version_commit());
    else if (strcmp(word, "options") == 0)
        print_all_options(stdout);
    else if (strcmp(word, "backbones") == 0)
        *status = print_backbones(stdout);
    else if (strcmp(word, "devices") == 0)
        print_devices(stdout);
    else if (entry && argc == words + 2 && strcmp(argv[words + 1], "--help") == 0)
        print_job_help(entry, stdout);
    else if (argc == 3 && strcmp(argv[2], "--help") == 0 && has_second_words(word))
        print_second_words(word, stdout);
    else
        return false;
    return true;
}

/* The parser has made sure that it is one of the four choices of --log-level, which their first letters tell apart. */
static pb_log_level level_of(const char *name) {
    return name[0] == 'd' ? PB_LOG_DEBUG : name[0] == 'i' ? PB_LOG_INFO : name[0] == 'w' ? PB_LOG_WARN : PB_LOG_ERROR;
}

/* A script's unset variable gives no word, or an empty one. That must not read as done. */
static bool names_no_job(int argc, char **argv) { return argc < 2 || argv[1][0] == '\0'; }

/* Everything before the job that can go wrong on one rank. The log knows rank and job before options are parsed, the level only
 * after. */
static pb_status prepare(pb_comm *comm, int argc, char **argv, const job_entry **entry, pb_job_options *options, bool *help) {
    size_t rows;
    const pb_option *table = pb_option_rows(&rows);
    if (names_no_job(argc, argv))
        return pb_fail(PB_E_USAGE, "no job is given; patchbank --help lists them");
    int words;
    *entry = find_job(argc, argv, &words);
    if (!*entry)
        return no_such_job(argc, argv);
    pb_log_setup(pb_comm_rank(comm), (*entry)->name, PB_LOG_INFO);
    PB_TRY(pb_options_parse(table, rows, (*entry)->bit, argc - words, argv + words, options, help));
    pb_log_setup(pb_comm_rank(comm), (*entry)->name, level_of(options->log_level));
    pb_comm_watchdog(comm, options->watchdog);
    return pb_fault_arm(getenv("PATCHBANK_FAULT"), pb_comm_rank(comm));
}

/* Collective. prepare fails on all ranks alike, as all have one command line, but for a fault that is armed for one rank;
 * agreeing makes it so for any. A summary is written however the job ends, once it began. */
static pb_status run(pb_comm *comm, int argc, char **argv) {
    const job_entry *entry = NULL;
    pb_job_options options;
    bool help = false;
    pb_status status = pb_agree(comm, prepare(comm, argc, argv, &entry, &options, &help));
    if (pb_failed(&status)) {
        if (pb_comm_rank(comm) == 0 && names_no_job(argc, argv))
            print_usage(stderr);
        return status;
    }
    if (help) {
        if (pb_comm_rank(comm) == 0)
            print_job_help(entry, stdout);
        return status;
    }
    pb_summary summary;
    pb_job job = {.name = entry->name, .bit = entry->bit, .comm = comm, .options = &options, .summary = &summary};
    /* From here on the job's time counts, and what it does is noted. */
    pb_summary_begin(&summary, comm);
    status = pb_agree(comm, pb_comm_rank(comm) == 0 ? pb_summary_check(&job) : pb_ok());
    if (pb_failed(&status))
        return status;
    status = pb_agree(comm, entry->run(&job));
    pb_summary_write(&job, &status);
    return status;
}

/* An answer that did not reach its reader (a full disk behind a redirection) is a failure too. */
static int flush_answers(int code) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "patchbank: error: standard output cannot be written\n");
    return code == PB_OK ? PB_E_SYSTEM : code;
}

/* The threads of OpenMP wait for work by spinning, for milliseconds, on cores that the decoders need then (docs/PERFORMANCE.md,
 * "The pipeline"). libgomp reads how they shall wait when it is loaded, before main; hence the program begins once more, unless
 * the user has said what is wanted. Where it cannot, threads spin: slower, not wrong. */
static void wait_without_spinning(char **argv) {
    if (!getenv("OMP_WAIT_POLICY") && !getenv("GOMP_SPINCOUNT") && setenv("OMP_WAIT_POLICY", "passive", 1) == 0)
        execv("/proc/self/exe", argv);
}

/* Whether the job that is asked for, if there is one, goes on later when it is asked to stop. */
static bool keeps_state(int argc, char **argv) {
    int words;
    const job_entry *entry = find_job(argc, argv, &words);
    return entry && (entry->bit & PB_JOBS_KEEPING_STATE);
}

/* The verdict of a job that says no (PB_E_NO) is an answer, not a failure: no line is written for it. Of several ranks the line
 * names the one that failed; rank 0 writes it. */
int main(int argc, char **argv) {
    pb_status status = pb_ok();
    bool stops = keeps_state(argc, argv);
    if (stops)
        pb_stop_hold();
    pb_device_plugin_path(getenv("PATCHBANK_CUDA_PLUGIN"));
    pb_device_plans_path(getenv("PATCHBANK_PLANS"));
    /* No ranks are needed up to here, and none are started for an answer. */
    if (answer_at_once(argc, argv, &status)) {
        if (pb_failed(&status))
            pb_log_failure(&status, -1);
        return flush_answers(status.code);
    }
    wait_without_spinning(argv);
    if (stops)
        pb_stop_on_signals();
    signal(SIGXFSZ, SIG_IGN); /* a file-size limit is then an error of write(2), met like a full disk */
    pb_comm *comm;
    status = pb_comm_create(&argc, &argv, &comm);
    if (pb_failed(&status)) {
        pb_log_failure(&status, status.rank);
        return status.code;
    }
    status = run(comm, argc, argv);
    if (pb_failed(&status) && status.code != PB_E_NO && pb_comm_rank(comm) == 0)
        pb_log_failure(&status, pb_comm_size(comm) > 1 ? status.rank : -1);
    /* Before MPI ends, which may take the process with it. */
    int code = flush_answers(status.code);
    pb_comm_destroy(&comm);
    return code;
}
