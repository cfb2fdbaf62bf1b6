/* options_table.h: the options of all jobs as one struct, made from options.def, so that a job reads its options as members and
 * cannot misspell one. Nothing here is collective. */
#ifndef PB_JOBS_OPTIONS_TABLE_H
#define PB_JOBS_OPTIONS_TABLE_H

#include "base/options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Members have the names of options.def; those that a job does not take hold their defaults. Texts point into argv. */
typedef struct pb_job_options {
#define PB_C_TYPE_FLAG bool
#define PB_C_TYPE_INT int64_t
#define PB_C_TYPE_REAL double
#define PB_C_TYPE_TEXT const char *
#define PB_C_TYPE_CHOICE const char *
#define OPTION(kind, member, name, jobs, required, recorded, metavar, fallback, least, most, choices, help) \
    PB_C_TYPE_##kind member;
#include "jobs/options.def"
#undef OPTION
} pb_job_options;

/* The rows, static, in the order of options.def; *count gets their number. */
const pb_option *pb_option_rows(size_t *count);

#endif
