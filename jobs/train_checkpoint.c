#include "jobs/train.h"

#include "base/log.h"
#include "base/memory.h"
#include "io/file.h"
#include "io/selection_file.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const float UNKNOWN = -1;

/* BANK.selection.h5, beside the bank: found again by the same command. */
static pb_status path_of(const pb_training *t, char path[PB_PATH_MAX]) {
    int length = snprintf(path, PB_PATH_MAX, "%s.selection.h5", t->job->options->bank);
    return length < PB_PATH_MAX ? pb_ok() : pb_fail(PB_E_INPUT, "%s: the name is too long", t->job->options->bank);
}

void pb_train_checkpoint(pb_training *t, const pb_coreset *so_far) {
    char path[PB_PATH_MAX];
    pb_selection_state state = {.picks = so_far->count, .picked = so_far->picked, .attributes = t->attributes};
    pb_status status = path_of(t, path);
    pb_keep_first(&status, pb_allocate(&state.radius, so_far->count, sizeof *state.radius, "a checkpoint"));
    if (!pb_failed(&status)) {
        for (size_t i = 0; i < so_far->count; i++)
            state.radius[i] = isnan(so_far->radius[i]) ? UNKNOWN : so_far->radius[i];
        status = pb_selection_write(path, &state);
    }
    pb_release(&state.radius);
    t->checkpointed = t->checkpointed || !pb_failed(&status);
    if (pb_failed(&status))
        pb_log(PB_LOG_WARN, "no-checkpoint", "picks=%zu reason=\"%s\"", so_far->count, status.message);
    else
        pb_log(PB_LOG_DEBUG, "checkpoint", "file=\"%s\" picks=%zu", path, so_far->count);
}

void pb_train_checkpoint_remove(const pb_training *t) {
    char path[PB_PATH_MAX];
    pb_status status = path_of(t, path);
    if (!pb_failed(&status) && t->checkpointed)
        unlink(path);
}

/* Why a selection cannot be gone on from: it was made otherwise; "" when it can. */
static const char *misfit(const pb_training *t, const pb_selection_state *state) {
    for (size_t i = 0; i < t->attributes.count; i++) {
        const char *other = pb_attributes_get(&state->attributes, t->attributes.names[i]);
        if (!other || strcmp(other, t->attributes.values[i]) != 0)
            return t->attributes.names[i];
    }
    for (size_t i = 0; i < state->picks; i++)
        if (state->picked[i] >= t->total_patches)
            return "picked";
    return "";
}

/* Rank 0: reads the checkpoint if there is one that fits; state->picks stays 0 otherwise. */
static pb_status read_state(const pb_training *t, pb_selection_state *state) {
    char path[PB_PATH_MAX];
    *state = (pb_selection_state){0};
    PB_TRY(path_of(t, path));
    if (access(path, F_OK) != 0)
        return pb_ok();
    pb_status status = pb_selection_read(path, state);
    const char *why = pb_failed(&status) ? status.message : misfit(t, state);
    if (!*why)
        return pb_ok();
    pb_log(PB_LOG_WARN, "checkpoint-ignored", "file=\"%s\" reason=\"%s%s\"", path, pb_failed(&status) ? "" : "made with another ",
           why);
    pb_selection_state_free(state);
    return pb_ok();
}

static void take(const pb_selection_state *state, size_t picks, pb_coreset *coreset) {
    for (size_t i = 0; i < picks; i++)
        pb_coreset_add(coreset, state->picked[i], state->radius[i] < 0 ? NAN : state->radius[i]);
}

pb_status pb_train_resume(pb_training *t) {
    pb_comm *comm = t->job->comm;
    bool reader = pb_comm_rank(comm) == 0;
    pb_selection_state state = {0};
    pb_status status = pb_agree(comm, reader ? read_state(t, &state) : pb_ok());
    uint64_t picks = state.picks < t->coreset.room ? state.picks : t->coreset.room;
    if (!pb_failed(&status))
        pb_comm_broadcast(comm, &picks, sizeof picks, 0, "picks of the checkpoint");
    if (!pb_failed(&status) && picks > 0) {
        if (reader)
            take(&state, (size_t)picks, &t->coreset);
        t->checkpointed = true;
        t->coreset.count = (size_t)picks;
        pb_comm_broadcast(comm, t->coreset.picked, picks * sizeof *t->coreset.picked, 0, "picks of the checkpoint");
        pb_comm_broadcast(comm, t->coreset.radius, picks * sizeof *t->coreset.radius, 0, "radii of the checkpoint");
        pb_log_once(PB_LOG_INFO, "resumed", "picks=%llu", (unsigned long long)picks);
    }
    pb_selection_state_free(&state);
    return status;
}
