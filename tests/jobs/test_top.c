/* Checks jobs/top.c on status files of a test's making; that jobs write them is seen at the end. */
#include "fixture.h"

TestSuite(top, .init = new_folder, .fini = remove_folder, .timeout = 120);

#define STATUS(words) must(in_folder("%s %s/tests/jobs/make_status.py " words, PB_PYTHON, PB_SOURCE_DIR), 0)

Test(top, a_line_for_each_job_below) {
    STATUS("a/b.h5.state/run-17.2-1/status.json 1 'note=radius=3.5'");
    STATUS("c/d/results/state/run-18.0-1/status.json 300 job=score step=score host=node8 left_s=3723");
    must(in_folder("mkdir -p e && echo '{\"format\": \"x\"}' > e/status.json && echo '{' > c/status.json"), 0); /* nobody's */
    must(in_folder("ln -s .. a/up"), 0);
    must(in_folder("%s top --folder . > t", PB_PROGRAM), 0);
    must(in_folder("grep -c . t | grep -x 3"), 0);
    must(in_folder("grep -E '^running train +extract +150/600 images +12.5 +0:36 +0:01 +0:0[0-9] +4 radius=3.5 +node7:4711 17.2 "
                   "2026-11-24T05:15:37.123Z ./a/b.h5.state/run-17.2-1/status.json$' t"),
         0);
    must(in_folder("grep -E '^STALE +score +score +150/600 images +12.5 +1:02:03 +0:01 +(4:59|5:0[0-9]) ' t"), 0);
    must(in_folder("%s top --folder . --stale 1000 | grep -c ^running | grep -x 2", PB_PROGRAM), 0);
    must(in_folder("%s top --folder a/b.h5.state/run-17.2-1/status.json | grep -c ^running | grep -x 1", PB_PROGRAM), 0);
}

Test(top, json) {
    STATUS("s/state/run-0-1/status.json 100 job=pack");
    must(in_folder("%s top --folder . --json - > t.json", PB_PROGRAM), 0);
    must(in_folder("%s -c \"import json; (job,) = json.load(open('t.json')); "
                   "assert job['job'] == 'pack' and job['stale'] is True and 98 < job['age_s'] < 200, job; "
                   "assert job['file'] == './s/state/run-0-1/status.json' and job['done'] == 150, job\"",
                   PB_PYTHON),
         0);
}

Test(top, looks_again) {
    STATUS("s/state/run-0-1/status.json 0");
    must(in_folder("(timeout -s KILL 3 %s top --folder . --watch 0.5 > t; true)", PB_PROGRAM), 0);
    must(in_folder("test $(grep -c ^running t) -ge 3"), 0);
}

Test(top, nothing_there) {
    must(patchbank(2, "top --folder ."), 0);
    says("no job runs below .");
    must(patchbank(2, "top --folder none"), 65);
    says_once("none: neither a folder nor the status.json of a job");
    must(in_folder("echo '{}' > status.json"), 0);
    must(patchbank(1, "top --folder status.json"), 65);
    must(patchbank(1, "top"), 64);
    says_once("--folder FOLDER is missing");
}

/* A training that is held in its second batch is seen to run, then to be stale, and when it has ended it is gone. */
Test(top, a_training) {
    must(in_folder("%s %s/tests/jobs/make_images.py .", PB_PYTHON, PB_SOURCE_DIR), 0);
    must(patchbank(1, "pack --list list.csv --archive archive"), 0);
    must(in_folder("(PATCHBANK_FAULT='train.batch@0:2!stop' %s train --archive archive --bank b.h5 --batch 1 --generation 17.2 "
                   TRAIN_OPTIONS " > log 2>&1 & echo $! > pid; "
                   "for i in $(seq 100); do ls b.h5.state/run-*/status.json 2> log2 && break; sleep 0.1; done)",
                   PB_PROGRAM),
         0);
    must(in_folder(
             "%s top --folder . > t && grep -E '^running train +[a-z]+ .* 17.2 20.* ./b.h5.state/run-17.2-.*/status.json$' t",
             PB_PROGRAM),
         0);
    must(in_folder("sleep 2.5; %s top --folder . --stale 1 | grep -c ^STALE | grep -x 1", PB_PROGRAM), 0);
    must(in_folder("(kill -CONT $(cat pid); for i in $(seq 100); do test -e b.h5 && exit 0; sleep 0.1; done; exit 1)"), 0);
    must(in_folder("(for i in $(seq 100); do %s top --folder . | grep -q 'no job runs' && exit 0; sleep 0.1; done; exit 1)",
                   PB_PROGRAM),
         0);
}
