#include "fixture.h"

TestSuite(main, .init = new_folder, .fini = remove_folder);

Test(main, help_and_version_need_no_ranks) {
    must(in_folder("%s --help", PB_PROGRAM), 0);
    says("Exit codes");
    must(in_folder("%s --version", PB_PROGRAM), 0);
    says("patchbank 0.");
    must(in_folder("%s train --help", PB_PROGRAM), 0);
    says("--ratios LIST");
    says("default 1%");
}

/* `patchbank $JOB` in a script where JOB is not set. */
Test(main, no_job_is_not_done) {
    must(in_folder("%s 2>/dev/null | wc -c | grep -x 0", PB_PROGRAM), 0);
    must(in_folder("%s", PB_PROGRAM), 64);
    says("Exit codes");
    says_once("no job is given");
    must(in_folder("%s ''", PB_PROGRAM), 64);
    says_once("no job is given");
    must(patchbank(3, ""), 64);
    says_once("no job is given");
    cr_assert_null(strstr(strstr(said, "usage:") + 1, "usage:"), "more than once:\n%s", said);
}

Test(main, exit_codes_on_paper_are_those_of_the_program) {
    must(in_folder("%s --help | %s %s/tests/jobs/check_exit_codes.py %s/docs/ARCHITECTURE.md", PB_PROGRAM, PB_PYTHON,
                   PB_SOURCE_DIR, PB_SOURCE_DIR),
         0);
}

Test(main, no_such_job_or_option_is_said_once) {
    must(patchbank(3, "tran --archive x"), 64);
    says_once("tran: no such job");
    must(patchbank(3, "train --archvie x"), 64);
    says_once("--archvie");
    must(patchbank(3, "train --archive x --bank y --weights z --batch 0"), 64);
    says_once("--batch 0: must be a whole number from 1 to 4096");
    must(patchbank(2, "train --archive x --bank y"), 64);
    says_once("--weights FILE is missing");
    must(patchbank(2, "train --archive x --bank y --weights z surplus"), 64);
    says_once("surplus");
    must(patchbank(2, "score --archive x --bank y --weights z --results r --split half"), 64);
    says_once("train|test|all");
}

/* Two words are one job's name, with options of their own. */
Test(main, jobs_of_two_words) {
    must(patchbank(3, "bank"), 64);
    says_once("bank: needs a second word: list, publish, rollback, gc, diff");
    must(patchbank(2, "bank --store x"), 64);
    says_once("needs a second word");
    must(patchbank(2, "bank lists --store x"), 64);
    says_once("bank lists: no such job; bank has list, ");
    must(patchbank(2, "list --store x"), 64);
    says_once("list: no such job");
    must(patchbank(2, "bank list --keep 3"), 64);
    says_once("patchbank bank list: error (rank 0): --keep");
    must(in_folder("%s bank --help", PB_PROGRAM), 0);
    says("  bank publish  ");
    must(in_folder("%s bank gc --help", PB_PROGRAM), 0);
    says("--keep N");
    cr_assert(!strstr(said, "--floor"), "%s", said);
}

Test(main, options_reference_is_that_of_the_table) {
    must(in_folder("%s options > OPTIONS.md && cmp OPTIONS.md %s/docs/OPTIONS.md", PB_PROGRAM, PB_SOURCE_DIR), 0);
}

/* Rows are read by scripts: the network, its parameters, default taps, then block, stride and values. */
Test(main, backbones_are_listed) {
    must(in_folder("%s backbones > list", PB_PROGRAM), 0);
    must(in_folder("grep -c . list | grep -x %d", 1 + 16 + 6 * 4 + 12 + 12 + 24), 0);
    must(in_folder("awk '$1 == \"wide_resnet50_2\" && $2 == 66834240 && $3 == \"2,3\" && $4 == 3 && $5 == 16 && $6 == 1024' "
                   "list | grep -c ."),
         0);
    must(in_folder("awk '$1 == \"efficientnet_lite0\" && $4 == 10 && $5 == 16 && $6 == 112' list | grep -c ."), 0);
    must(in_folder("awk '$1 == \"dinov2_vits14\" && $2 == 22056192 && $3 == 11 && $4 == 11 && $5 == 14 && $6 == 384' list"
                   " | grep -c ."),
         0);
    must(in_folder("(%s backbones > /dev/full)", PB_PROGRAM), 74);
}

Test(main, an_answer_that_cannot_be_written_is_a_failure) {
    must(in_folder("(%s --help > /dev/full)", PB_PROGRAM), 74);
    says("standard output");
}

/* OMP_DISPLAY_ENV has libgomp say how it waits, each time it is loaded; the last time counts. */
Test(main, threads_do_not_spin_unless_told_to) {
    must(in_folder("(env -u OMP_WAIT_POLICY OMP_DISPLAY_ENV=verbose %s info --archive x 2>&1 | grep SPINCOUNT | tail -n 1)",
                   PB_PROGRAM),
         0);
    says("GOMP_SPINCOUNT = '0'");
    must(in_folder("(OMP_WAIT_POLICY=active OMP_DISPLAY_ENV=verbose %s info --archive x 2>&1 | grep SPINCOUNT)", PB_PROGRAM), 0);
    cr_assert(!strstr(said, "'0'") && strstr(said, "SPINCOUNT"), "%s", said);
}

Test(main, a_misspelt_fault_is_refused) {
    must(in_folder("PATCHBANK_FAULT='io.write@' %s info --archive x", PB_PROGRAM), 64);
    says("PATCHBANK_FAULT");
}
