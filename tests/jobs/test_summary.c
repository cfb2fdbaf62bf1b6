/* Checks jobs/summary.c as a user sees it: --summary FILE of jobs that end well, badly, or not at all. */
#include "fixture.h"

TestSuite(summary, .init = new_images, .fini = remove_folder, .timeout = 120);

#define CHECK(format, ...) \
    must(in_folder("%s %s/tests/jobs/check_summary.py " format, PB_PYTHON, PB_SOURCE_DIR, ##__VA_ARGS__), 0)

Test(summary, of_jobs_that_end_well) {
    must(patchbank(2, "pack --list list.csv --archive archive --shard-images 9 --summary pack.json"), 0);
    CHECK("pack.json pack 0 2 list= pack=24 write=");
    must(patchbank(3, "train --archive archive --bank b.h5 --summary train.json " TRAIN_OPTIONS), 0);
    CHECK("train.json train 0 3 open= extract=10 select=72 collect=10 write=72");
    must(patchbank(1, "train --archive archive --bank c.h5 " TRAIN_OPTIONS), 0);
    must(in_folder("cmp b.h5 c.h5"), 0); /* nothing of it is in what others compare */
    must(patchbank(2, "score --archive archive --bank b.h5 --weights random:7 --results r --summary score.json"), 0);
    CHECK("score.json score 0 2 open= score=14 write=");
    nothing_half_written();
}

/* Steps that come by turns are added up. */
Test(summary, of_a_selection_in_parts) {
    must(patchbank(2, "pack --list list.csv --archive archive"), 0);
    must(patchbank(2, "train --archive archive --bank b.h5 --coreset two-round --parts 5 --summary s.json " TRAIN_OPTIONS), 0);
    CHECK("s.json train 0 2 open= extract=10 select=72 collect=10 write=72");
}

/* The summary says how far a job came that failed. */
Test(summary, of_a_job_that_fails) {
    must(patchbank(2, "pack --list list.csv --archive archive"), 0);
    must(in_folder("PATCHBANK_FAULT=feeder.decode@1:3 %s -n 3 --map-by :OVERSUBSCRIBE %s train --archive archive --bank b.h5 "
                   "--batch 1 --summary s.json " TRAIN_OPTIONS,
                   PB_MPIEXEC, PB_PROGRAM),
         74);
    says_once("out of memory");
    must(in_folder("%s -c \"import json; s = json.load(open('s.json')); status = s['status']; "
                   "assert status['exit'] == 74 and status['rank'] == 1 and 'out of memory' in status['message'], status; "
                   "assert [t['step'] for t in s['steps']] == ['open', 'extract'] and 0 < s['steps'][1]['images'] < 10\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, "train --archive none --bank b.h5 --summary t.json " TRAIN_OPTIONS), 65);
    CHECK("t.json train 65 2 open=");
}

/* A job that was asked to stop says so, and so does the one that goes on: between them they extract all images. */
Test(summary, of_a_job_that_was_stopped) {
    must(patchbank(2, "pack --list list.csv --archive archive"), 0);
    must(in_folder("PATCHBANK_FAULT='train.batch@1:2!term' %s -n 2 --map-by :OVERSUBSCRIBE %s train --archive archive "
                   "--bank b.h5 --batch 1 --summary s.json " TRAIN_OPTIONS,
                   PB_MPIEXEC, PB_PROGRAM),
         75);
    must(in_folder("%s -c \"import json; s = json.load(open('s.json')); "
                   "assert s['status']['exit'] == 75 and s['status']['name'] == 'PB_E_REQUEUE', s['status']; "
                   "assert s['steps'][1]['step'] == 'extract' and s['steps'][1]['images'] == 4, s['steps']\"",
                   PB_PYTHON),
         0);
    must(patchbank(1, "train --archive archive --bank b.h5 --batch 1 --summary t.json " TRAIN_OPTIONS), 0);
    CHECK("t.json train 0 1 open= extract=6 select=72 collect=10 write=72");
}

Test(summary, that_cannot_be_written) {
    must(patchbank(2, "pack --list list.csv --archive archive --summary none/s.json"), 65);
    says_once("none");
    cr_assert(!exists("archive")); /* found out before the work */
    must(in_folder("PATCHBANK_FAULT=summary.write %s -n 1 %s pack --list list.csv --archive archive --summary s.json", PB_MPIEXEC,
                   PB_PROGRAM),
         0);
    says("event=no-summary file=\"s.json\"");
    cr_assert(exists("archive/manifest.json") && !exists("s.json"));
    nothing_half_written();
}

Test(summary, a_name_that_is_not_utf8) {
    must(patchbank(1, "pack --list list.csv --archive $(printf 'a\\377b') --summary s.json"), 0);
    must(in_folder("grep -q '\"archive\": \"a?b\"' s.json"), 0);
}
