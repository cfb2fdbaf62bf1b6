/* options_table.c: options.def as rows for the parser (base/options.h): where in the struct a value goes, who takes it, what it
 * may be. */
#include "jobs/options_table.h"

#include "jobs/job.h"

static const pb_option ROWS[] = {
#define OPTION(kind_, member_, name_, jobs_, required_, recorded_, metavar_, fallback_, least_, most_, choices_, help_)      \
    {.name = name_, .type = PB_OPTION_##kind_, .offset = offsetof(pb_job_options, member_), .jobs = (jobs_),                 \
     .required = (required_), .recorded = (recorded_), .metavar = metavar_, .fallback = fallback_, .least = (least_),       \
     .most = (most_), .choices = choices_, .help = help_},
#include "jobs/options.def"
#undef OPTION
};

const pb_option *pb_option_rows(size_t *count) {
    *count = sizeof ROWS / sizeof ROWS[0];
    return ROWS;
}
