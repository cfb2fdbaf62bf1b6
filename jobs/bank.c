/* bank.c: the small jobs on a bank store: list, rollback, gc. Rank 0 works alone.
 *
 * The order of the versions' numbers is the truth (docs/decisions/0019; docs/ARCHITECTURE.md, invariant 11): list shows it,
 * rollback adds to it, gc shortens it at the other end. Listing takes no lock; the others work in a session
 * (jobs/store_session.h). */
#include "base/log.h"
#include "base/memory.h"
#include "jobs/job.h"
#include "jobs/json.h"
#include "jobs/store_session.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- list ------------------------------------------------------------------------------------------------------- */

static void print_version(const pb_bank_version *v, bool current) {
    char generation[PB_GENERATION_TEXT], gate[64] = "-";
    pb_generation_text(v->generation, generation);
    if (*v->restores)
        snprintf(gate, sizeof gate, "rollback to %s", v->restores);
    else if (*v->gate.kind)
        snprintf(gate, sizeof gate, "%s %.6g", v->gate.kind, v->gate.figure);
    printf("%s%-9s %-8s %10" PRIu64 " %10.6g %14s  %-24s  %-22s %.12s\n", current ? "*" : " ", v->name,
           *v->parent ? v->parent : "-", v->rows, v->covering_radius, generation, v->published, gate, v->bank_sha256);
}

static void print_versions(const pb_bank_version *versions, size_t count) {
    printf("#version   parent         rows     radius     generation  published                 gate                   bank\n");
    for (size_t i = 0; i < count; i++)
        print_version(&versions[i], i + 1 == count);
}

/* Each version's meta.json, and which is current. */
static pb_status versions_to_json(const pb_bank_version *versions, size_t count, json_t *answer) {
    json_t *rows = json_array();
    json_object_set_new(answer, "current", count > 0 ? json_string(versions[count - 1].name) : json_null());
    json_object_set_new(answer, "versions", rows);
    for (size_t i = 0; i < count; i++) {
        json_t *row;
        PB_TRY(pb_bank_version_to_json(&versions[i], &row));
        json_array_append_new(rows, row);
    }
    return pb_ok();
}

/* Versions come in rising order, so the last is current. */
static pb_status list_alone(const pb_job_options *options) {
    pb_bank_version *versions;
    size_t count;
    PB_TRY(pb_bank_store_list(options->store, &versions, &count));
    json_t *answer = json_object();
    pb_status status = versions_to_json(versions, count, answer);
    if (!pb_failed(&status) && !pb_json_only(options->json))
        print_versions(versions, count);
    if (!pb_failed(&status) && options->json)
        status = pb_json_write(answer, options->json);
    json_decref(answer);
    pb_release(&versions);
    return status;
}

pb_status pb_job_bank_list(const pb_job *job) {
    return pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? list_alone(job->options) : pb_ok());
}

/* --- rollback --------------------------------------------------------------------------------------------------- */

/* The version to go back to: --to, or the parent of the current one. After a rollback the parent is that of the version whose
 * bank is current again, so that the next one goes further back. */
static pb_status choose_target(const pb_session *session, pb_bank_version *target) {
    const pb_job_options *options = session->options;
    const pb_bank_version *current = &session->current;
    if (!*current->name)
        return pb_fail(PB_E_INPUT, "%s: has no version yet", options->store);
    if (!options->to && !*current->parent)
        return pb_fail(PB_E_INPUT, "%s: version %s has no parent to go back to; choose one by --to", options->store,
                       current->name);
    PB_TRY(pb_bank_store_find(options->store, options->to ? options->to : current->parent, target));
    if (strcmp(target->name, current->name) == 0)
        return pb_fail(PB_E_INPUT, "%s: version %s is current already", options->store, current->name);
    return pb_ok();
}

/* Numbers only grow, so going back is a new version with the old one's bank. It keeps the generation of what it replaces unless
 * it has a newer one, and so the job that it takes back stays fenced off. `version` begins as a copy of the target: with its
 * bank's description and its parent. */
static pb_status roll_back(const pb_session *session) {
    const pb_job_options *options = session->options;
    const pb_bank_version *current = &session->current;
    bool anonymous = pb_generation_is_none(session->generation);
    char bank[PB_PATH_MAX];
    pb_bank_version target;
    /* Only an older job is refused here: going back is also for the job that published, and for people, who have no
     * generation. */
    if (!anonymous && pb_generation_compare(session->generation, current->generation) < 0)
        PB_TRY(pb_session_check_generation(session));
    PB_TRY(choose_target(session, &target));
    PB_TRY(pb_bank_store_path(options->store, target.name, bank));
    pb_bank_version version = target;
    strcpy(version.restores, *target.restores ? target.restores : target.name);
    version.gate = (pb_gate_record){0};
    pb_session_sign(anonymous ? current->generation : session->generation, &version);
    PB_TRY(pb_bank_store_add(options->store, current->name, bank, PB_PLACE_LINK, &version));
    printf("%s: version %s has the bank of %s again, in place of %s\n", options->store, version.name, version.restores,
           current->name);
    pb_log(PB_LOG_INFO, "rolled-back", "store=\"%s\" version=%s restores=%s replaced=%s", options->store, version.name,
           version.restores, current->name);
    return pb_bank_store_point(options->store);
}

static pb_status roll_back_alone(const pb_job_options *options) {
    pb_session session = {0};
    pb_status status = pb_session_begin(options, false, &session);
    if (!pb_failed(&status))
        status = pb_session_say_no(options, roll_back(&session));
    pb_session_end(&session);
    return status;
}

pb_status pb_job_bank_rollback(const pb_job *job) {
    return pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? roll_back_alone(job->options) : pb_ok());
}

/* --- gc --------------------------------------------------------------------------------------------------------- */

static void say_removed(void *context, const char *name) {
    uint64_t *removed = context;
    (*removed)++;
    printf("removed version %s\n", name);
}

static pb_status collect(const pb_session *session) {
    const pb_job_options *options = session->options;
    uint64_t removed = 0;
    pb_status status =
        pb_bank_store_gc(options->store, &session->lock, options->keep, options->grace * 3600, say_removed, &removed);
    if (!pb_failed(&status))
        printf("%s: %" PRIu64 " versions removed\n", options->store, removed);
    return !pb_failed(&status) && *session->current.name ? pb_bank_store_point(options->store) : status;
}

static pb_status collect_alone(const pb_job_options *options) {
    pb_session session = {0};
    pb_status status = pb_session_begin(options, false, &session);
    if (!pb_failed(&status))
        status = collect(&session);
    pb_session_end(&session);
    return status;
}

pb_status pb_job_bank_gc(const pb_job *job) {
    return pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? collect_alone(job->options) : pb_ok());
}
