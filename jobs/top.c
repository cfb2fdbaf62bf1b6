/* top.c: the jobs that run below a folder, a line each, from the status files that they write (jobs/pulse.h). Rank 0 looks.
 *
 * Nothing is asked of the jobs themselves: whoever can read their outputs can see how far they are. Files may go at any moment,
 * so what cannot be read is passed over. The times in them are compared with this host's clock: where clocks differ by more than
 * --stale, a job is shown as stale, or one that is gone as running. */
#include "base/memory.h"
#include "base/progress.h"
#include "io/file.h"
#include "jobs/job.h"
#include "jobs/json.h"
#include "jobs/pulse.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A status is a few hundred bytes; folders of outputs are not nested deeper. */
enum { STATUS_BYTES_MAX = 1 << 16, DEPTH_MAX = 16 };

/* --- finding ---------------------------------------------------------------------------------------------------- */

/* JSON_REAL stands for any number. */
static bool has(const json_t *status, const char *key, json_type type) {
    const json_t *value = json_object_get(status, key);
    return value && (type == JSON_REAL ? json_is_number(value) : json_typeof(value) == type);
}

/* Whether everything is there that will be shown. */
static bool is_status(const json_t *status) {
    static const char *const TEXTS[] = {"format", "job", "step", "unit", "note", "host", "generation", "began", "written"};
    static const char *const NUMBERS[] = {"done", "total", "per_s", "left_s", "still_s", "ranks", "pid", "written_unix_s"};
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++)
        if (!has(status, TEXTS[i], JSON_STRING))
            return false;
    for (size_t i = 0; i < sizeof NUMBERS / sizeof NUMBERS[0]; i++)
        if (!has(status, NUMBERS[i], JSON_REAL))
            return false;
    return strcmp(json_string_value(json_object_get(status, "format")), "patchbank-status") == 0;
}

/* Appends the status in `path`, if it is one: a job may end, and remove it, at any moment. */
static bool add_file(const char *path, double stale_s, json_t *found) {
    char *text = NULL;
    size_t size;
    pb_status read = pb_file_read(path, STATUS_BYTES_MAX, &text, &size);
    json_t *status = pb_failed(&read) ? NULL : json_loadb(text, size, 0, NULL);
    pb_release(&text);
    bool is_one = is_status(status);
    if (is_one) {
        /* In the future, by clocks that differ: as if just written. */
        double age = (double)time(NULL) - json_number_value(json_object_get(status, "written_unix_s"));
        json_object_set_new(status, "age_s", json_real(age > 0 ? age : 0));
        json_object_set_new(status, "stale", json_boolean(age > stale_s));
        json_object_set_new(status, "file", pb_json_text(path));
        json_array_append(found, status);
    }
    json_decref(status);
    return is_one;
}

static bool is_folder(const char *path, const struct dirent *entry) {
    struct stat info;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR; /* no link is followed: it could lead round in a circle */
    return lstat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* A folder that cannot be read, or is gone by now, holds no job that anybody may see. Folders below are looked into to a depth of
 * DEPTH_MAX. */
static void add_below(const char *folder, int depth, double stale_s, json_t *found) {
    DIR *names = depth < DEPTH_MAX ? opendir(folder) : NULL;
    for (const struct dirent *entry; names && (entry = readdir(names));) {
        char path[PB_PATH_MAX];
        pb_status joined = pb_path_join(folder, entry->d_name, path);
        if (pb_failed(&joined) || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (strcmp(entry->d_name, PB_PULSE_FILE) == 0)
            add_file(path, stale_s, found);
        else if (is_folder(path, entry))
            add_below(path, depth + 1, stale_s, found);
    }
    if (names)
        closedir(names);
}

/* A single status file may be named as well. `found` may hold some jobs after a failure. */
static pb_status find(const pb_job_options *options, json_t *found) {
    const char *folder = options->folder;
    if (pb_is_folder(folder))
        add_below(folder, 0, options->stale, found);
    else if (!add_file(folder, options->stale, found))
        return pb_fail(PB_E_INPUT, "%s: neither a folder nor the " PB_PULSE_FILE " of a job", folder);
    return pb_ok();
}

/* --- showing ---------------------------------------------------------------------------------------------------- */

static const char *text_of(const json_t *status, const char *key) { return json_string_value(json_object_get(status, key)); }

static double number_of(const json_t *status, const char *key) { return json_number_value(json_object_get(status, key)); }

/* A step that counts nothing, or has not begun to, has no rate. */
static void print_done(const json_t *status) {
    char done[64];
    double total = number_of(status, "total");
    if (total > 0)
        snprintf(done, sizeof done, "%.0f/%.0f %s", number_of(status, "done"), total, text_of(status, "unit"));
    else
        snprintf(done, sizeof done, "-");
    printf(" %-24s", done);
    if (total > 0)
        printf(" %10.1f", number_of(status, "per_s"));
    else
        printf(" %10s", "-");
}

static void print_row(const json_t *status) {
    char left[16], age[16], still[16];
    bool stale = json_is_true(json_object_get(status, "stale"));
    pb_progress_duration(number_of(status, "left_s"), left);
    pb_progress_duration(number_of(status, "age_s"), age);
    pb_progress_duration(number_of(status, "still_s"), still);
    printf("%-7s %-8s %-12s", stale ? "STALE" : "running", text_of(status, "job"), text_of(status, "step"));
    print_done(status);
    printf(" %8s %8s %8s %5.0f %-20s %s:%.0f %s %s %s\n", left, still, age, number_of(status, "ranks"),
           *text_of(status, "note") ? text_of(status, "note") : "-", text_of(status, "host"), number_of(status, "pid"),
           text_of(status, "generation"), text_of(status, "began"), text_of(status, "file"));
}

static void print_table(const json_t *found, const char *folder) {
    size_t i;
    const json_t *status;
    if (json_array_size(found) == 0) {
        printf("no job runs below %s\n", folder);
        return;
    }
    printf("%-7s %-8s %-12s %-24s %10s %8s %8s %8s %5s %-20s %s\n", "#", "job", "step", "done", "per s", "left", "still",
           "seen ago", "ranks", "note", "host:pid generation began file");
    json_array_foreach(found, i, status)
        print_row(status);
}

static int by_file(const void *left, const void *right) {
    const json_t *const *a = left, *const *b = right;
    return strcmp(text_of(*a, "file"), text_of(*b, "file"));
}

/* In the order of names: folders give them in none. Takes `found` and gives a new array; without memory in the order in which
 * they were found. */
static json_t *sorted(json_t *found) {
    size_t count = json_array_size(found);
    json_t **rows = NULL, *answer = json_array();
    pb_status status = pb_allocate(&rows, count, sizeof(json_t *), "jobs");
    for (size_t i = 0; i < count && rows; i++)
        rows[i] = json_array_get(found, i);
    if (rows)
        qsort(rows, count, sizeof(json_t *), by_file);
    for (size_t i = 0; i < count; i++)
        json_array_append(answer, pb_failed(&status) ? json_array_get(found, i) : rows[i]);
    pb_release(&rows);
    json_decref(found);
    return answer;
}

/* On a terminal that is looked at again and again the page is erased first, else one table follows another. */
static pb_status look_once(const pb_job_options *options, bool again) {
    json_t *found = json_array();
    pb_status status = find(options, found);
    found = sorted(found);
    if (!pb_failed(&status) && options->json)
        status = pb_json_write(found, options->json);
    if (!pb_failed(&status) && !pb_json_only(options->json)) {
        if (again && isatty(STDOUT_FILENO))
            printf("\033[H\033[2J"); /* ECMA-48: home, and erase the page */
        print_table(found, options->folder);
    }
    json_decref(found);
    fflush(stdout);
    return status;
}

/* Looks until somebody ends the program, or once. */
static pb_status look(const pb_job_options *options) {
    pb_status status = look_once(options, options->watch > 0);
    while (!pb_failed(&status) && options->watch > 0) {
        struct timespec pause = {.tv_sec = (time_t)options->watch,
                                 .tv_nsec = (long)(1e9 * (options->watch - (double)(time_t)options->watch))};
        nanosleep(&pause, NULL);
        status = look_once(options, true);
    }
    return status;
}

pb_status pb_job_top(const pb_job *job) {
    return pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? look(job->options) : pb_ok());
}
