/* bank_choice.h: private to jobs/: which file --bank means. A file means itself; a folder is a bank of a bank store and means the
 * version that is current at this moment, for the whole job. */
#ifndef PB_JOBS_BANK_CHOICE_H
#define PB_JOBS_BANK_CHOICE_H

#include "io/bank_store.h"
#include "jobs/job.h"

/* A choice. It is large, and points into itself: keep it where it was made. */
typedef struct pb_bank_choice {
    pb_job job; /* as the user gave it, but that options->bank is the file that was chosen */
    pb_job_options options;  /* a copy of the job's, but for the bank */
    char path[PB_PATH_MAX];  /* of the chosen file, when --bank was a store */
    pb_bank_version version; /* name "" when --bank was a file (or is not given) */
} pb_bank_choice;

/* Not collective. As pb_bank_choose, on this rank alone. job is borrowed, and must outlive the choice. */
PB_CHECKED pb_status pb_bank_choose_alone(const pb_job *job, pb_bank_choice *choice);

/* Collective. Rank 0 looks once, and all ranks take what it saw: what is published meanwhile changes nothing for this job.
 * Errors, agreed: those of pb_bank_store_current. */
PB_CHECKED pb_status pb_bank_choose(const pb_job *job, pb_bank_choice *choice);

/* Not collective. Whether the bank that was read is the one that was published: sha256 is its file's. Of a plain file there is
 * nothing to compare with: PB_OK. Errors: PB_E_INPUT. */
PB_CHECKED pb_status pb_bank_choice_check(const pb_bank_choice *choice, const char *sha256);

#endif
