/* Checks jobs/pulse.c: the file is there while the job runs, says what progress said, and goes with it. */
#include "jobs/pulse.h"

#include "base/clock.h"
#include "base/progress.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/patchbank-pulse-XXXXXX", file[64];

static void begin(void) {
    cr_assert_not_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/status.json", folder);
}

static void end(void) { rmdir(folder); }

TestSuite(pulse, .init = begin, .fini = end); /* a second suite with a time limit makes Criterion 2.4.1 leak */

/* Waits until the file says `value` of `key`; NULL when it does not in 20 seconds. */
static json_t *wait_for(const char *key, const char *value) {
    for (double begun = pb_clock_seconds(); pb_clock_seconds() - begun < 20; usleep(20000)) {
        json_t *status = json_load_file(file, 0, NULL);
        if (status && strcmp(json_string_value(json_object_get(status, key)), value) == 0)
            return status;
        json_decref(status);
    }
    return NULL;
}

Test(pulse, says_what_progress_says) {
    pb_pulse *pulse;
    pb_progress progress;
    cr_assert_eq(pb_pulse_begin("train", 3, folder, "17.2", &pulse).code, PB_OK);
    json_t *status = wait_for("step", "begin");
    cr_assert_not_null(status);
    cr_assert(json_integer_value(json_object_get(status, "total")) == 0 &&
              json_number_value(json_object_get(status, "left_s")) == -1);
    json_decref(status);
    pb_progress_begin(&progress, "select", 400, "patches", true);
    progress.begun -= 10;
    snprintf(progress.note, sizeof progress.note, "radius=2.5");
    pb_progress_update(&progress, 100);
    status = wait_for("note", "radius=2.5");
    cr_assert_not_null(status);
    cr_assert_str_eq(json_string_value(json_object_get(status, "job")), "train");
    cr_assert_str_eq(json_string_value(json_object_get(status, "generation")), "17.2");
    cr_assert_str_eq(json_string_value(json_object_get(status, "step")), "select");
    cr_assert(json_integer_value(json_object_get(status, "done")) == 100 &&
              json_integer_value(json_object_get(status, "total")) == 400);
    cr_assert(json_integer_value(json_object_get(status, "ranks")) == 3 &&
              json_integer_value(json_object_get(status, "pid")) == getpid());
    double left = json_number_value(json_object_get(status, "left_s"));
    cr_assert(left >= 30 && left < 300);
    json_decref(status);
    pb_pulse_step(pulse, "write");
    status = wait_for("step", "write");
    cr_assert(status && json_integer_value(json_object_get(status, "total")) == 0);
    json_decref(status);
    pb_pulse_end(&pulse);
    cr_assert(pulse == NULL && access(file, F_OK) != 0);
    pb_progress_update(&progress, 200); /* nobody listens any more */
}

/* The folder is taken away by a newer run: the older one writes nothing, anywhere, and goes on. */
Test(pulse, nothing_is_written_where_the_folder_is_gone) {
    pb_pulse *pulse;
    cr_assert_eq(pb_pulse_begin("train", 1, folder, "0", &pulse).code, PB_OK);
    json_decref(wait_for("job", "train"));
    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(rmdir(folder), 0);
    usleep(2500000);
    cr_assert_neq(access(folder, F_OK), 0);
    pb_pulse_end(&pulse);
    cr_assert_eq(pb_pulse_begin("train", 1, "/none", "0", &pulse).code, PB_OK);
    pb_pulse_end(&pulse);
}
