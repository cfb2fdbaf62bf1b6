/* state.c: which run owns a job's state (decision 0024, invariant 12), and the names of what is in it.
 *
 * Runs are folders in the state folder, named by generation and number. A claim, by one rank of the run:
 *    1 make_run    a folder of its own, whose (generation, number) is above all that are there, or a refusal
 *    2 take_away   every older run's folder is renamed into the new one, from where it is removed; a newer one refuses the claim
 * After the rename of its folder an older run can give nothing a final name. If two claim at once, each finds the other's folder
 * in step 2, and the one that is older by name loses, whichever was first: order is a property of names, not of time.
 */
#include "io/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What the name of a run's folder begins with. */
static const char RUN[] = "run-";

/* Beside a file, in a folder; so it is on the output's file system, which rename(2) needs. */
pb_status pb_state_name(const char *output, char folder[PB_PATH_MAX]) {
    if (pb_is_folder(output))
        return pb_path_join(output, "state", folder);
    int written = snprintf(folder, PB_PATH_MAX, "%s.state", output);
    return written < PB_PATH_MAX ? pb_ok() : pb_fail(PB_E_INPUT, "%.60s...: the name is too long", output);
}

/* --- runs ------------------------------------------------------------------------------------------------------- */

/* A run by its folder's name. Order: by generation, then by number. Runs of one generation are numbered as they come. */
typedef struct run {
    pb_generation generation;
    uint64_t number;
} run;

/* "run-4711.2-1763971200123456789". The number is nanoseconds of the clock. */
static void run_name(run r, char name[96]) {
    char generation[PB_GENERATION_TEXT];
    pb_generation_text(r.generation, generation);
    snprintf(name, 96, "%s%s-%" PRIu64, RUN, generation, r.number);
}

/* Whether `name` is what run_name makes of some run, and of which. Parsed and made again: only what is the same text is a run,
 * whatever the parsers may tolerate. */
static bool run_of(const char *name, run *r) {
    char text[PB_GENERATION_TEXT], again[96];
    const char *dash = strrchr(name, '-');
    if (strncmp(name, RUN, strlen(RUN)) != 0 || dash < name + strlen(RUN))
        return false;
    snprintf(text, sizeof text, "%.*s", (int)(dash - name - (ptrdiff_t)strlen(RUN)), name + strlen(RUN));
    pb_status parsed = pb_generation_parse(text, &r->generation);
    r->number = strtoull(dash + 1, NULL, 10);
    run_name(*r, again);
    return !pb_failed(&parsed) && strcmp(name, again) == 0;
}

/* Below, equal to or above 0 when a is older than, the same as, newer than b. */
static int run_compare(run a, run b) {
    int order = pb_generation_compare(a.generation, b.generation);
    return order ? order : (a.number > b.number) - (a.number < b.number);
}

/* A visitor of the state folder, as the others here: the context becomes the newest run. */
static pb_status keep_latest(void *context, int folder, const char *name) {
    run r, *latest = context;
    (void)folder;
    if (run_of(name, &r) && run_compare(r, *latest) > 0)
        *latest = r;
    return pb_ok();
}

/* Says which newer run is met and what a person can do who knows that it is not alive. */
static pb_status refused(const char *folder, run mine, run other) {
    char name[96], generation[PB_GENERATION_TEXT];
    run_name(other, name);
    pb_generation_text(mine.generation, generation);
    return pb_fail(PB_E_NO,
                   "%s: refused: this run of generation %s meets %s, which is newer; if that run is not alive, remove it", folder,
                   generation, name);
}

/* A claim that is being made. */
typedef struct claim {
    const char *folder;
    const char *run; /* its own */
    run mine;
} claim;

/* A visitor. Renames an older run's folder into the claiming one's: that is the fencing. Removing it afterwards is tidiness.
 * ENOENT: another claim has taken it. */
static pb_status take_away(void *context, int folder, const char *name) {
    const claim *c = context;
    char from[PB_PATH_MAX], to[PB_PATH_MAX];
    run other;
    (void)folder;
    int order = run_of(name, &other) ? run_compare(other, c->mine) : 0;
    if (order == 0) /* its own, or no run */
        return pb_ok();
    if (order > 0)
        return refused(c->folder, c->mine, other);
    PB_TRY(pb_path_join(c->folder, name, from));
    PB_TRY(pb_path_join(c->run, name, to));
    if (rename(from, to) != 0)
        return errno == ENOENT ? pb_ok() : pb_fail_errno(errno, from, "cannot take it away from an earlier run");
    return pb_folder_remove(to);
}

/* A number that no run has had, even one whose folder is long gone: that run may still be alive, and must not find its folder
 * again. Nanoseconds since 1970 by this host's clock, raised above the latest that is there, should clocks differ. */
static uint64_t fresh_number(uint64_t latest) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t number = (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
    return number > latest ? number : latest + 1;
}

/* Makes the folder of a run after all that are there. Without a generation of its own a run takes the latest one, so that runs by
 * hand follow runs of Slurm. mkdir decides between two that chose the same name; the loser looks again. */
static pb_status make_run(const char *folder, pb_generation generation, run *mine, char path[PB_PATH_MAX]) {
    for (;;) {
        run latest = {{0, 0}, 0};
        char name[96];
        PB_TRY(pb_folder_each(folder, NULL, keep_latest, &latest));
        *mine = (run){pb_generation_is_none(generation) ? latest.generation : generation, fresh_number(0)};
        /* An older generation is refused; of the same one this run is the next; a newer one's number need not be above
         * another's. */
        int order = pb_generation_compare(latest.generation, mine->generation);
        if (order > 0)
            return refused(folder, *mine, latest);
        if (order == 0)
            mine->number = fresh_number(latest.number);
        run_name(*mine, name);
        PB_TRY(pb_path_join(folder, name, path));
        if (mkdir(path, 0777) == 0)
            return pb_ok();
        if (errno != EEXIST)
            return pb_fail_errno(errno, path, "cannot create the folder");
    }
}

/* A claim that is refused takes its own folder away again, and the state folder if that is empty. */
pb_status pb_state_claim(const char *output, pb_generation generation, pb_state *state_out) {
    run mine;
    *state_out = (pb_state){0};
    pb_state made = {0};
    PB_TRY(pb_state_name(output, made.folder));
    PB_TRY(pb_folder_create(made.folder));
    PB_TRY(make_run(made.folder, generation, &mine, made.run));
    claim c = {.folder = made.folder, .run = made.run, .mine = mine};
    pb_status status = pb_folder_each(made.folder, NULL, take_away, &c);
    if (pb_failed(&status)) {
        pb_state_leave(&made);
        return status;
    }
    *state_out = made;
    return status;
}

/* --- files ------------------------------------------------------------------------------------------------------ */

pb_status pb_state_path(const pb_state *state, const char *name, char path[PB_PATH_MAX]) {
    return pb_path_join(state->folder, name, path);
}

/* Numbers are of images or patches, never of ranks, so that any number of ranks finds what concerns it. */
pb_status pb_state_range_path(const pb_state *state, const char *prefix, uint64_t first, uint64_t last, char path[PB_PATH_MAX]) {
    char name[96];
    int written = snprintf(name, sizeof name, "%s-%" PRIu64 "-%" PRIu64 ".h5", prefix, first, last);
    PB_ASSERT(written > 0 && (size_t)written < sizeof name);
    return pb_state_path(state, name, path);
}

/* By the name alone. The numbers begin at the first dash of the file's name, so a prefix must have none. Another name meets
 * nothing. */
bool pb_state_range_meets(const char *path, uint64_t first, uint64_t last) {
    const char *slash = strrchr(path, '/'), *numbers = strchr(slash ? slash : path, '-');
    uint64_t begin, end;
    return numbers && sscanf(numbers, "-%" SCNu64 "-%" SCNu64 ".h5", &begin, &end) == 2 && begin <= last && end >= first;
}

/* A walk through a state's files. */
typedef struct walk {
    const pb_state *state;
    const char *prefix;
    pb_state_visitor visit;
    void *context;
} walk;

static pb_status visit_file(void *context, int folder, const char *name) {
    const walk *w = context;
    char path[PB_PATH_MAX];
    (void)folder;
    if (strncmp(name, w->prefix, strlen(w->prefix)) != 0)
        return pb_ok();
    PB_TRY(pb_state_path(w->state, name, path));
    return w->visit(w->context, path);
}

/* Also visits what other runs have saved: files of a state are of whatever run. */
pb_status pb_state_each(const pb_state *state, const char *prefix, pb_state_visitor visit, void *context) {
    walk w = {state, prefix, visit, context};
    return pb_folder_each(state->folder, NULL, visit_file, &w);
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

/* A visitor. By way of the run's folder: a run that lost it removes nothing of its successor's. Folders of other runs are left
 * alone. */
static pb_status remove_saved(void *context, int folder, const char *name) {
    const pb_state *state = context;
    char away[PB_PATH_MAX];
    run r;
    if (run_of(name, &r))
        return pb_ok();
    PB_TRY(pb_path_join(state->run, name, away));
    return renameat(folder, name, AT_FDCWD, away) == 0 || errno == ENOENT
               ? pb_ok()
               : pb_fail_errno(errno, state->folder, "cannot remove what is in it");
}

/* The run's folder goes at last. After a failure nothing more is moved; what was goes with the run's folder all the same. */
pb_status pb_state_remove(pb_state *state) {
    bool there;
    if (!state->folder[0])
        return pb_ok();
    pb_status status = pb_folder_each(state->folder, &there, remove_saved, state);
    pb_state_leave(state);
    return status;
}

/* A run's own folder holds nothing that anybody needs, and that it cannot be removed is no news. */
void pb_state_leave(pb_state *state) {
    if (!state->folder[0])
        return;
    pb_status removed = pb_folder_remove(state->run);
    if (!pb_failed(&removed))
        rmdir(state->folder); /* only when it is empty */
    *state = (pb_state){0};
}
