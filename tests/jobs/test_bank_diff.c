#include "stores.h"

/* Versions 1, the good bank, and 2, the bad one. */
static void new_versions(void) {
    new_store();
    must(publish("bad", "--current-results good --floor 0 --margin 1"), 0);
}

TestSuite(bank_diff, .init = new_versions, .fini = remove_folder);

/* What h5py finds in the two banks by itself: sets of (path, row, column), features by these. */
static void check(const char *from, const char *to) {
    must(in_folder("%s %s/tests/jobs/check_diff.py %s %s diff.json", PB_PYTHON, PB_SOURCE_DIR, from, to), 0);
}

Test(bank_diff, counts_are_those_of_the_files) {
    must(alone("train --archive archive --bank more.h5 --weights random:7 --resize 96 --crop 96 --ratios 8%% --projection 0"), 0);
    must(alone("train --archive archive --bank other.h5 --weights random:8 --resize 96 --crop 96 --ratios 5%% --projection 64"),
         0);
    must(patchbank(2, "bank diff --store store/parts --json diff.json"), 0);
    says("rows of 000001: 72, of 000002: 43; kept 43 (0 of them with another feature), added 0, removed 29");
    says("  ratio                            0.050000000000000003 -> 0.029999999999999999");
    check("good.h5", "bad.h5");
    must(alone("bank diff --store store/parts --from 000002 --to 000001 --json diff.json"), 0);
    check("bad.h5", "good.h5");
    must(alone("bank diff --store store/parts --bank more.h5 --json diff.json"), 0);
    says("option.projection                64 -> 0");
    check("bad.h5", "more.h5");
    must(alone("bank diff --store store/parts --bank other.h5 --from 000001 --json diff.json"), 0);
    says("weights                          random:7 -> random:8");
    check("good.h5", "other.h5");
    must(in_folder("%s bank diff --store store/parts --json - | %s -m json.tool > /dev/null", PB_PROGRAM, PB_PYTHON), 0);
}

Test(bank_diff, what_cannot_be_compared) {
    must(alone("bank diff --store store/parts --to 000001"), 65);
    says_once("version 000001 has no parent; choose a version by --from");
    must(alone("bank diff --store store/parts --to 000001 --bank bad.h5"), 64);
    says_once("not both");
    must(alone("bank diff --store store/parts --from 000009"), 65);
    says_once("has no version 000009");
    must(alone("bank diff --store store/parts --bank list.csv"), 65);
    says_once("list.csv");
    must(alone("bank diff --store store"), 65);
    says_once("store: not a bank of a store");
}
