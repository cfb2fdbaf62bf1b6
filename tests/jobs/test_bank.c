#include "stores.h"

/* Versions 1, the good bank, and 2, the bad one. */
static void new_versions(void) {
    new_store();
    must(publish("bad", "--current-results good --floor 0 --margin 1 --generation 4711.2"), 0);
}

TestSuite(bank, .init = new_versions, .fini = remove_folder);

Test(bank, list_for_people_and_as_json) {
    must(patchbank(3, "bank list --store store/parts"), 0);
    must(
        in_folder("%s bank list --store store/parts | grep -E '^ 000001    - +72 +[0-9.]+ +0.0 .* auroc 0.[0-9]+ +[0-9a-f]{12}$'",
                  PB_PROGRAM),
        0);
    must(in_folder("%s bank list --store store/parts | grep -E '^\\*000002    000001 +43 .* 4711.2 .* auroc 0.'", PB_PROGRAM), 0);
    must(in_folder("%s bank list --store store/parts --json - | %s -m json.tool > /dev/null", PB_PROGRAM, PB_PYTHON), 0);
    listed("assert names == ['000001', '000002'] and v[0]['generation'] == '0.0' and now['generation'] == '4711.2' and "
           "all(x == json.load(open('store/parts/versions/' + x['name'] + '/meta.json')) for x in v)");
    must(patchbank(2, "bank list --store archive"), 65);
    says_once("archive: not a bank of a store");
}

/* --- readers ---------------------------------------------------------------------------------------------------- */

Test(bank, readers_take_the_current_version) {
    must(patchbank(3, "score --archive archive --bank store/parts --weights random:7 --results r"), 0);
    must(in_folder("cmp r/scores.csv bad/scores.csv && %s info --results r | grep -E '^  bank_version +000002$'", PB_PROGRAM), 0);
    must(in_folder("%s info --bank store/parts | grep -F 'store/parts/versions/000002/bank.h5'", PB_PROGRAM), 0);
    must(patchbank(2, "verify --archive archive --bank store/parts --weights random:7"), 0);
    says("store/parts/versions/000002/bank.h5: 43 rows, 0 not as extracted");
    must(in_folder("%s info --results bad | grep bank_version; test $? = 1", PB_PROGRAM), 0);
    must(patchbank(2, "score --archive archive --bank archive --weights random:7 --results r"), 65);
    says_once("archive: not a bank of a store");
}

/* A bank whose bytes are not those that were published is refused, though it is a bank. */
Test(bank, readers_notice_another_bank_in_a_version) {
    must(in_folder("cp good.h5 store/parts/versions/000002/bank.h5"), 0);
    must(patchbank(2, "score --archive archive --bank store/parts --weights random:7 --results r"), 65);
    says_once("000002/bank.h5: its SHA-256 is");
    says("it is damaged; go back to another version");
}

/* --- rollback --------------------------------------------------------------------------------------------------- */

Test(bank, rollback_goes_back_and_further_back) {
    must(publish("good", "--current-results bad --floor 0 --generation 4712"), 0);
    must(patchbank(2, "bank rollback --store store/parts"), 0);
    says("store/parts: version 000004 has the bank of 000002 again, in place of 000003");
    listed(
        "assert now['restores'] == '000002' and now['parent'] == '000001' and gate is None and now['generation'] == '4712.0' and "
        "now['bank_sha256'] == v[1]['bank_sha256'] and now['rows'] == v[1]['rows']");
    must(in_folder("cmp store/parts/current/bank.h5 bad.h5"), 0);
    must(alone("bank rollback --store store/parts"), 0);
    says("version 000005 has the bank of 000001 again, in place of 000004");
    must(alone("bank rollback --store store/parts"), 65);
    says_once("version 000005 has no parent to go back to; choose one by --to");
    must(alone("bank rollback --store store/parts --to 000004 --generation 4713"), 0);
    says("version 000006 has the bank of 000002 again");
    listed("assert now['generation'] == '4713.0' and len(v) == 6");
    must(in_folder("cmp store/parts/current/bank.h5 bad.h5"), 0);
}

Test(bank, rollback_that_is_wrong) {
    must(alone("bank rollback --store store/parts --to 000007"), 65);
    says_once("has no version 000007");
    must(alone("bank rollback --store store/parts --to 000002"), 65);
    says_once("version 000002 is current already");
    must(alone("bank rollback --store store/parts --generation 4710"), 1);
    says("refused: generation 4710.0 is older than 4711.2");
    must(alone("bank rollback --store store/none"), 65);
    says_once("store/none: not a bank of a store");
    cr_assert(!exists("store/none"));
    must(in_folder("cp good.h5 store/parts/versions/000001/bank.h5 && echo x >> store/parts/versions/000001/bank.h5"), 0);
    must(alone("bank rollback --store store/parts"), 65);
    says_once("it has been changed");
    listed("assert names == ['000001', '000002']");
}

/* The bank is linked, not copied: a disk that is full of banks can still go back. */
Test(bank, rollback_on_a_full_disk) {
    if (in_folder("unshare -m sh -c 'mkdir -p disk && mount -t tmpfs -o size=160k tmpfs disk && cp -a store disk && "
                  "(cat /dev/zero > disk/full; truncate -s -20K disk/full); %s bank rollback --store disk/store/parts && "
                  "stat -c %%h disk/store/parts/versions/000003/bank.h5'",
                  PB_PROGRAM) != 0 && strstr(said, "unshare"))
        cr_skip_test("this machine lets nobody mount a small file system");
    says("version 000003 has the bank of 000001 again");
    says("\n2\n");
}

/* --- gc --------------------------------------------------------------------------------------------------------- */

Test(bank, gc_removes_what_nobody_can_be_reading) {
    must(publish("good", "--current-results bad --floor 0 --generation 4712"), 0);
    must(alone("bank gc --store store/parts --keep 1"), 0);
    says("store/parts: 0 versions removed"); /* they were current in the last week */
    must(patchbank(2, "bank gc --store store/parts --keep 1 --grace 0"), 0);
    says("removed version 000001\nstore/parts: 1 versions removed");
    listed("assert names == ['000002', '000003']");
    must(alone("bank gc --store store/parts --keep 0"), 64);
    must(alone("bank gc --store store/none"), 65);
    must(alone("bank rollback --store store/parts"), 0);
    must(alone("bank rollback --store store/parts"), 65);
    says_once("has no version 000001");
}

/* The link is for people and is switched after the fact; whoever changes the store next puts it right. */
Test(bank, a_link_that_is_behind_is_put_right) {
    must(in_folder("ln -sfn versions/000001 store/parts/current"), 0);
    must(alone("score --archive archive --bank store/parts --weights random:7 --results r"), 0);
    must(in_folder("cmp r/scores.csv bad/scores.csv"), 0);
    must(alone("bank gc --store store/parts"), 0);
    must(in_folder("readlink store/parts/current | grep -x versions/000002"), 0);
}
