#include "fixture.h"

/* Two archives, of 6 and of 4 training images, which share no image, and a bank of the first. */
static void new_bank(void) {
    new_images();
    must(in_folder("(sed -n '1,7p;12,$p' list.csv) > a.csv && (sed -n '1p;8,11p' list.csv) > b.csv"), 0);
    must(patchbank(1, "pack --list a.csv --archive a --shard-images 9"), 0);
    must(patchbank(1, "pack --list b.csv --archive b --shard-images 3"), 0);
    must(patchbank(2, "train --archive a --bank a.h5 " TRAIN_OPTIONS), 0);
}

TestSuite(update, .init = new_bank, .fini = remove_folder);

#define UPDATE "update --weights random:7 "
#define VERIFY "verify --weights random:7 "
#define IN_FULL "--weights random:7 --resize 64 --crop 64 --projection 0 "

/* Features themselves are looked at, so that numpy sees what selection saw. */
Test(update, goes_on_as_numpy_does) {
    must(patchbank(2, "train --archive a --bank full.h5 --ratios 10%% " IN_FULL), 0);
    must(patchbank(2, "train --archive b --bank every.h5 --ratios 100%% " IN_FULL), 0);
    must(patchbank(3, UPDATE "--bank full.h5 --archive b --bank-out new.h5"), 0);
    must(in_folder("%s %s/tests/jobs/check_update.py full.h5 every.h5 new.h5", PB_PYTHON, PB_SOURCE_DIR), 0);
    must(in_folder("printf 'images/02.png\\nimages/07.jpg\\n' > list"), 0);
    must(patchbank(2, UPDATE "--bank full.h5 --archive b --bank-out new.h5 --forget list"), 0);
    must(in_folder("%s %s/tests/jobs/check_update.py full.h5 every.h5 new.h5 list", PB_PYTHON, PB_SOURCE_DIR), 0);
}

/* The second list, which begins with a byte order mark, leaves a bank whose radius the first has made larger than what updates
 * aim at. */
Test(update, forgets_again_as_numpy_does) {
    must(in_folder("sed -n '1p;8,9p' list.csv > c.csv; sed -n '1p;10,11p' list.csv > d.csv; "
                   "echo images/02.png > list; printf '\\357\\273\\277images/03.jpg\\n' > list2"),
         0);
    must(patchbank(1, "pack --list c.csv --archive c"), 0);
    must(patchbank(1, "pack --list d.csv --archive d"), 0);
    must(patchbank(2, "train --archive a --bank full.h5 --ratios 10%% " IN_FULL), 0);
    must(patchbank(2, "train --archive d --bank every.h5 --ratios 100%% " IN_FULL), 0);
    must(patchbank(2, UPDATE "--bank full.h5 --archive c --bank-out one.h5 --forget list"), 0);
    must(patchbank(2, UPDATE "--bank one.h5 --archive d --bank-out two.h5 --forget list2"), 0);
    must(in_folder("%s %s/tests/jobs/check_update.py one.h5 every.h5 two.h5 list2", PB_PYTHON, PB_SOURCE_DIR), 0);
    must(patchbank(2, VERIFY "--archive a --bank two.h5"), 0);
}

/* Rows that selection looked at through a projection are seen through it again; each archive finds its rows in the bank. */
Test(update, same_bank_for_any_ranks_and_it_verifies) {
    for (int ranks = 1; ranks <= 4; ranks++)
        must(patchbank(ranks, UPDATE "--bank a.h5 --archive b --bank-out u%d.h5 --batch %d", ranks, 1 + ranks), 0);
    must(in_folder("for n in 2 3 4; do cmp u1.h5 u$n.h5 || exit 1; done"), 0);
    must(patchbank(3, VERIFY "--archive a --bank u1.h5"), 0);
    says("43 from this archive, 0 not as extracted");
    must(patchbank(2, VERIFY "--archive b --bank u1.h5"), 0);
    says("3 from this archive, 0 not as extracted");
    says(": sound");
    must(patchbank(2, "score --archive a --weights random:7 --bank u1.h5 --results r"), 0);
    must(in_folder("%s -c \"import h5py; f = h5py.File('u1.h5', 'r+'); f['features'][44, 7] += 0.001\"", PB_PYTHON), 0);
    must(patchbank(2, VERIFY "--archive a --bank u1.h5"), 0);
    must(patchbank(2, VERIFY "--archive b --bank u1.h5"), 1);
    says("row=44");
    must(patchbank(1, "pack --list list.csv --archive other"), 0);
    must(patchbank(2, VERIFY "--archive other --bank u1.h5"), 65);
    says_once("u1.h5: other: neither is nor was an archive with the manifest sha256 ");
}

/* A patch outside of the radius is noticed, whichever archive it is in. */
Test(update, a_radius_that_is_too_small_is_noticed) {
    must(patchbank(2, UPDATE "--bank a.h5 --archive b --bank-out u.h5"), 0);
    must(in_folder("%s -c \"import h5py; h5py.File('u.h5', 'r+')['covering_radius'][-1] *= 0.9\"", PB_PYTHON), 0);
    must(patchbank(2, VERIFY "--archive a --bank u.h5"), 1);
    must(patchbank(2, VERIFY "--archive b --bank u.h5"), 1);
    says("DIFFERENT");
}

/* With the bank's own images nothing is taken on trust: the radius is exact, also after some were forgotten. */
Test(update, of_its_own_images) {
    must(patchbank(2, UPDATE "--bank a.h5 --archive a --bank-out same.h5"), 0);
    must(in_folder(
             "%s -c \"import h5py; a, b = h5py.File('a.h5'), h5py.File('same.h5'); "
             "assert (a['features'][()] == b['features'][()]).all() and a['covering_radius'][-1] == b['covering_radius'][-1]; "
             "assert b.attrs['covering_radius_kind'] == b'exact' and b.attrs['training_images'] == b'6' and 'archive' not in b\"",
             PB_PYTHON),
         0);
    must(in_folder("printf 'images/02.png\\r\\n\\nimages/02.png\\n' > list"), 0);
    for (int ranks = 1; ranks <= 3; ranks++)
        must(patchbank(ranks, UPDATE "--bank a.h5 --archive a --forget list --bank-out f%d.h5", ranks), 0);
    must(in_folder("cmp f1.h5 f2.h5 && cmp f1.h5 f3.h5 && ! grep -a images/02.png f1.h5"), 0);
    must(patchbank(2, VERIFY "--archive a --bank f1.h5"), 0);
    says("which is not about 144 that were left out");
    must(in_folder("%s -c \"import h5py; f = h5py.File('f1.h5', 'r+'); f['covering_radius'][-1] *= 1.001; "
                   "assert f.attrs['covering_radius_kind'] == b'exact'\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, VERIFY "--archive a --bank f1.h5"), 1);
}

/* The archive grows, and each time only what is new is gone through; it has the images of all rows, so it verifies the whole bank
 * at once, and, gone through once more as a whole, makes the radius exact. */
Test(update, of_an_archive_that_grows) {
    must(in_folder("sed -n '1p;8,9p' list.csv > c.csv; sed -n '1p;10,11p' list.csv > d.csv"), 0);
    must(patchbank(1, "pack --list c.csv --archive a --append"), 0);
    for (int ranks = 1; ranks <= 3; ranks++)
        must(patchbank(ranks, UPDATE "--bank a.h5 --archive a --bank-out c%d.h5 --summary s%d.json", ranks, ranks), 0);
    says("event=grown archive=\"a\" images_known=20 images=22");
    says("event=extracted images=2 ");
    /* the ranks share what is new, though it stands at the archive's end */
    must(in_folder("%s -c \"import json; ranks = json.load(open('s2.json'))['per_rank']; assert [s['images'] for r in ranks "
                   "for s in r['steps'] if s['step'] == 'extract'] == [1, 1], ranks\"",
                   PB_PYTHON),
         0);
    must(in_folder("cmp c1.h5 c2.h5 && cmp c1.h5 c3.h5"), 0);
    must(patchbank(1, "pack --list d.csv --archive a --append"), 0);
    must(patchbank(2, UPDATE "--bank c1.h5 --archive a --bank-out d.h5"), 0);
    says("event=extracted images=2 ");
    must(patchbank(2, VERIFY "--archive a --bank d.h5"), 0);
    cr_assert_null(strstr(said, "from this archive"), "%s", said);
    says("of 1440 patches");
    must(patchbank(2, UPDATE "--bank d.h5 --archive a --bank-out e.h5"), 0);
    must(patchbank(3, VERIFY "--archive a --bank e.h5"), 0);
    must(in_folder("%s -c \"import h5py; d, e = h5py.File('d.h5'), h5py.File('e.h5'); "
                   "assert (d['features'][()] == e['features'][()]).all() and d.attrs['covering_radius_kind'] == b'bound'; "
                   "assert e.attrs['covering_radius_kind'] == b'exact' and e['covering_radius'][-1] < d['covering_radius'][-1]; "
                   "assert e.attrs['training_images'] == b'10' and len(set(e['archive'][()])) == 3\"",
                   PB_PYTHON),
         0);
}

/* The archive grows by images for testing, then by one for training that is to be forgotten with one of the bank's: no row is
 * added, rows are forgotten, and the bank is of the newest edition. Images that are all bad are no such case. */
Test(update, nothing_new) {
    must(in_folder("sed -n '1p;8,9p' list.csv | sed s/,train,/,test,/ > c.csv; sed -n '1p;10p' list.csv > d.csv"), 0);
    must(patchbank(1, "pack --list c.csv --archive a --append"), 0);
    for (int ranks = 1; ranks <= 2; ranks++)
        must(patchbank(ranks, UPDATE "--bank a.h5 --archive a --bank-out c%d.h5", ranks), 0);
    says("event=nothing-new archive=\"a\" images_left_out=0 ");
    cr_assert(!exists("c1.h5.state"));
    must(in_folder("cmp c1.h5 c2.h5 && %s -c \"import h5py; a, c = h5py.File('a.h5'), h5py.File('c1.h5'); "
                   "assert (a['features'][()] == c['features'][()]).all() and c.attrs['rows_added'] == b'0'; "
                   "assert a['covering_radius'][-1] == c['covering_radius'][-1] and c.attrs['training_images'] == b'6'; "
                   "assert all(a.attrs[n] == c.attrs[n] for n in ('covering_radius_kind', 'optimal_radius_at_least'))\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, VERIFY "--archive a --bank c1.h5"), 0);
    must(patchbank(1, "pack --list d.csv --archive a --append"), 0);
    must(in_folder("(sed -n '10p' list.csv | cut -d, -f1; echo images/02.png) > forget"), 0);
    must(patchbank(2, UPDATE "--bank a.h5 --archive a --bank-out d.h5 --forget forget"), 0);
    says("event=nothing-new archive=\"a\" images_left_out=1 ");
    must(in_folder("! grep -a images/02.png d.h5 && %s -c \"import h5py; a, d = h5py.File('a.h5'), h5py.File('d.h5'); "
                   "forgotten = int(d.attrs['rows_forgotten']); assert 0 < forgotten == len(a['image']) - len(d['image']); "
                   "assert d['covering_radius'][-1] > a['covering_radius'][-1]; "
                   "assert float(d.attrs['optimal_radius_at_least']) == 0; "
                   "assert d.attrs['covering_radius_kind'] == b'bound' and d.attrs['left_out_patches'] == b'144'\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, VERIFY "--archive a --bank d.h5"), 0);
    must(in_folder("sed -n '1p;8p' list.csv > x.csv"), 0);
    must(patchbank(1, "pack --list x.csv --archive x"), 0);
    must(in_folder("%s -c \"import h5py; d = h5py.File('x/shard-00000.h5', 'r+')['image/bytes']; d[100] = d[100] ^ 1\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, UPDATE "--bank a.h5 --archive x --bank-out x.h5 --max-bad 1"), 65);
    says_once("x: no training image could be used");
}

/* What a bank promises may grow; what updates aim at stays. */
Test(update, the_aim_is_kept) {
    must(in_folder("echo images/02.png > list"), 0);
    must(patchbank(2, UPDATE "--bank a.h5 --archive b --forget list --bank-out u.h5"), 0);
    must(patchbank(2, UPDATE "--bank u.h5 --archive a --bank-out v.h5"), 0);
    must(in_folder("%s -c \"import h5py; a, u, v = (h5py.File(n + '.h5') for n in 'auv'); r = float(a.attrs['covering_radius']); "
                   "assert float(u.attrs['update_radius']) == float(v.attrs['update_radius']) == r; "
                   "assert float(u.attrs['covering_radius']) > r and v.attrs['updates'] == b'2'; "
                   "assert v.attrs['training_images'] == b'10' and (v['archive'][()][len(u['image']):] == 0).all()\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, VERIFY "--archive a --bank v.h5"), 0);
    must(in_folder("%s -c \"import h5py, numpy; h5py.File('v.h5', 'r+').attrs['update_radius'] = numpy.bytes_('nan')\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, UPDATE "--bank v.h5 --archive a --bank-out w.h5"), 65);
    says_once("update_radius is \"nan\", not a radius");
}

/* Too few rows make a larger radius; it is that of a new patch, so it is exact. */
Test(update, few_rows) {
    must(patchbank(2, UPDATE "--bank a.h5 --archive b --bank-out u.h5 --rows 43"), 64);
    says_once("--rows 43: 43 rows of a.h5 stay");
    cr_assert(!exists("u.h5"));
    must(patchbank(2, UPDATE "--bank a.h5 --archive b --bank-out u.h5 --rows 44"), 0);
    says("event=radius-not-reached");
    must(patchbank(2, VERIFY "--archive b --bank u.h5"), 0);
    must(in_folder("%s info --bank u.h5 | grep -E 'covering_radius_kind +exact|44 rows|option.rows +44' | grep -c . | grep -x 3",
                   PB_PROGRAM),
         0);
}

Test(update, wrong_input) {
    must(patchbank(2, UPDATE "--bank a.h5 --archive b"), 64);
    says_once("--bank-out");
    must(patchbank(2, "update --weights random:8 --bank a.h5 --archive b --bank-out u.h5"), 65);
    says_once("a.h5 was trained with random:7");
    must(patchbank(2, UPDATE "--bank a.h5 --archive b --bank-out none/u.h5"), 65);
    says_once("none");
    must(patchbank(2, UPDATE "--bank a.h5 --archive b --bank-out u.h5 --forget none"), 65);
    says_once("none");
    must(in_folder("printf '\\n\\n' > list"), 0);
    must(patchbank(2, UPDATE "--bank a.h5 --archive b --bank-out u.h5 --forget list"), 65);
    says_once("list: names no image");
    must(in_folder("ls images/* > list"), 0);
    must(patchbank(2, UPDATE "--bank a.h5 --archive b --bank-out u.h5 --forget list"), 65);
    says_once("no row of a.h5 would be left");
    must(in_folder("%s -c \"import h5py; h5py.File('a.h5', 'r+')['covering_radius'][-1] = -1\"", PB_PYTHON), 0);
    must(patchbank(2, UPDATE "--bank a.h5 --archive b --bank-out u.h5"), 65);
    says_once("covering radius is not known");
    cr_assert(!exists("u.h5"));
    must(in_folder("echo images/99.png > list; %s -c \"import h5py; h5py.File('a.h5', 'r+')['covering_radius'][-1] = 11\"",
                   PB_PYTHON),
         0);
    must(patchbank(2, UPDATE "--bank a.h5 --archive b --bank-out u.h5 --forget list"), 0);
    says("event=nothing-forgotten");
}

Test(update, a_failing_write_leaves_the_old_bank) {
    static const char *const FAULTS[] = {"io.write", "io.rename"};
    must(in_folder("cp a.h5 saved"), 0);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        must(in_folder("PATCHBANK_FAULT=%s %s -n 2 --map-by :OVERSUBSCRIBE %s " UPDATE "--bank a.h5 --archive b --bank-out a.h5",
                       FAULTS[i], PB_MPIEXEC, PB_PROGRAM),
             74);
        must(in_folder("cmp a.h5 saved"), 0);
        nothing_half_written();
    }
    must(patchbank(2, UPDATE "--bank a.h5 --archive b --bank-out a.h5"), 0);
    must(in_folder("cmp -s a.h5 saved"), 1);
}

/* Asked to stop, or killed, at any step, it goes on on other ranks, from what was extracted; the bank is that of a run without.
 */
Test(update, a_stopped_one_goes_on) {
    static const char *const FAULTS[] = {"train.batch@0:2!usr1", "train.batch@1:2!kill", "train.collect@0:1!term"};
    must(patchbank(2, UPDATE "--bank a.h5 --archive b --bank-out whole.h5"), 0);
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        int code = in_folder("PATCHBANK_FAULT='%s' %s -n 2 --map-by :OVERSUBSCRIBE %s " UPDATE
                             "--bank a.h5 --archive b --bank-out u.h5 --batch 1 --checkpoint 0",
                             FAULTS[i], PB_MPIEXEC, PB_PROGRAM);
        cr_assert(strstr(FAULTS[i], "!kill") ? code != 0 : code == 75, "%s: exit code %d:\n%s", FAULTS[i], code, said);
        cr_assert(exists("u.h5.state") && !exists("u.h5"), "%s", said);
        must(patchbank(3, UPDATE "--bank a.h5 --archive b --bank-out u.h5 --batch 1"), 0);
        cr_assert_null(strstr(said, "checkpoint-ignored"), "%s", said);
        cr_assert_null(strstr(said, "pass=extract images=4 "), "nothing was saved:\n%s", said);
        must(in_folder("cmp u.h5 whole.h5 && rm u.h5"), 0);
        cr_assert_not(exists("u.h5.state"));
        nothing_half_written();
    }
}

/* A bank of a store, and the updated one into it. */
Test(update, of_the_current_version_of_a_store) {
    must(patchbank(2, "score --archive a --weights random:7 --bank a.h5 --results r"), 0);
    must(patchbank(1, "bank publish --store s/x --bank a.h5 --results r --floor 0"), 0);
    must(patchbank(2, UPDATE "--bank s/x --archive b --bank-out u.h5"), 0);
    must(patchbank(2, "score --archive a --weights random:7 --bank u.h5 --results t"), 0);
    must(patchbank(1, "bank publish --store s/x --bank u.h5 --results t --current-results r --floor 0 --margin 1"), 0);
    must(patchbank(1, "bank list --store s/x"), 0);
    must(patchbank(1, "bank diff --store s/x"), 0);
    says("kept 43 (0 of them with another feature)");
}
