/* provenance.c: recorded options and numbers as attributes. What is recorded is said in options.def: what decides the result. */
#include "jobs/provenance.h"

#include "base/version.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static pb_status add_recorded(const pb_job *job, const pb_option *row, pb_attributes *attributes) {
    char name[64], value[PB_OPTION_TEXT_MAX];
    snprintf(name, sizeof name, "option.%s", row->name);
    pb_options_value_text(row, job->options, value);
    return pb_attributes_set(attributes, name, value);
}

/* In the order of options.def, which is that of the file. */
pb_status pb_provenance(const pb_job *job, pb_attributes *attributes) {
    size_t count;
    const pb_option *rows = pb_option_rows(&count);
    PB_TRY(pb_attributes_set(attributes, "program", "patchbank"));
    PB_TRY(pb_attributes_set(attributes, "program_version", pb_version()));
    PB_TRY(pb_attributes_set(attributes, "program_commit", pb_version_commit()));
    for (size_t i = 0; i < count; i++)
        if (rows[i].recorded && (rows[i].jobs & job->bit))
            PB_TRY(add_recorded(job, &rows[i], attributes));
    return pb_ok();
}

pb_status pb_attributes_set_u64(pb_attributes *attributes, const char *name, uint64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return pb_attributes_set(attributes, name, text);
}

pb_status pb_attributes_set_real(pb_attributes *attributes, const char *name, double value) {
    char text[32];
    snprintf(text, sizeof text, "%.17g", value);
    return pb_attributes_set(attributes, name, text);
}

pb_status pb_attributes_need(const pb_attributes *attributes, const char *file, const char *name, const char **value) {
    *value = pb_attributes_get(attributes, name);
    if (!*value)
        return pb_fail(PB_E_INPUT, "%s: attribute %s is missing; the file was not written by this program", file, name);
    return pb_ok();
}

/* Digits alone: strtoull would take a sign and leading blanks, too, and turn "-1" into a large number. */
pb_status pb_attributes_get_u64(const pb_attributes *attributes, const char *file, const char *name, uint64_t least,
                                uint64_t most, uint64_t *value) {
    const char *text;
    PB_TRY(pb_attributes_need(attributes, file, name, &text));
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    bool within = errno == 0 && *text >= '0' && *text <= '9' && *end == '\0' && *value >= least && *value <= most;
    if (!within)
        return pb_fail(PB_E_INPUT, "%s: attribute %s is \"%s\", not a number from %" PRIu64 " to %" PRIu64, file, name, text,
                       least, most);
    return pb_ok();
}
