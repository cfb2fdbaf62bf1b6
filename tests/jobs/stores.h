/* stores.h: for the tests of jobs on a bank store: two banks of one archive, good (5 % of the patches) and bad (3 %, which here
 * find other patches and miss defects), their results, and short ways to publish them. One rank without mpiexec: rank 0 works
 * alone in these jobs. */
#ifndef PB_TESTS_JOBS_STORES_H
#define PB_TESTS_JOBS_STORES_H

#include "fixture.h"

/* Runs `patchbank ARGUMENTS` as one process, with `before` (variables of the environment, or a program) before it. */
#define alone_with(before, format, ...) in_folder("%s %s " format " --log-level warn", before, PB_PROGRAM, ##__VA_ARGS__)
#define alone(format, ...) alone_with("", format, ##__VA_ARGS__)

static inline void new_banks(void) {
    static const char *const RATIO[][2] = {{"good", "5%"}, {"bad", "3%"}};
    new_images();
    must(alone("pack --list list.csv --archive archive --shard-images 9"), 0);
    for (int i = 0; i < 2; i++) {
        must(alone("train --archive archive --bank %s.h5 --weights random:7 --resize 96 --crop 96 --projection 64 --ratios %s",
                   RATIO[i][0], RATIO[i][1]),
             0);
        must(alone("score --archive archive --bank %s.h5 --weights random:7 --results %s", RATIO[i][0], RATIO[i][0]), 0);
    }
}

/* Publishes NAME.h5 by its results, with further options. */
#define publish_with(before, name, format, ...) \
    alone_with(before, "bank publish --store store/parts --bank %s.h5 --results %s " format, name, name, ##__VA_ARGS__)
#define publish(name, format, ...) publish_with("", name, format, ##__VA_ARGS__)

/* The first version: the good bank. */
static inline void new_store(void) {
    new_banks();
    must(publish("good", "--floor 0.8"), 0);
}

/* Runs Python with `m`, what `bank list --json` says; `current` and `last` being its last two versions. */
#define listed(program)                                                                                         \
    do {                                                                                                        \
        must(alone("bank list --store store/parts --json list.json"), 0);                                       \
        must(in_folder("%s -c \"import csv, json; m = json.load(open('list.json')); v = m['versions']; "        \
                       "names = [x['name'] for x in v]; now = v[-1]; gate = now['gate']; "                      \
                       "assert m['current'] == names[-1]; %s\"",                                                \
                       PB_PYTHON, program),                                                                     \
             0);                                                                                                \
    } while (0)

#endif
