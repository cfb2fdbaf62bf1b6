/* bank_diff.c: two versions of a bank, or a version and a bank file, side by side. Rank 0 works alone.
 *
 * Rows of both are sorted by the patch that they are of, and merged: a patch is in one of them or in both, and in both with equal
 * features or not. Attributes are compared by name. Nothing is judged: the gate does that (jobs/gate.h). */
#include "base/memory.h"
#include "io/bank_file.h"
#include "io/bank_store.h"
#include "jobs/job.h"
#include "jobs/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One of the two. Zeroed it is empty. */
typedef struct side {
    char name[PB_PATH_MAX]; /* of the version or of the file */
    pb_bank bank;
    size_t *order; /* [rows] its rows by path, row and column of their patches */
} side;

static void side_free(side *s) {
    pb_bank_free(&s->bank);
    pb_release(&s->order);
}

/* --- rows ------------------------------------------------------------------------------------------------------- */

static const char *path_of(const pb_bank *bank, size_t row) { return bank->paths[row] ? bank->paths[row] : ""; }

/* Rows are the same patch when image path and place are: indices of images belong to one archive. */
static int compare_places(const pb_bank *a, size_t i, const pb_bank *b, size_t j) {
    int order = strcmp(path_of(a, i), path_of(b, j));
    if (order == 0)
        order = (a->patch_row[i] > b->patch_row[j]) - (a->patch_row[i] < b->patch_row[j]);
    return order != 0 ? order : (a->patch_column[i] > b->patch_column[j]) - (a->patch_column[i] < b->patch_column[j]);
}

/* For qsort_r; context: the bank. */
static int by_place(const void *left, const void *right, void *context) {
    return compare_places(context, *(const size_t *)left, context, *(const size_t *)right);
}

/* Reads a whole bank, with its features. s->order is a permutation of its rows. */
static pb_status open_side(const char *path, side *s) {
    uint64_t rows;
    PB_TRY(pb_bank_read(path, 0, UINT64_MAX, &s->bank, &rows));
    PB_TRY(pb_allocate(&s->order, s->bank.rows, sizeof *s->order, "order of bank rows"));
    for (size_t i = 0; i < s->bank.rows; i++)
        s->order[i] = i;
    qsort_r(s->order, s->bank.rows, sizeof *s->order, by_place, &s->bank);
    return pb_ok();
}

/* changed: kept, but with another feature (other weights or options). */
typedef struct counts {
    uint64_t kept, changed, added, removed;
} counts;

static bool is_same_feature(const pb_bank *a, size_t i, const pb_bank *b, size_t j) {
    size_t dim = (size_t)a->dim;
    return a->dim == b->dim && memcmp(a->features + i * dim, b->features + j * dim, dim * sizeof *a->features) == 0;
}

/* One walk through both orders. Of rows that are the same patch twice (a bank has none, unless from archives with equal paths)
 * each is counted with its partner, if it has one. */
static counts count_rows(const side *from, const side *to) {
    counts all = {0};
    size_t i = 0, j = 0;
    while (i < from->bank.rows && j < to->bank.rows) {
        size_t a = from->order[i], b = to->order[j];
        int order = compare_places(&from->bank, a, &to->bank, b);
        all.removed += order < 0;
        all.added += order > 0;
        all.kept += order == 0;
        all.changed += order == 0 && !is_same_feature(&from->bank, a, &to->bank, b);
        i += order <= 0;
        j += order >= 0;
    }
    all.removed += from->bank.rows - i;
    all.added += to->bank.rows - j;
    return all;
}

/* --- what they say of themselves -------------------------------------------------------------------------------- */

static json_t *text_or_null(const char *text) { return text ? json_string(text) : json_null(); }

/* One line of differences; order of the older bank, then what only the newer one has. */
static void put_difference(const char *name, const char *from, const char *to, json_t *rows) {
    if (from && to && strcmp(from, to) == 0)
        return;
    json_array_append_new(rows, json_pack("{s:s, s:o, s:o}", "name", name, "from", text_or_null(from), "to", text_or_null(to)));
}

/* Attributes of the first in their order, then those that only the second has. */
static json_t *differences(const pb_attributes *from, const pb_attributes *to) {
    json_t *rows = json_array();
    for (size_t i = 0; i < from->count; i++)
        put_difference(from->names[i], from->values[i], pb_attributes_get(to, from->names[i]), rows);
    for (size_t i = 0; i < to->count; i++)
        if (!pb_attributes_get(from, to->names[i]))
            put_difference(to->names[i], NULL, to->values[i], rows);
    return rows;
}

static json_t *side_to_json(const side *s) {
    return json_pack("{s:s, s:I, s:o}", "bank", s->name, "rows", (json_int_t)s->bank.rows, "covering_radius",
                     text_or_null(pb_attributes_get(&s->bank.attributes, "covering_radius")));
}

static const char *text_at(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

static void print_answer(const side *from, const side *to, const counts *rows, json_t *attributes) {
    size_t i;
    json_t *row;
    printf("rows of %s: %zu, of %s: %zu; kept %" PRIu64 " (%" PRIu64 " of them with another feature), added %" PRIu64
           ", removed %" PRIu64 "\n",
           from->name, from->bank.rows, to->name, to->bank.rows, rows->kept, rows->changed, rows->added, rows->removed);
    json_array_foreach(attributes, i, row) printf("  %-32s %s -> %s\n", text_at(row, "name"), text_at(row, "from"),
                                                  text_at(row, "to"));
}

/* --- the job ---------------------------------------------------------------------------------------------------- */

/* The version's bank file, and its name for the answer. */
static pb_status choose_version(const char *store, const char *name, side *s, char path[PB_PATH_MAX]) {
    pb_bank_version version;
    PB_TRY(pb_bank_store_find(store, name, &version));
    snprintf(s->name, sizeof s->name, "%s", version.name);
    return pb_bank_store_path(store, version.name, path);
}

/* Which two: --from and --to, with the defaults that options.def states. */
static pb_status choose(const pb_job_options *options, side *from, char *from_path, side *to, char *to_path) {
    pb_bank_version current, newer;
    if (options->bank && options->to)
        return pb_fail(PB_E_USAGE, "give --bank FILE or --to VERSION, not both: either is the newer one");
    PB_TRY(pb_bank_store_current(options->store, &current));
    /* A bank file is the newer one, compared with the current version or with --from. */
    if (options->bank) {
        PB_TRY(pb_path_join("", options->bank, to->name));
        strcpy(to_path, to->name);
        return choose_version(options->store, options->from ? options->from : current.name, from, from_path);
    }
    PB_TRY(pb_bank_store_find(options->store, options->to ? options->to : current.name, &newer));
    if (!options->from && !*newer.parent)
        return pb_fail(PB_E_INPUT, "%s: version %s has no parent; choose a version by --from", options->store, newer.name);
    PB_TRY(choose_version(options->store, newer.name, to, to_path));
    return choose_version(options->store, options->from ? options->from : newer.parent, from, from_path);
}

/* As JSON, for people, or both. json_pack takes `attributes` with a reference of its own ("O"), the other objects as they are. */
static pb_status answer(const pb_job_options *options, const side *from, const side *to) {
    counts rows = count_rows(from, to);
    json_t *attributes = differences(&from->bank.attributes, &to->bank.attributes);
    json_t *json = json_pack("{s:o, s:o, s:{s:I, s:I, s:I, s:I}, s:O}", "from", side_to_json(from), "to", side_to_json(to),
                             "rows", "kept", (json_int_t)rows.kept, "changed", (json_int_t)rows.changed, "added",
                             (json_int_t)rows.added, "removed", (json_int_t)rows.removed, "attributes", attributes);
    if (!pb_json_only(options->json))
        print_answer(from, to, &rows, attributes);
    pb_status status = !json           ? pb_fail(PB_E_SYSTEM, "out of memory for an answer as JSON")
                       : options->json ? pb_json_write(json, options->json)
                                       : pb_ok();
    json_decref(json);
    json_decref(attributes);
    return status;
}

static pb_status diff_alone(const pb_job_options *options) {
    side from = {0}, to = {0};
    char from_path[PB_PATH_MAX], to_path[PB_PATH_MAX];
    PB_TRY(choose(options, &from, from_path, &to, to_path));
    pb_status status = open_side(from_path, &from);
    if (!pb_failed(&status))
        status = open_side(to_path, &to);
    if (!pb_failed(&status))
        status = answer(options, &from, &to);
    side_free(&from);
    side_free(&to);
    return status;
}

pb_status pb_job_bank_diff(const pb_job *job) {
    return pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? diff_alone(job->options) : pb_ok());
}
