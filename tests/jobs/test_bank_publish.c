#include "stores.h"

TestSuite(bank_publish, .init = new_store, .fini = remove_folder);

/* --- the gate --------------------------------------------------------------------------------------------------- */

/* The figures are those that Python counts in scores.csv: pairs of a defective and a normal image, images below a threshold. */
#define SCORES_OF                                                                                                   \
    "label = lambda r, k: [float(x['score']) for x in csv.DictReader(open(r + '/scores.csv')) if x['label'] == k];" \
    "auroc = lambda r: sum((d > n) + (d == n) / 2 for d in label(r, '1') for n in label(r, '0')) / 36;"             \
    "quiet = lambda r, t: sum(s <= t for s in label(r, '0')) / 6;"

Test(bank_publish, gate_of_auroc) {
    listed(SCORES_OF "assert abs(gate['figure'] - auroc('good')) < 1e-12 and gate['current_figure'] is None and "
                     "gate['kind'] == 'auroc' and gate['images'] == 12 and gate['floor'] == 0.8 and auroc('good') > 0.8");
    must(publish("bad", "--current-results good --floor 0.1"), 1);
    says("store/parts: refused: AUROC 0.");
    says(" is below that of version 000001, 0.");
    says(", by more than the margin 0.02\n");
    must(publish("bad", "--current-results good --floor 0.7 --margin 1"), 1);
    says(" is below the floor 0.7\n");
    listed("assert names == ['000001']");
    must(publish("bad", "--current-results good --floor 0.1 --margin 0.9"), 0);
    says("store/parts: published as version 000002: auroc 0.");
    says(" of 12 images, floor 0.1; 000001 has 0.");
    says(", margin 0.9\n");
    listed(SCORES_OF
           "assert abs(gate['figure'] - auroc('bad')) < 1e-12 and abs(gate['current_figure'] - auroc('good')) < 1e-12 and "
           "now['parent'] == '000001' and now['rows'] < v[0]['rows'] and gate['margin'] == 0.9");
    must(publish("good", "--current-results bad --floor 0.8"), 0);
    listed("assert names == ['000001', '000002', '000003'] and now['bank_sha256'] == v[0]['bank_sha256']");
}

Test(bank_publish, gate_of_false_alarms) {
    must(publish("bad", "--gate false-alarms --current-results good --floor 0"), 64);
    says("--threshold SCORE is missing");
    must(in_folder("%s -c \"import csv; " SCORES_OF "t = sorted(label('good', '0')); "
                   "print(repr((t[3] + t[4]) / 2))\" > threshold",
                   PB_PYTHON),
         0);
    must(publish("bad", "--gate false-alarms --threshold $(cat threshold) --current-results good --floor 0 --margin 1"), 0);
    listed(SCORES_OF "t = float(open('threshold').read()); assert gate['kind'] == 'false-alarms' and gate['threshold'] == t and "
                     "gate['images'] == 6 and gate['current_figure'] == quiet('good', t) == 4 / 6 and "
                     "gate['figure'] == quiet('bad', t)");
    must(publish("good", "--gate false-alarms --threshold $(cat threshold) --current-results bad --floor 0.7"), 1);
    says("refused: share of normal images without an alarm 0.666667 is below the floor 0.7");
}

Test(bank_publish, a_first_bank_is_held_to_the_floor) {
    must(in_folder("mv store old"), 0);
    must(publish("bad", "--floor 0.7"), 1);
    says(" is below the floor 0.7\n");
    must(publish("bad", "--floor 0.3 --current-results good"), 64);
    says("has no version yet");
    must(publish("bad", ""), 64);
    says("--floor FIGURE is missing");
    must(publish("bad", "--floor 0.1"), 0);
    listed("assert names == ['000001']");
}

/* Figures are compared only when they are of these banks and of the same images. */
Test(bank_publish, results_that_prove_nothing) {
    must(publish("good", "--floor 0 --generation 4711.x"), 64);
    must(publish("bad", "--floor 0"), 64);
    says("--current-results FOLDER is missing: store/parts has version 000001");
    must(alone("bank publish --store store/parts --bank bad.h5 --results good --current-results good --floor 0 --margin 1"), 65);
    says("--results good: are not of bad.h5");
    must(publish("bad", "--current-results bad --floor 0 --margin 1"), 65);
    says("--current-results bad: are not of version 000001");
    must(publish("bad", "--current-results none --floor 0 --margin 1"), 65);
    says("none/results.h5");
    must(alone("score --archive archive --bank good.h5 --weights random:7 --results all --split all"), 0);
    must(publish("bad", "--current-results all --floor 0 --margin 1"), 65);
    says("bad and all: are not of the same images");
    must(in_folder("cp -r good relabelled && %s -c \"import h5py; f = h5py.File('relabelled/results.h5', 'r+'); "
                   "f['label'][0] = 1 - f['label'][0]\"",
                   PB_PYTHON),
         0);
    must(publish("bad", "--current-results relabelled --floor 0 --margin 1"), 65);
    says("are not of the same images");
    must(alone("bank publish --store store/parts --bank list.csv --results bad --floor 0"), 65);
    says("list.csv");
    listed("assert names == ['000001']");
}

/* Another was published since the gate's images were scored: scoring again helps, so that is worth a retry. */
Test(bank_publish, results_of_what_is_current_no_more) {
    must(publish("bad", "--current-results good --floor 0 --margin 1"), 0);
    must(alone("train --archive archive --bank more.h5 --weights random:7 --resize 96 --crop 96 --ratios 8%%"), 0);
    must(alone("score --archive archive --bank more.h5 --weights random:7 --results more"), 0);
    must(publish("more", "--current-results good --floor 0 --margin 1"), 74);
    says_once("--current-results good: are of version 000001, but 000002 is current now");
    must(publish("more", "--current-results bad --floor 0"), 0);
    listed("assert names == ['000001', '000002', '000003']");
}

/* --- fencing ---------------------------------------------------------------------------------------------------- */

Test(bank_publish, an_older_generation_is_refused) {
    must(publish("bad", "--current-results good --floor 0 --margin 1 --generation 4711.1"), 0);
    must(publish("good", "--current-results bad --floor 0 --generation 4711.0"), 1);
    says("refused: generation 4711.0 is older than 4711.1, which published version 000002");
    must(publish("good", "--current-results bad --floor 0 --generation 4710.9"), 1);
    must(publish("good", "--current-results bad --floor 0"), 1);
    says("refused: generation 0.0 is older");
    must(publish("good", "--current-results bad --floor 0 --generation 4711.1"), 0);
    listed("assert names == ['000001', '000002', '000003'] and now['generation'] == '4711.1'");
}

/* The job whose bank was rolled back, started again, does not publish it again; the next night's may. */
Test(bank_publish, what_was_rolled_back_stays_so) {
    must(publish("bad", "--current-results good --floor 0 --margin 1 --generation 4711"), 0);
    must(alone("bank rollback --store store/parts"), 0);
    must(publish("bad", "--current-results good --floor 0 --margin 1 --generation 4711"), 1);
    says("refused: generation 4711.0 was rolled back by version 000003");
    must(publish("bad", "--current-results good --floor 0 --margin 1 --generation 4712"), 0);
    listed("assert names[-1] == '000004' and now['parent'] == '000003'");
}

/* Killed between publishing and saying so: it comes again with the same bank, and that is done. */
Test(bank_publish, the_same_bank_again_is_done) {
    must(publish("good", "--floor 0.8 --generation 7.1"), 0);
    says("good.h5: is already current, as version 000001");
    listed("assert names == ['000001']");
}

/* --- trouble ---------------------------------------------------------------------------------------------------- */

/* Whole versions; anything else that looks like one is an error. */
static int count_versions(void) {
    must(in_folder(
             "for v in store/parts/versions/0*; do test -s $v/meta.json && (cd $v && sha256sum --quiet -c bank.h5.sha256) || "
             "exit 1; done; ls -d store/parts/versions/0* | wc -l"),
         0);
    return atoi(said);
}

/* Kill -9 at every step of a publication: the store is whole with the old bank or the new one, and the same command again ends
 * well with the new one. */
Test(bank_publish, killed_at_each_step, .timeout = 600) {
    static const char *const FAULTS[] = {"io.mkdir", "io.create", "io.write", "io.close", "io.fsync", "io.rename"};
    must(in_folder("cp -a store fresh"), 0);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++)
        for (int hit = 1, code = 137; code != 0; hit++) {
            char before[96];
            must(in_folder("rm -rf store && cp -a fresh store"), 0);
            snprintf(before, sizeof before, "PATCHBANK_FAULT='%s@0:%d!kill'", FAULTS[i], hit);
            code = publish_with(before, "bad", "--current-results good --floor 0 --margin 1");
            cr_assert(code == 0 || code == 137, "%s: exit code %d\n%s", before, code, said);
            cr_assert(hit < 50 && (hit > 1 || code != 0), "%s", before);
            int versions = count_versions();
            cr_assert(versions == 2 || (versions == 1 && code != 0), "%s: %d versions", before, versions);
            must(publish("bad", "--current-results good --floor 0 --margin 1"), 0);
            cr_assert_eq(count_versions(), 2, "%s", before);
            must(in_folder("readlink store/parts/current | grep -x versions/000002"), 0);
        }
    must(alone("bank gc --store store/parts --grace 0"), 0);
    must(alone("score --archive archive --bank store/parts --weights random:7 --results after"), 0);
    must(in_folder("cmp after/scores.csv bad/scores.csv"), 0);
}

/* Publishes to a store on a small file system of its own, which is seen by this command alone, and shows what is left. */
static int publish_on(int kilobytes, const char *before) {
    return in_folder(
        "unshare -m sh -c 'mkdir -p disk && mount -t tmpfs -o size=%dk tmpfs disk && %s "
        "%s bank publish --store disk/parts --bank good.h5 --results good --floor 0.5; code=$?; find disk; exit $code'",
        kilobytes, before, PB_PROGRAM);
}

/* Wherever the disk is full: while the bank is copied, its sum, meta.json or the link are written. */
Test(bank_publish, a_full_or_read_only_disk) {
    int full = 0;
    if (publish_on(1000, "") != 0)
        cr_skip_test("this machine lets nobody mount a small file system");
    says("/versions/000001/meta.json");
    for (int kilobytes = 4; kilobytes <= 76; kilobytes += 4) {
        int code = publish_on(kilobytes, "");
        cr_assert(code == 0 || code == 74, "%d kB: exit code %d\n%s", kilobytes, code, said);
        if (code != 0)
            says_once("No space left on device");
        cr_assert(code == 0 || !strstr(said, "versions/0"), "%d kB: %s", kilobytes, said);
        cr_assert(!strstr(said, "\ndisk/parts/versions/part-"), "%d kB: %s", kilobytes, said);
        full += code != 0;
    }
    cr_assert(full >= 14 && full <= 18, "%d", full);
    must(publish_on(76, "mount -o remount,ro disk &&"), 65);
    says_once("disk/parts: cannot create the folder: Read-only file system");
    must(publish_on(76, "mkdir -p disk/parts/versions && mount -o remount,ro disk &&"), 65);
    says_once("disk/parts/lock: cannot open: Read-only file system");
}

/* --- two at once ------------------------------------------------------------------------------------------------ */

/* Both want to be the next after the same one: one is, and the other is told to look again. */
Test(bank_publish, of_two_jobs_at_once_one_publishes) {
    must(alone("train --archive archive --bank more.h5 --weights random:7 --resize 96 --crop 96 --ratios 8%%"), 0);
    must(alone("score --archive archive --bank more.h5 --weights random:7 --results more"), 0);
    must(
        in_folder("{ for b in bad more; do (%s bank publish --store store/parts --bank $b.h5 --results $b --current-results good "
                  "--floor 0 --margin 1; echo $b ends with $?) & done; wait; }",
                  PB_PROGRAM),
        0);
    says("ends with 0");
    says("ends with 74");
    says("are of version 000001, but 000002 is current now");
    listed("assert names == ['000001', '000002']");
}

/* One that hangs keeps the lock: the other waits, and leaves. On a file system without locks it goes on, and the one that hung,
 * when it wakes, is told that it came too late. */
Test(bank_publish, a_job_that_hangs_stops_nobody_for_ever) {
    must(in_folder("{ PATCHBANK_FAULT='io.rename@0:4!stop' %s bank publish --store store/parts --bank bad.h5 --results bad "
                   "--current-results good --floor 0 --margin 1 --generation 8 > hung 2>&1 & echo $! > pid; "
                   "for i in $(seq 200); do grep -q '^State:.T' /proc/$(cat pid)/status && exit 0; sleep 0.1; done; exit 1; }",
                   PB_PROGRAM),
         0);
    must(alone("bank rollback --store store/parts --wait 0.2"), 74);
    says_once("store/parts/lock: is held, after 0.2 s of waiting, by process ");
    says("generation 8.0, since 20");
    must(alone("train --archive archive --bank more.h5 --weights random:7 --resize 96 --crop 96 --ratios 8%%"), 0);
    must(alone("score --archive archive --bank more.h5 --weights random:7 --results more"), 0);
    must(publish_with("PATCHBANK_FAULT=io.lock", "more", "--current-results good --floor 0 --margin 1 --generation 9"), 0);
    says("event=no-lock");
    must(in_folder("kill -CONT $(cat pid); for i in $(seq 200); do test -s hung && break; sleep 0.1; done; cat hung"), 0);
    says("version 000002 was published meanwhile, by another; nothing was changed: try again");
    listed("assert names == ['000001', '000002'] and now['generation'] == '9.0'");
    must(in_folder("readlink store/parts/current | grep -x versions/000002"), 0);
}

/* Twenty readers, two of them on two ranks, score again and again while fifty banks are published and old ones are removed. None
 * fails, and what each found are the scores of the one bank that it names. */
Test(bank_publish, readers_are_never_disturbed, .timeout = 800) {
    must(in_folder(
             "mkdir readers; for r in $(seq 20); do (n=0; while test ! -e done; do n=$((n + 1)); "
             "ranks=; test $r -gt 2 || ranks='%s -n 2 --map-by :OVERSUBSCRIBE'; nice $ranks %s score "
             "--archive archive --bank store/parts --weights random:7 --threads 1 --results readers/$r-$n --log-level warn || "
             "touch failed-$r-$n; done) & done; "
             "now=good; next=bad; for i in $(seq 50); do %s bank publish --store store/parts --bank $next.h5 --results $next "
             "--current-results $now --floor 0 --margin 1 --log-level warn && %s bank gc --store store/parts --keep 2 || "
             "touch not-published-$i; was=$now; now=$next; next=$was; done; touch done; wait; ls failed-* not-published-*; "
             "test $? = 2",
             PB_MPIEXEC, PB_PROGRAM, PB_PROGRAM, PB_PROGRAM),
         0);
    must(in_folder("%s %s/tests/jobs/check_readers.py store/parts readers good bad", PB_PYTHON, PB_SOURCE_DIR), 0);
    listed("assert len(names) == 51");
}
