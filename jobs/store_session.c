/* store_session.c: what publish and rollback have in common: lock, generation, current version, signature
 * (docs/decisions/0019). */
#include "jobs/store_session.h"

#include "base/log.h"
#include "base/version.h"

#include <stdio.h>
#include <unistd.h>

/* For people only: nobody decides by it. */
void pb_session_describe(const pb_generation *generation, char who[PB_SESSION_WHO]) {
    char host[64] = "?", text[PB_GENERATION_TEXT] = "", now[PB_TIMESTAMP_MAX];
    if (gethostname(host, sizeof host) != 0)
        snprintf(host, sizeof host, "?");
    host[sizeof host - 1] = '\0';
    if (generation)
        pb_generation_text(*generation, text);
    pb_clock_timestamp(now);
    snprintf(who, PB_SESSION_WHO, "process %ld on %s%s%s, since %s", (long)getpid(), host, generation ? ", generation " : "",
             text, now);
}

/* The current version is looked up under the lock, where there is one. Without, the rename that adds a version still decides, by
 * the number that was seen here. */
pb_status pb_session_begin(const pb_job_options *options, bool create, pb_session *session) {
    char who[PB_SESSION_WHO];
    *session = (pb_session){.options = options};
    PB_TRY(pb_generation_parse(options->generation, &session->generation));
    pb_session_describe(&session->generation, who);
    PB_TRY(pb_bank_store_lock(options->store, create, options->wait, who, &session->lock));
    if (!session->lock.held)
        pb_log(PB_LOG_WARN, "no-lock",
               "store=\"%s\" reason=\"its file system has no locks: of two jobs at once one will be told to "
               "try again\"",
               options->store);
    return pb_bank_store_head(options->store, &session->current);
}

void pb_session_end(pb_session *session) {
    pb_lock_release(&session->lock);
    *session = (pb_session){0};
}

/* A current version of generation 0.0 was published by hand: it fences nobody off. */
pb_status pb_session_check_generation(const pb_session *session) {
    char mine[PB_GENERATION_TEXT], other[PB_GENERATION_TEXT];
    const pb_bank_version *current = &session->current;
    int order = pb_generation_compare(session->generation, current->generation);
    bool fenced = !pb_generation_is_none(current->generation);
    pb_generation_text(session->generation, mine);
    pb_generation_text(current->generation, other);
    if (fenced && order < 0)
        return pb_fail(PB_E_NO, "generation %s is older than %s, which published version %s", mine, other, current->name);
    if (fenced && order == 0 && *current->restores)
        return pb_fail(PB_E_NO, "generation %s was rolled back by version %s; only a later one may publish again", mine,
                       current->name);
    return pb_ok();
}

void pb_session_sign(pb_generation generation, pb_bank_version *version) {
    version->generation = generation;
    snprintf(version->program_version, sizeof version->program_version, "%s", pb_version());
    snprintf(version->program_commit, sizeof version->program_commit, "%s", pb_version_commit());
    pb_clock_timestamp(version->published);
}

pb_status pb_session_say_no(const pb_job_options *options, pb_status status) {
    if (status.code == PB_E_NO)
        printf("%s: refused: %s\n", options->store, status.message);
    return status;
}
