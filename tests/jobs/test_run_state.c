/* Checks jobs/run_state.c and what goes through it: a job that is asked to stop, or killed, at any of its steps goes on, on
 * another number of ranks, and the result is that of an undisturbed one, byte for byte. A run that lost its state gives nothing
 * a name. */
#include "fixture.h"

TestSuite(run_state, .init = new_archive, .fini = remove_folder, .timeout = 600);

/* Small batches, so that there are many; everything is saved at once. */
#define STATE_OPTIONS "--weights random:7 --resize 96 --crop 96 --ratios 20%% --projection 64 --batch 1 --checkpoint 0 "

/* Runs a job with a fault on `ranks` ranks; its exit code. */
#define disturbed(fault, ranks, format, ...)                                                                             \
    in_folder("PATCHBANK_FAULT='%s' %s -n %d --map-by :OVERSUBSCRIBE %s " format, (fault), PB_MPIEXEC, (ranks), PB_PROGRAM, \
              ##__VA_ARGS__)

/* How often a word is in what was said. */
static int times(const char *word) {
    int count = 0;
    for (const char *at = said; (at = strstr(at, word)); at++)
        count++;
    return count;
}

/* Changes a bit of the third image of the archive: it is bad, or good again. */
static void flip(void) {
    must(in_folder("%s -c \"import h5py; f = h5py.File('archive/shard-00000.h5', 'r+'); d = f['image/bytes']; "
                   "i = int(f['image/offset'][2]) + 100; d[i] = d[i] ^ 1\"",
                   PB_PYTHON),
         0);
}

/* Runs `job` disturbed, then again on other ranks; both outputs must be there only after the second, which finds nothing to say
 * against what the first left. `left`: whether the first is to have saved something. */
static void goes_on(const char *fault, int ranks, const char *job, const char *state, bool left) {
    int code = disturbed(fault, ranks, "%s", job);
    bool asked = !strstr(fault, "!kill");
    cr_assert(asked ? code == 75 : code != 0, "%s: exit code %d:\n%s", fault, code, said);
    if (asked) {
        says_once("asked to stop by SIG");
        says("event=stopped");
    }
    cr_assert_eq(exists(state), left || !asked, "%s:\n%s", fault, said);
    must(patchbank(1 + ranks % 4, "%s", job), 0);
    cr_assert_null(strstr(said, "checkpoint-ignored"), "%s:\n%s", fault, said);
    cr_assert_not(exists(state));
    nothing_half_written();
}

Test(run_state, a_training_goes_on_from_every_step) {
    static const char *const FAULTS[] = {"train.batch@0:2!usr1", "train.batch@1:3!kill",   "train.batch@2:1!term",
                                         "train.round@0:1!kill", "train.round@1:4!usr1",   "train.round@0:7!kill",
                                         "train.collect@0:1!kill", "train.collect@1:2!term", "train.collect@0:3!usr1"};
    must(patchbank(2, "train --archive archive --bank whole.h5 " STATE_OPTIONS), 0);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        goes_on(FAULTS[i], FAULTS[i][12] == '2' ? 3 : 2, "train --archive archive --bank b.h5 --weights random:7 --resize 96 "
                "--crop 96 --ratios 20% --projection 64 --batch 1 --checkpoint 0", "b.h5.state", true);
        must(in_folder("cmp b.h5 whole.h5 && rm b.h5"), 0);
    }
}

/* Rank 0 waits in MPI_Init for rank 1, which begins only when rank 0 was signalled, after it has said to catch it (SIGUSR1 is bit
 * 9 of SigCgt). Ended there, it would be a lost rank to the other. */
Test(run_state, a_rank_is_asked_while_mpi_starts) {
    must(in_folder("(job='%s train --archive archive --bank b.h5 " STATE_OPTIONS "'; "
                   "%s -n 1 sh -c \"echo \\$\\$ > pid; exec $job\" : "
                   "-n 1 sh -c \"until [ -e go ]; do sleep 0.1; done; exec $job\" & "
                   "for i in $(seq 300); do sleep 0.1; "
                   "caught=$(sed -n 's/^SigCgt:[[:space:]]*/0x/p' /proc/$(cat pid)/status 2>/dev/null); "
                   "[ $((${caught:-0} & 0x200)) -eq 0 ] || break; done; "
                   "kill -USR1 $(cat pid); touch go; wait $!)",
                   PB_PROGRAM, PB_MPIEXEC),
         75);
    says_once("asked to stop by SIGUSR1");
}

/* Interrupted again and again, each time on another number of ranks, every run getting a little further. */
Test(run_state, a_training_is_done_in_many_short_runs) {
    static const char *const FAULTS[] = {"train.batch@0:2!usr1", "train.batch@0:4!kill", "train.round@0:2!usr1",
                                         "train.round@0:3!kill", "train.collect@0:2!usr1", "train.collect@0:2!usr1"};
    must(patchbank(2, "train --archive archive --bank whole.h5 " STATE_OPTIONS), 0);
    for (int i = 0; i < 6; i++)
        cr_assert(disturbed(FAULTS[i], 1 + i % 3, "train --archive archive --bank b.h5 " STATE_OPTIONS) != 0, "%d: %s", i, said);
    must(patchbank(2, "train --archive archive --bank b.h5 --log-level debug " STATE_OPTIONS), 0);
    says("event=resumed picks=");
    cr_assert_null(strstr(said, "pass=extract"), "the selection was finished, but images were extracted for it:\n%s", said);
    must(in_folder("cmp b.h5 whole.h5"), 0);
}

/* What was saved is used, not made again: of ten training images those of the first run are not extracted by the second. */
Test(run_state, saved_patches_are_not_extracted_again) {
    must(disturbed("train.batch@0:3!usr1", 1, "train --archive archive --bank b.h5 " STATE_OPTIONS), 75);
    must(patchbank(2, "train --archive archive --bank b.h5 " STATE_OPTIONS), 0);
    must(patchbank(1, "train --archive archive --bank whole.h5 " STATE_OPTIONS), 0);
    must(in_folder("cmp b.h5 whole.h5"), 0);
    must(disturbed("train.batch@0:3!usr1", 1, "train --archive archive --bank c.h5 " STATE_OPTIONS), 75);
    must(in_folder("%s -n 2 --map-by :OVERSUBSCRIBE %s train --archive archive --bank c.h5 " STATE_OPTIONS
                   " 2>&1 | sed -n 's/.*pass=extract images=\\([0-9]*\\) .*/extracted \\1/p'; "
                   "%s -n 2 --map-by :OVERSUBSCRIBE %s train --archive archive --bank d.h5 " STATE_OPTIONS
                   " 2>&1 | sed -n 's/.*event=extracted images=\\([0-9]*\\) .*/all \\1/p'",
                   PB_MPIEXEC, PB_PROGRAM, PB_MPIEXEC, PB_PROGRAM),
         0);
    int extracted = 0, all = 0;
    cr_assert_eq(sscanf(said, "extracted %d all %d", &extracted, &all), 2, "%s", said);
    cr_assert(extracted == all - 3, "%s", said); /* three batches of one */
}

Test(run_state, every_way_of_selecting_goes_on) {
    static const char *const WAYS[] = {"greedy-step", "random", "two-round --parts 3"};
    static const char *const FAULTS[] = {"train.batch@0:3!usr1", "train.batch@1:4!kill", "train.collect@0:2!kill",
                                         "train.collect@1:1!usr1"};
    for (int way = 0; way < 3; way++) {
        char job[256];
        must(patchbank(2, "train --archive archive --bank whole.h5 --coreset %s " STATE_OPTIONS, WAYS[way]), 0);
        snprintf(job, sizeof job, "train --archive archive --bank b.h5 --weights random:7 --resize 96 --crop 96 --ratios 20%% "
                 "--projection 64 --batch 1 --checkpoint 0 --coreset %s", WAYS[way]);
        for (int i = way == 0 ? 1 : 0; i < 4; i++) {
            goes_on(FAULTS[i], 2, job, "b.h5.state", true);
            must(in_folder("cmp b.h5 whole.h5 && rm b.h5"), 0);
        }
    }
}

/* Asked to stop before --checkpoint seconds are over, a run keeps the parts that it has done, and what it has of the next. */
Test(run_state, parts_of_a_short_run_are_kept) {
    static const char JOB[] = "train --archive archive --bank b.h5 --weights random:7 --resize 96 --crop 96 --ratios 20% "
                              "--projection 64 --batch 1 --coreset two-round --parts 4 --checkpoint 1e6";
    must(patchbank(2, "train --archive archive --bank whole.h5 --coreset two-round --parts 4 " STATE_OPTIONS), 0);
    must(disturbed("train.batch@0:8!usr1", 1, "%s", JOB), 75);
    must(in_folder("{ ls b.h5.state | tr '\\n' ' '; }"), 0);
    cr_assert_eq(strstr(said, "part-0.h5 part-1.h5 patches-"), said, "%s", said);
    must(patchbank(3, "%s", JOB), 0);
    cr_assert(times("event=resumed part=0") == 1 && times("event=resumed part=1") == 1 && times("resumed part") == 2, "%s", said);
    must(in_folder("cmp b.h5 whole.h5 && test ! -e b.h5.state && rm b.h5"), 0);
}

/* A bad image stays one, its reason is listed as if nothing had happened, and a smaller ratio takes its share of the picks. */
Test(run_state, bad_images_and_smaller_ratios) {
    flip();
    must(patchbank(2, "train --archive archive --bank whole.h5 --max-bad 1 " STATE_OPTIONS), 0);
    must(patchbank(2, "train --archive archive --bank less.h5 --max-bad 1 " STATE_OPTIONS " --ratios 5%%"), 0);
    static const char *const FAULTS[] = {"train.batch@0:3!kill", "train.collect@0:2!usr1"};
    for (int i = 0; i < 2; i++) {
        must(disturbed(FAULTS[i], 1 + i, "train --archive archive --bank b.h5 --max-bad 1 " STATE_OPTIONS) != 0, 1);
        must(patchbank(2 - i, "train --archive archive --bank b.h5 --max-bad 1 " STATE_OPTIONS), 0);
        must(in_folder("cmp b.h5 whole.h5 && cmp b.h5.rejected.csv whole.h5.rejected.csv && rm b.h5*"), 0);
    }
    must(disturbed("train.collect@0:2!usr1", 2, "train --archive archive --bank b.h5 --max-bad 1 " STATE_OPTIONS), 75);
    must(patchbank(2, "train --archive archive --bank b.h5 --max-bad 1 " STATE_OPTIONS " --ratios 5%%"), 0);
    must(in_folder("cmp b.h5 less.h5"), 0);
}

/* An image bad when the selection was finished, and good now: the bank is the one that a run without a state makes. */
Test(run_state, a_finished_selection_and_a_bad_image_that_was_mended) {
    static const char *const WAYS[] = {"greedy", "two-round --parts 3"};
    for (int way = 0; way < 2; way++) {
        must(patchbank(2, "train --archive archive --bank whole.h5 --coreset %s " STATE_OPTIONS, WAYS[way]), 0);
        flip();
        must(disturbed("train.collect@0:2!usr1", 2,
                       "train --archive archive --bank b.h5 --max-bad 1 --coreset %s " STATE_OPTIONS, WAYS[way]),
             75);
        flip();
        must(patchbank(3, "train --archive archive --bank b.h5 --max-bad 1 --coreset %s " STATE_OPTIONS, WAYS[way]), 0);
        cr_assert_eq(times("selection.h5\" reason"), 1, "%s", said);
        says("selection.h5\" reason=\"image 2 of the archive was bad then and is good now\"");
        cr_assert_eq(times("event=resumed picks"), 0, "%s", said);
        must(in_folder("cmp b.h5 whole.h5 && test ! -e b.h5.rejected.csv && test ! -e b.h5.state && rm b.h5"), 0);
    }
}

/* Made with another seed, or damaged: said, not used, and gone when the bank is there. */
Test(run_state, what_does_not_fit_is_not_used) {
    must(patchbank(2, "train --archive archive --bank other.h5 --seed 1 " STATE_OPTIONS), 0);
    must(patchbank(2, "train --archive archive --bank whole.h5 " STATE_OPTIONS), 0);
    must(disturbed("train.collect@0:2!usr1", 2, "train --archive archive --bank b.h5 " STATE_OPTIONS), 75);
    must(in_folder("cp -r b.h5.state saved"), 0);
    must(patchbank(2, "train --archive archive --bank b.h5 --seed 1 " STATE_OPTIONS), 0);
    says("made with another option.seed");
    cr_assert_eq(times("selection.h5\" reason"), 1, "%s", said);
    must(in_folder("cmp b.h5 other.h5 && rm b.h5 && test ! -e b.h5.state"), 0);
    for (int way = 0; way < 2; way++) {
        must(in_folder("cp -r saved b.h5.state && for f in b.h5.state/*.h5; do %s; done",
                       way == 0 ? "cp list.csv $f" : "truncate -s -2000 $f"),
             0);
        must(patchbank(2, "train --archive archive --bank b.h5 " STATE_OPTIONS), 0);
        cr_assert_eq(times("event=checkpoint-ignored file=\"b.h5.state/selection.h5\" reason"), 1, "%s", said);
        must(in_folder("cmp b.h5 whole.h5 && rm b.h5 && test ! -e b.h5.state"), 0);
    }
    must(in_folder("rm -r saved"), 0);
    must(disturbed("train.round@0:4!usr1", 2, "train --archive archive --bank b.h5 " STATE_OPTIONS), 75);
    must(patchbank(2, "train --archive archive --bank b.h5 --seed 1 " STATE_OPTIONS), 0);
    cr_assert_eq(times("selection.h5\" reason"), 1, "%s", said); /* which is not finished */
    must(in_folder("cmp b.h5 other.h5"), 0);
}

/* A full disk under the state is a warning: the job ends well without it. */
Test(run_state, a_state_that_cannot_be_written_is_a_warning) {
    must(patchbank(2, "train --archive archive --bank whole.h5 " STATE_OPTIONS), 0);
    static const char *const FAULTS[] = {"io.write@0:3", "io.fsync@0:2", "io.rename@1:1", "io.create@0:2"};
    for (int i = 0; i < 4; i++) {
        must(disturbed(FAULTS[i], 2, "train --archive archive --bank b.h5 " STATE_OPTIONS), 0);
        says("no-checkpoint");
        must(in_folder("cmp b.h5 whole.h5 && rm b.h5"), 0);
    }
}

#define SCORE_JOB "score --archive archive --bank b.h5 --results r --weights random:7 --split all --batch 1 --checkpoint 0"
#define UNDISTURBED "score --archive archive --bank b.h5 --results whole --weights random:7 --split all"

Test(run_state, scoring_goes_on_from_every_batch) {
    static const char *const FAULTS[] = {"score.batch@0:1!usr1", "score.batch@1:3!term", "score.batch@1:2!kill",
                                         "score.batch@0:6!kill", "io.rename@0:9!kill"};
    must(patchbank(2, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    must(patchbank(2, UNDISTURBED), 0);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        goes_on(FAULTS[i], 2 + i % 2, SCORE_JOB, "r/state", true);
        must(in_folder("cmp r/results.h5 whole/results.h5 && cmp r/scores.csv whole/scores.csv && rm -r r"), 0);
    }
}

/* Saved scores of another bank, and damaged ones, are not used; a bad image is tried again and listed as ever. */
Test(run_state, saved_scores_are_of_this_bank_or_not_used) {
    flip();
    must(patchbank(2, "train --archive archive --bank b.h5 --max-bad 1 " TRAIN_OPTIONS), 0);
    must(patchbank(2, UNDISTURBED " --max-bad 1"), 0);
    must(disturbed("score.batch@0:5!usr1", 2, SCORE_JOB " --max-bad 1"), 75);
    must(in_folder("cp -r r saved"), 0);
    must(patchbank(3, SCORE_JOB " --max-bad 1"), 0);
    says("event=resumed images=9 "); /* five of each rank, but for the bad one */
    must(in_folder("cmp r/results.h5 whole/results.h5 && cmp r/rejected.csv whole/rejected.csv && rm -r r && cp -r saved r"), 0);
    must(in_folder("truncate -s -1000 r/state/scores-*"), 0);
    must(patchbank(2, SCORE_JOB " --max-bad 1"), 0);
    says("checkpoint-ignored");
    must(in_folder("cmp r/results.h5 whole/results.h5 && rm -r r whole && mv saved r"), 0);
    must(patchbank(2, "train --archive archive --bank b.h5 --max-bad 1 --seed 5 " TRAIN_OPTIONS), 0);
    must(patchbank(2, UNDISTURBED " --max-bad 1"), 0);
    must(patchbank(2, SCORE_JOB " --max-bad 1"), 0);
    says("made with another bank");
    must(in_folder("cmp r/results.h5 whole/results.h5"), 0);
}

/* Split brain: the first run hangs, as on a node that lost its Slurm daemon; the second takes over and ends; then the first goes
 * on. Its ranks find that they own nothing any more, and the files stay those of the second. */
static void a_hanging_run_is_fenced(const char *fault, const char *job, const char *output) {
    must(in_folder("{ PATCHBANK_FAULT='%s' %s -n 2 --map-by :OVERSUBSCRIBE %s %s --generation 7.0 > first.log 2>&1 & "
                   "first=$!; for i in $(seq 100); do sleep 0.1; stopped=$(ps -o pid=,state= --ppid $first | awk '$2 == \"T\" "
                   "{print $1}'); [ -n \"$stopped\" ] && break; done; "
                   "%s -n 2 --map-by :OVERSUBSCRIBE %s %s --generation 7.1 && find %s -type f | xargs sha256sum > second.sums; "
                   "kill -CONT $stopped; wait $first; code=$?; cat first.log; sha256sum --quiet -c second.sums && exit $code; }",
                   fault, PB_MPIEXEC, PB_PROGRAM, job, PB_MPIEXEC, PB_PROGRAM, job, output),
         1);
    says("event=fenced");
    nothing_half_written();
}

Test(run_state, a_run_that_is_overtaken_writes_nothing) {
    static const char *const FAULTS[] = {"train.batch@0:3!stop", "train.collect@0:2!stop", "io.rename@0:12!stop"};
    for (int i = 0; i < 3; i++)
        a_hanging_run_is_fenced(FAULTS[i], "train --archive archive --bank b.h5 --weights random:7 --resize 96 --crop 96 "
                                "--ratios 20% --projection 64 --batch 1 --checkpoint 0", "b.h5");
}

Test(run_state, a_scoring_that_is_overtaken_writes_nothing) {
    must(patchbank(2, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    a_hanging_run_is_fenced("score.batch@0:2!stop", SCORE_JOB, "r");
    must(in_folder("rm -r r"), 0);
    a_hanging_run_is_fenced("score.batch@1:4!stop", SCORE_JOB, "r");
}

/* Held in the middle of giving its two files their names, it removes neither of its successor's. */
Test(run_state, a_scoring_that_is_overtaken_removes_nothing) {
    static const char *const FAULTS[] = {"io.fsync@0:1!stop", "io.fsync@0:2!stop", "io.rename@0:2!stop"};
    must(patchbank(2, "train --archive archive --bank b.h5 " TRAIN_OPTIONS), 0);
    for (int i = 0; i < 3; i++) {
        a_hanging_run_is_fenced(FAULTS[i], "score --archive archive --bank b.h5 --results r --weights random:7 --split all "
                                "--checkpoint 1e6 --summary r.json", "r r.json");
        must(in_folder("rm -r r"), 0);
    }
}

/* Rows are saved by image: that another image, bad in the first run, is good in the second, moves none. */
Test(run_state, an_update_goes_on_though_a_bad_image_was_mended) {
    must(in_folder("head -n 5 list.csv > few.csv"), 0);
    must(patchbank(1, "pack --list few.csv --archive few"), 0);
    must(patchbank(1, "train --archive few --bank b.h5 --weights random:7 --resize 96 --crop 96 --ratios 30%% --projection 64"),
         0);
    must(patchbank(2, "update --archive archive --bank b.h5 --bank-out whole.h5 --weights random:7"), 0);
    flip();
    must(disturbed("train.collect@0:1!usr1", 2, "update --archive archive --bank b.h5 --bank-out u.h5 --weights random:7 "
                   "--batch 1 --checkpoint 0 --max-bad 1"),
         75);
    flip();
    must(patchbank(2, "update --archive archive --bank b.h5 --bank-out u.h5 --weights random:7 --batch 1 --checkpoint 0 "
                   "--max-bad 1"),
         0);
    must(in_folder("cmp u.h5 whole.h5"), 0);
}

Test(run_state, an_older_generation_does_not_begin) {
    must(disturbed("train.batch@0:3!kill", 2, "train --archive archive --bank b.h5 --generation 9.1 " STATE_OPTIONS) != 0, 1);
    must(patchbank(2, "train --archive archive --bank b.h5 --generation 9.0 " STATE_OPTIONS), 1);
    says("meets run-9.1-");
    must(patchbank(2, "train --archive archive --bank b.h5 --generation x " STATE_OPTIONS), 64);
    must(patchbank(2, "train --archive archive --bank b.h5 " STATE_OPTIONS), 0); /* of nobody: as the latest */
    cr_assert_not(exists("b.h5.state"));
}
