/* train_select.c: from projected patches to picks: the ways of --coreset but two-round. What selects is in coreset/; here it is
 * given its input, watched, saved and taken up.
 *
 * - greedy: exact farthest-first in rounds (coreset/greedy.h). Its state is its picks (docs/decisions/0011): rank 0 saves them
 *   when it is time, and all ranks save their patches when it is stopped.
 * - greedy-step: the textbook loop, with the same picks; keeps no state.
 * - random: the baseline; made again from the seed. */
#include "jobs/train.h"

#include "base/fault.h"
#include "base/log.h"
#include "base/stop.h"
#include "coreset/greedy_step.h"
#include "jobs/summary.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What a report during selection needs. Lives as long as the selection. */
typedef struct watch {
    pb_training *t;
    pb_progress progress;
} watch;

/* The radius after the last pick is not known before the next round has looked, so the one before is shown; so_far has at least
 * one pick. */
static void show_picks(watch *w, const pb_coreset *so_far) {
    size_t known = so_far->count > 1 && isnan(so_far->radius[so_far->count - 1]) ? so_far->count - 2 : so_far->count - 1;
    snprintf(w->progress.note, sizeof w->progress.note, "radius=%.6g", (double)so_far->radius[known]);
    pb_progress_update(&w->progress, so_far->count);
}

/* The textbook loop keeps no state: it begins again. */
static pb_status report_step(void *context, const pb_coreset *so_far) {
    show_picks(context, so_far);
    return pb_stop_check();
}

/* On every rank after every round. Rank 0 alone writes picks, since all ranks have the same. A failure or a wish to stop is this
 * rank's; the selection's next agreement makes it everybody's. */
static pb_status report_round(void *context, const pb_coreset *so_far) {
    watch *w = context;
    show_picks(w, so_far);
    pb_status status = pb_ok();
    if (pb_comm_rank(w->t->job->comm) == 0 && pb_run_due(&w->t->run))
        status = pb_train_checkpoint(w->t, so_far);
    pb_fault("train.round");
    pb_keep_first(&status, pb_stop_check());
    return status;
}

/* A round needs room for a candidate of each rank, however few --candidates allows. */
pb_greedy_input pb_train_greedy_input(const pb_training *t, size_t picks) {
    size_t ranks = (size_t)pb_comm_size(t->job->comm), candidates = pb_training_candidates(t);
    return (pb_greedy_input){.cover = t->cover,
                             .count = t->image_count * pb_training_patches(t),
                             .first = t->first_patch,
                             .total = t->total_patches,
                             .dim = pb_projection_dim(t->projection),
                             .start = t->start,
                             .picks = picks,
                             .candidates_most = candidates > ranks ? candidates : ranks};
}

/* Before the selection ends unfinished: the picks, and the patches that were not saved before. */
static pb_status save_all(pb_training *t) {
    pb_status status = pb_train_patches_save(t);
    if (!pb_failed(&status) && pb_comm_rank(t->job->comm) == 0)
        status = pb_train_checkpoint(t, &t->coreset);
    return status;
}

/* Collective. Room for the picks is made by the caller; those of an earlier run are put in first, and the selection goes on after
 * them. */
static pb_status select_greedy(pb_training *t, watch *w) {
    pb_greedy_input input = pb_train_greedy_input(t, pb_training_picks(t));
    pb_greedy_cost cost = {0};
    input.report = report_round;
    input.context = w;
    pb_train_resume(t);
    pb_status status = pb_greedy_select(t->setup.devices, &input, &t->coreset, NULL, &cost);
    if (status.code == PB_E_REQUEUE)
        pb_keep_first(&status, save_all(t)); /* the reason to stop stays */
    if (!pb_failed(&status))
        pb_log_once(PB_LOG_INFO, "rounds", "rounds=%llu candidates_most=%llu candidates_mean=%.1f capped=%llu",
                    (unsigned long long)cost.rounds, (unsigned long long)cost.candidates_most,
                    cost.rounds ? (double)cost.candidates_sum / (double)cost.rounds : 0.0, (unsigned long long)cost.capped);
    return status;
}

/* Collective. Slow (a pass over all patches and several collectives for each pick), and simple: the oracle of the other way. */
static pb_status select_greedy_step(pb_training *t, watch *w) {
    pb_greedy_step_input input = {.points = t->points,
                                  .count = t->image_count * pb_training_patches(t),
                                  .first = t->first_patch,
                                  .total = t->total_patches,
                                  .dim = pb_projection_dim(t->projection),
                                  .start = t->start,
                                  .picks = pb_training_picks(t),
                                  .report = report_step,
                                  .context = w};
    return pb_greedy_step_select(t->setup.devices, &input, &t->coreset);
}

/* Collective. A random sample, and for each ratio the radius that its prefix has: of the other prefixes it stays NaN. Ratios
 * fall, prefixes must rise, and two ratios of a small archive may stand for as many picks, so each number is asked for once. */
static pb_status select_random(pb_training *t) {
    pb_comm *comm = t->job->comm;
    size_t prefixes[PB_RATIOS_MAX], count = 0;
    float radii[PB_RATIOS_MAX];
    for (size_t i = t->ratio_count; i-- > 0;) { /* rising, each once */
        size_t picks = pb_coreset_size(t->ratios[i], t->total_patches);
        if (count == 0 || picks > prefixes[count - 1])
            prefixes[count++] = picks;
    }
    pb_coreset_free(&t->coreset);
    pb_status status = pb_coreset_random((uint64_t)t->job->options->seed, t->total_patches, prefixes[count - 1], &t->coreset);
    status = pb_agree(comm, status);
    if (!pb_failed(&status)) {
        pb_greedy_input input = pb_train_greedy_input(t, prefixes[count - 1]);
        status = pb_greedy_radii(t->setup.devices, &input, &t->coreset, prefixes, count, radii);
    }
    /* Each radius stands at the last pick of its prefix, where train_banks.c looks for it. */
    for (size_t i = 0; i < count && !pb_failed(&status); i++)
        t->coreset.radius[prefixes[i] - 1] = radii[i];
    return status;
}

/* What it cost is logged beside what it made: collectives and bytes of this step alone, by the difference of counters. */
pb_status pb_train_select(pb_training *t) {
    pb_comm *comm = t->job->comm;
    const char *how = t->job->options->coreset;
    size_t picks = pb_training_picks(t);
    watch w = {.t = t};
    pb_summary_step(t->job, "select", "picks");
    pb_progress_begin(&w.progress, "select", picks, "patches", pb_comm_rank(comm) == 0);
    pb_comm_counters before = pb_comm_count(comm);
    pb_status status = pb_agree(comm, pb_coreset_allocate(&t->coreset, picks));
    if (!pb_failed(&status))
        status = strcmp(how, "greedy") == 0        ? select_greedy(t, &w)
                 : strcmp(how, "greedy-step") == 0 ? select_greedy_step(t, &w)
                                                   : select_random(t);
    double seconds = pb_progress_end(&w.progress);
    if (pb_comm_rank(comm) == 0) /* all ranks make the same picks */
        pb_summary_done(t->job, t->coreset.count);
    pb_comm_counters after = pb_comm_count(comm);
    if (!pb_failed(&status))
        pb_log_once(PB_LOG_INFO, "selected",
                    "coreset=%s patches=%zu of=%llu dim=%d covering_radius=%.6g seconds=%.3f picks_per_s=%.0f collectives=%llu "
                    "sent_bytes=%llu",
                    how, t->coreset.count, (unsigned long long)t->total_patches, pb_projection_dim(t->projection),
                    (double)t->coreset.radius[t->coreset.count - 1], seconds, (double)t->coreset.count / seconds,
                    (unsigned long long)(after.collectives - before.collectives),
                    (unsigned long long)(after.bytes_sent - before.bytes_sent));
    return status;
}
