#include "jobs/constants.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char file[] = "/tmp/patchbank-constants-XXXXXX";

static void begin(void) {
    int descriptor = mkstemp(file);
    cr_assert_geq(descriptor, 0);
    close(descriptor);
}

static void end(void) { unlink(file); }

TestSuite(constants, .init = begin, .fini = end);

/* Every number is another one. */
static pb_constants some(void) {
    pb_constants made = {.device = "cpu: \"quoted\"", .backbone = "b", .taps = "4,10", .options = "--resize 96"};
    double value = 0.1;
#define SET(name, what) made.name = value += 1.0 / 3;
    PB_CONSTANT_NUMBERS(SET)
#undef SET
    return made;
}

Test(constants, come_back_as_they_were) {
    pb_constants made = some(), back;
    cr_assert_eq(pb_constants_write(&made, file).code, PB_OK);
    cr_assert_eq(pb_constants_read(file, &back).code, PB_OK);
#define SAME_TEXT(name) cr_assert_str_eq(back.name, made.name);
#define SAME_NUMBER(name, what) cr_assert(back.name == made.name, #name);
    PB_CONSTANT_TEXTS(SAME_TEXT)
    PB_CONSTANT_NUMBERS(SAME_NUMBER)
#undef SAME_TEXT
#undef SAME_NUMBER
}

/* Writes good constants with one key changed (NULL: taken away) and expects a refusal that names it. */
static void refuses(const char *key, json_t *value) {
    pb_constants made = some(), back;
    cr_assert_eq(pb_constants_write(&made, file).code, PB_OK);
    json_t *all = json_load_file(file, 0, NULL);
    if (value)
        json_object_set_new(all, key, value);
    else
        json_object_del(all, key);
    cr_assert_eq(json_dump_file(all, file, 0), 0);
    json_decref(all);
    pb_status status = pb_constants_read(file, &back);
    cr_assert_eq(status.code, PB_E_INPUT);
    cr_assert(strstr(status.message, file) && strstr(status.message, "patchbank bench constants"), "%s", status.message);
}

Test(constants, that_are_none) {
    refuses("patches", NULL);
    refuses("patches", json_string("784"));
    refuses("latency_s", json_real(-1));
    refuses("device", NULL);
    refuses("device", json_integer(1));
    refuses("format", json_string("patchbank-summary"));
    refuses("version", json_integer(2));
    char longer[PB_CONSTANT_TEXT + 1];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    refuses("taps", json_string(longer));
}

Test(constants, a_file_that_is_missing_or_no_json) {
    pb_constants back;
    cr_assert_eq(truncate(file, 0), 0);
    pb_status status = pb_constants_read(file, &back);
    cr_assert(status.code == PB_E_INPUT && strstr(status.message, "line "), "%s", status.message);
    cr_assert_eq(pb_constants_read("/none/constants.json", &back).code, PB_E_INPUT);
}
