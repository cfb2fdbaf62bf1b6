#include "fixture.h"

TestSuite(devices, .init = new_folder, .fini = remove_folder);

/* Rows are read by scripts: name, whether it is usable, and why. */
Test(devices, cpu_is_listed_at_once) {
    must(in_folder("%s devices > list", PB_PROGRAM), 0);
    must(in_folder("head -1 list | grep -x 'device  *usable  *what it is, or why not'"), 0);
    must(in_folder("awk '$1 == \"cpu\" && $2 == \"yes\"' list | grep -c oneDNN | grep -x 1"), 0);
    must(in_folder("awk '$1 == \"cpu:plain\" && $2 == \"yes\"' list | grep -c . | grep -x 1"), 0);
    must(in_folder("(%s devices > /dev/full)", PB_PROGRAM), 74);
}

/* Where there is no GPU the reason is named; where there is one, its number. */
Test(devices, cuda_is_listed_or_why_it_is_not) {
    must(in_folder("%s devices | grep -E '^cuda(:0 +yes|  +no) '", PB_PROGRAM), 0);
    must(in_folder("PATCHBANK_CUDA_PLUGIN=/nowhere.so %s devices | grep -E '^cuda  +no  +plugin /nowhere.so not found$'",
                   PB_PROGRAM),
         0);
}

Test(devices, a_plugin_can_be_named) {
    must(in_folder("PATCHBANK_CUDA_PLUGIN=%s %s devices | grep -E '^cuda:0 +yes +Emulator, compute capability 9.0'",
                   PB_EMULATED_PLUGIN, PB_PROGRAM),
         0);
}

/* What was built for users, where nvcc was there: without a GPU the driver is missing, not the plugin or a symbol of it. */
Test(devices, the_plugin_of_this_build_is_found_beside_the_program) {
    if (PB_CUDA_PLUGIN[0] == '\0')
        cr_skip_test("no nvcc: the plugin of CUDA devices is not built");
    must(in_folder("%s devices", PB_PROGRAM), 0);
    cr_assert_null(strstr(said, "plugin"), "%s", said);
    must(in_folder("PATCHBANK_CUDA_PLUGIN=%s %s devices", PB_CUDA_PLUGIN, PB_PROGRAM), 0);
    cr_assert_null(strstr(said, "plugin"), "%s", said);
}

/* One symbol goes out, machine code for each architecture is in, and neither driver nor runtime is needed to open it. */
Test(devices, the_plugin_of_this_build_is_complete_in_itself) {
    if (PB_CUDA_PLUGIN[0] == '\0')
        cr_skip_test("no nvcc: the plugin of CUDA devices is not built");
    must(in_folder("nm -D --defined-only %s | cut -d' ' -f3 | paste -sd, | grep -x pb_device_plugin", PB_CUDA_PLUGIN), 0);
    must(in_folder("readelf -d %s | grep NEEDED | grep -E 'cuda' ; test $? = 1", PB_CUDA_PLUGIN), 0);
}

/* A job that asks for a GPU where there is none ends for good, with one line. No machine has the one asked for. */
Test(devices, a_job_without_its_device_is_never_retried, .init = new_archive) {
    for (int ranks = 1; ranks <= 3; ranks += 2) {
        must(patchbank(ranks, "train --archive archive --bank bank.h5 --device cuda:1000 " TRAIN_OPTIONS), 69);
        says_once("device cuda:1000: ");
        cr_assert(!exists("bank.h5"));
    }
    must(in_folder("PATCHBANK_CUDA_PLUGIN=/nowhere.so %s train --archive archive --bank bank.h5 --device cuda:0 " TRAIN_OPTIONS,
                   PB_PROGRAM),
         69);
    says_once("device cuda:0: plugin /nowhere.so not found");
    nothing_half_written();
}

/* Ranks take the GPUs of their host by turns, and two on one are refused, on all ranks with one line; the emulator has one. That
 * a job goes on is seen by what stops it next: the emulator has no networks. */
Test(devices, two_ranks_on_one_gpu_are_refused_unless_asked_for, .init = new_archive) {
    for (int ranks = 1; ranks <= 3; ranks++)
        for (int shared = 0; shared <= 1; shared++) {
            must(in_folder("PATCHBANK_CUDA_PLUGIN=%s %s -n %d --map-by :OVERSUBSCRIBE %s train --archive archive "
                           "--bank bank.h5 --device cuda %s " TRAIN_OPTIONS,
                           PB_EMULATED_PLUGIN, PB_MPIEXEC, ranks, PB_PROGRAM, shared ? "--share-device" : ""),
                 ranks > 1 && !shared ? 64 : 69);
            says_once(ranks > 1 && !shared ? "ranks 0 and 1 drive one GPU (cuda:0: Emulator" : "compile");
        }
    nothing_half_written();
}
