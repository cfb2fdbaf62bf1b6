/* bank_choice.c: --bank, looked up once: what is published later does not change a job that has begun (docs/ARCHITECTURE.md,
 * invariant 11). */
#include "jobs/bank_choice.h"

#include <string.h>

/* Options are borrowed texts, so the chosen file's name can take the place of the given one. */
static void take_over(const pb_job *job, pb_bank_choice *choice) {
    choice->options = *job->options;
    if (*choice->version.name)
        choice->options.bank = choice->path;
    choice->job = *job;
    choice->job.options = &choice->options;
}

/* Whether --bank is a folder tells a store from a file. Nothing is looked up for a job without --bank. */
static pb_status look(const pb_job *job, pb_bank_choice *choice) {
    const char *bank = job->options->bank;
    if (!bank || !pb_is_folder(bank))
        return pb_ok();
    PB_TRY(pb_bank_store_current(bank, &choice->version));
    return pb_bank_store_path(bank, choice->version.name, choice->path);
}

pb_status pb_bank_choose_alone(const pb_job *job, pb_bank_choice *choice) {
    *choice = (pb_bank_choice){0};
    pb_status status = look(job, choice);
    take_over(job, choice);
    return status;
}

/* The choice is filled also after a failure, so that it can be looked at; its bank is then the given one. */
pb_status pb_bank_choose(const pb_job *job, pb_bank_choice *choice) {
    *choice = (pb_bank_choice){0};
    pb_status status = pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? look(job, choice) : pb_ok());
    if (!pb_failed(&status)) {
        pb_comm_broadcast(job->comm, choice->path, sizeof choice->path, 0, "the bank's path");
        pb_comm_broadcast(job->comm, &choice->version, sizeof choice->version, 0, "the bank's version");
    }
    take_over(job, choice);
    return status;
}

pb_status pb_bank_choice_check(const pb_bank_choice *choice, const char *sha256) {
    if (!*choice->version.name || strcmp(choice->version.bank_sha256, sha256) == 0)
        return pb_ok();
    return pb_fail(PB_E_INPUT, "%s: its SHA-256 is %s, but %s was published: it is damaged; go back to another version",
                   choice->path, sha256, choice->version.bank_sha256);
}
