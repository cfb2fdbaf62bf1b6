/* bank_publish.c: a bank becomes the current version of its store, if the gate lets it. Rank 0 works alone.
 *
 * In order: the bank says what it is; the store is locked, where that can be; fencing by generations; the gate; the version is
 * added under the number after the current one, which fails if somebody else took it meanwhile (docs/decisions/0019). So whoever
 * comes too late has changed nothing, and is told. A no goes to standard output, too. */
#include "base/log.h"
#include "io/bank_file.h"
#include "jobs/gate.h"
#include "jobs/job.h"
#include "jobs/provenance.h"
#include "jobs/store_session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the bank says of itself, for meta.json. That its rows are sound need not be asked here: the gate wants results of this
 * very file, and score has read all of it. */
static pb_status describe_bank(const char *bank, pb_bank_version *version) {
    pb_bank head;
    const char *archive = "";
    *version = (pb_bank_version){0};
    PB_TRY(pb_sha256_file(bank, version->bank_sha256));
    PB_TRY(pb_bank_read(bank, 0, 0, &head, &version->rows));
    version->dim = head.dim;
    const char *radius = pb_attributes_get(&head.attributes, "covering_radius");
    version->covering_radius = radius ? pb_option_number(radius) : (double)NAN;
    pb_status status = pb_attributes_need(&head.attributes, bank, "archive_sha256", &archive);
    const char *newest = strrchr(archive, ','); /* of an updated bank */
    snprintf(version->archive_sha256, sizeof version->archive_sha256, "%s", newest ? newest + 1 : archive);
    pb_bank_free(&head);
    return status;
}

static void announce(const pb_session *session, const pb_bank_version *version) {
    const pb_gate_record *gate = &version->gate;
    char generation[PB_GENERATION_TEXT], against[64] = "";
    pb_generation_text(version->generation, generation);
    if (*version->parent)
        snprintf(against, sizeof against, "; %s has %.6g, margin %g", version->parent, gate->current_figure, gate->margin);
    printf("%s: published as version %s: %s %.6g of %llu images, floor %g%s\n", session->options->store, version->name,
           gate->kind, gate->figure, (unsigned long long)gate->images, gate->floor, against);
    pb_log(PB_LOG_INFO, "published", "store=\"%s\" version=%s parent=%s generation=%s bank_sha256=%s", session->options->store,
           version->name, *version->parent ? version->parent : "-", generation, version->bank_sha256);
}

/* A job that published and was killed before it could say so comes again with the same bank: that is done, not wrong. */
static pb_status already_current(const pb_session *session) {
    printf("%s: is already current, as version %s\n", session->options->bank, session->current.name);
    return pb_bank_store_point(session->options->store);
}

/* current->name is what was compared with and what the new version must follow: between the two nothing can slip in. */
static pb_status publish(const pb_session *session, pb_bank_version *version) {
    const pb_job_options *options = session->options;
    const pb_bank_version *current = &session->current;
    PB_TRY(pb_session_check_generation(session));
    if (*current->name && strcmp(current->bank_sha256, version->bank_sha256) == 0)
        return already_current(session);
    PB_TRY(pb_gate_judge(options, version->bank_sha256, current, &version->gate));
    strcpy(version->parent, current->name);
    pb_session_sign(session->generation, version);
    PB_TRY(pb_bank_store_add(options->store, current->name, options->bank, PB_PLACE_COPY, version));
    announce(session, version);
    return pb_bank_store_point(options->store);
}

/* The bank is looked into before the lock is taken: hashing a large file may take long. */
static pb_status publish_alone(const pb_job_options *options) {
    pb_session session = {0};
    pb_bank_version version;
    PB_TRY(describe_bank(options->bank, &version));
    pb_status status = pb_session_begin(options, true, &session);
    if (!pb_failed(&status))
        status = pb_session_say_no(options, publish(&session, &version));
    pb_session_end(&session);
    return status;
}

pb_status pb_job_bank_publish(const pb_job *job) {
    return pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? publish_alone(job->options) : pb_ok());
}
