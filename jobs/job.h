/* job.h: what a job is, and the one list of them.
 *
 * `patchbank JOB --options` (JOB is one word or two: `bank publish`) runs one job on all ranks. Every job function is collective
 * over job->comm and returns the same status on every rank; only main.c turns it into an exit code.
 *
 * From the list come the numbers and bits of the jobs, the prototypes of their functions, the program's table and help (main.c),
 * and the columns of the option table (options.def): a job that is added here is everywhere, or does not compile. */
#ifndef PB_JOBS_JOB_H
#define PB_JOBS_JOB_H

#include "base/status.h"
#include "jobs/options_table.h"
#include "mpi/comm.h"

/* The jobs, in the order of a user's work: name in C, name on the command line (one word, or two parted by a blank), one line for
 * the help. A name of two words is a job like any other, with options of its own. */
#define PB_JOBS(X)                                                                                                    \
    X(pack, "pack", "put images of a CSV list or an MVTec AD folder into a sharded HDF5 archive")                     \
    X(merge, "merge", "make one archive of several, in the order given, without copying where hard links are possible")  \
    X(info, "info", "describe an archive, a memory bank or results")                                                  \
    X(verify, "verify", "check every byte of an archive, or with --bank that a bank is what it says: 0 sound, 1 not") \
    X(train, "train", "extract patch features of the training images and select the memory bank")                     \
    X(update, "update", "bring a memory bank up to date: add rows for new images, forget those of others")              \
    X(score, "score", "score images by the distance of their patches to the memory bank")                             \
    X(eval, "eval", "image AUROC of scores against labels, beside the brightness floor; with masks pixel AUROC and PRO") \
    X(bank_list, "bank list", "the versions of a bank in a bank store")                                               \
    X(bank_publish, "bank publish", "make a bank the current version, if the gate lets it: 0 published, 1 refused")   \
    X(bank_rollback, "bank rollback", "make an earlier version current again")                                        \
    X(bank_gc, "bank gc", "remove old versions that nobody can still be reading")                                     \
    X(bank_diff, "bank diff", "what two versions of a bank have in common and what not")                              \
    X(top, "top", "the jobs that run below a folder: how far they are, how fast, how long still")                         \
    X(plan, "plan", "nodes, memory, time and storage for an archive, and the options of its batch jobs, by measured constants") \
    X(bench, "bench extract", "measure extraction: reading, decoding and the network alone, and archive to features")          \
    X(bench_constants, "bench constants", "measure what plan reckons with: extraction, selection, search, disk and messages")

enum {
#define PB_JOB_NUMBER(name, words, summary) pb_job_number_##name,
    PB_JOBS(PB_JOB_NUMBER)
#undef PB_JOB_NUMBER
    PB_JOB_COUNT
};
_Static_assert(PB_JOB_COUNT <= 30, "a job is a bit of a 32-bit set");

/* Bits for the option table. */
enum {
#define PB_JOB_BIT(name, words, summary) PB_JOB_##name = 1 << pb_job_number_##name,
    PB_JOBS(PB_JOB_BIT)
#undef PB_JOB_BIT
    PB_JOB_ALL = (1 << PB_JOB_COUNT) - 1
};

/* The jobs that can be stopped and go on later (jobs/run_state.h). */
enum { PB_JOBS_KEEPING_STATE = PB_JOB_pack | PB_JOB_train | PB_JOB_update | PB_JOB_score };

typedef struct pb_summary pb_summary;

/* What a job function is given. Everything is borrowed. */
typedef struct pb_job {
    const char *name; /* on the command line */
    uint32_t bit;     /* of PB_JOB_name, as in the option table */
    pb_comm *comm;    /* all ranks of the program */
    const pb_job_options *options; /* as on the command line, the same on every rank */
    pb_summary *summary; /* where its steps are noted (jobs/summary.h) */
} pb_job;

/* Collective, each in its own file (the small ones of one first word share it). */
#define PB_JOB_FUNCTION(name, words, summary) pb_status pb_job_##name(const pb_job *job);
PB_JOBS(PB_JOB_FUNCTION)
#undef PB_JOB_FUNCTION

#endif
