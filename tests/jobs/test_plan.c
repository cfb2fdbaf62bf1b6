/* Checks jobs/plan.c and jobs/bench_constants.c against real runs, and what is chosen and refused. */
#include "fixture.h"

TestSuite(plan, .init = new_folder, .fini = remove_folder, .timeout = 300);

/* Selection by all 152 values, so that its memory is seen beside the program's. */
#define HOW "--weights random:7 --resize 128 --crop 128 --threads 1 --decoders 1 --batch 8 "

static void new_noise(int images) {
    must(in_folder("%s %s/tests/jobs/make_noise.py . %d 128", PB_PYTHON, PB_SOURCE_DIR, images), 0);
    must(patchbank(1, "pack --list list.csv --archive a%d", images), 0);
}

/* Constants are measured on some images; plans for as many, twice and four times are compared with what happens. */
Test(plan, memory_is_as_predicted) {
    new_noise(120);
    must(patchbank(1, "bench constants --archive a120 --json k.json --projection 0 --repeat 1 --images 60 " HOW), 0);
    cr_assert(!exists("k.json.probe") && !exists("k.json.probe.csv"));
    for (int images = 120, ranks = 1; images <= 480; images *= 2, ranks = 3 - ranks) {
        if (images > 120)
            new_noise(images);
        must(in_folder("%s plan --archive a%d --constants k.json --ranks %d --json p.json", PB_PROGRAM, images, ranks), 0);
        must(patchbank(ranks, "train --archive a%d --bank b%d.h5 --projection 0 --summary t.json " HOW, images, images), 0);
        must(in_folder("%s %s/tests/jobs/check_plan.py p.json train t.json", PB_PYTHON, PB_SOURCE_DIR), 0);
        must(patchbank(ranks, "score --archive a%d --bank b%d.h5 --results r%d --summary s.json --weights random:7 --threads 1 "
                       "--decoders 1 --batch 8", images, images, images),
             0);
        must(in_folder("%s %s/tests/jobs/check_plan.py p.json score s.json", PB_PYTHON, PB_SOURCE_DIR), 0);
        /* files: the bank's features and provenance, and not much beside */
        must(in_folder("%s -c \"import json, os; p = json.load(open('p.json')); "
                       "assert abs(p['bank_bytes'] / os.path.getsize('b%d.h5') - 1) < 0.25, p\"",
                       PB_PYTHON, images),
             0);
    }
}

/* A selection in parts, whose points need a sixth of the memory. */
Test(plan, memory_of_a_selection_in_parts) {
    new_noise(240);
    must(patchbank(1, "bench constants --archive a240 --json k.json --projection 0 --repeat 1 --images 60 " HOW), 0);
    for (int ranks = 1; ranks <= 2; ranks++) {
        must(in_folder("%s plan --archive a240 --constants k.json --ranks %d --coreset two-round --parts 6 --json p.json",
                       PB_PROGRAM, ranks),
             0);
        must(patchbank(ranks, "train --archive a240 --bank b.h5 --projection 0 --coreset two-round --parts 6 "
                       "--summary t.json " HOW),
             0);
        must(in_folder("%s %s/tests/jobs/check_plan.py p.json train t.json", PB_PYTHON, PB_SOURCE_DIR), 0);
    }
}

/* What searches by filter hold of a bank that is most of a rank's memory; patches that wait to be denoised; an update. */
Test(plan, memory_of_a_large_bank_of_noise_and_of_an_update) {
    new_noise(120);
    must(patchbank(1, "bench constants --archive a120 --json k.json --projection 0 --repeat 1 --images 60 " HOW), 0);
    must(in_folder("%s plan --archive a120 --constants k.json --ranks 1 --ratios 100%% --json p.json", PB_PROGRAM), 0);
    must(patchbank(1, "train --archive a120 --bank all.h5 --projection 0 --coreset random --ratios 100%% " HOW), 0);
    must(patchbank(1, "score --archive a120 --bank all.h5 --results r --summary s.json --weights random:7 --threads 1 "
                   "--decoders 1 --batch 8"),
         0);
    must(in_folder("%s %s/tests/jobs/check_plan.py p.json score s.json 0.15", PB_PYTHON, PB_SOURCE_DIR), 0);
    /* the images that were to be scored become new ones */
    must(in_folder("grep -v train list.csv | sed s/,test,/,train,/ > new.csv"), 0);
    must(patchbank(1, "pack --list new.csv --archive new"), 0);
    must(in_folder("%s plan --archive a120 --constants k.json --ranks 2 --denoise nearest --update-images 60 --json p.json",
                   PB_PROGRAM),
         0);
    must(patchbank(2, "train --archive a120 --bank b.h5 --projection 0 --denoise nearest --summary t.json " HOW), 0);
    must(in_folder("%s %s/tests/jobs/check_plan.py p.json train t.json", PB_PYTHON, PB_SOURCE_DIR), 0);
    must(patchbank(2, "update --archive new --bank b.h5 --bank-out c.h5 --denoise nearest --summary u.json --weights random:7 "
                   "--threads 1 --decoders 1 --batch 8"),
         0);
    must(in_folder("%s %s/tests/jobs/check_plan.py p.json update u.json", PB_PYTHON, PB_SOURCE_DIR), 0);
}

/* Good constants of a round kind. */
static void new_constants(void) {
    must(in_folder("%s %s/tests/jobs/make_constants.py k.json", PB_PYTHON, PB_SOURCE_DIR), 0);
}

#define PLAN "plan --constants k.json --train-images 1000000 --test-images 1000000 "

/* 784 million patches of 592 bytes: 464 GB on all ranks together. A node of 256 GiB takes so many. */
Test(plan, nodes_are_added_until_memory_and_time_suffice) {
    new_constants();
    must(in_folder("%s " PLAN "--node-memory 256 --node-cores 16 --hours 24 --json p.json --sbatch words > text", PB_PROGRAM), 0);
    must(in_folder("%s -c \"import json; t = json.load(open('p.json'))['train']; n = t['nodes']; "
                   "assert t['node_bytes'] * 1.25 <= 256 * 2**30 and t['seconds'] <= 24 * 3600 and n >= 3, t; "
                   "assert t['ranks'] == n * t['ranks_a_node'] and t['not_kept'] == '', t\"",
                   PB_PYTHON),
         0);
    must(in_folder("grep -E '^train NODES=[0-9]+ TASKS_PER_NODE=[0-9]+ CPUS_PER_TASK=2 MEMORY=[0-9]+M TIME=[0-9]+:[0-5][0-9]:00$'"
                   " words && grep -c '^score NODES=' words | grep -x 1 && grep -c . words | grep -x 2"),
         0);
    must(in_folder("%s " PLAN "--node-memory 256 --node-cores 16 --hours 1 --nodes-most 500 --json q.json", PB_PROGRAM), 0);
    must(in_folder("%s -c \"import json; p, q = (json.load(open(n))['train'] for n in ('p.json', 'q.json')); "
                   "assert q['nodes'] > p['nodes'] and q['seconds'] <= 3600, q\"",
                   PB_PYTHON),
         0);
}

/* Denoising costs time, and an update is planned where one is asked for. */
Test(plan, noise_and_updates_are_seen_in_the_answer) {
    new_constants();
    must(in_folder("%s " PLAN "--ranks 64 --json p.json && %s " PLAN
                   "--ranks 64 --denoise lof --update-images 1000 --json q.json",
                   PB_PROGRAM, PB_PROGRAM),
         0);
    must(in_folder("%s -c \"import json; p, q = (json.load(open(n)) for n in ('p.json', 'q.json')); "
                   "assert 'update' not in p and p['train']['denoise_s'] == 0 and p['score'] == q['score']; "
                   "assert abs(q['train']['denoise_s'] - 13 * 1e12 / 1e8) < 1, q; " /* 784 places on 64 ranks: 13 */
                   "u = q['update']; assert u['rows'] == p['train']['rows'] + 7840 and u['seconds'] < p['train']['seconds'], u\"",
                   PB_PYTHON),
         0);
}

Test(plan, ranks_of_nodes_with_gpus) {
    new_constants();
    must(in_folder("sed -i 's/\"device_is_host\": 1/\"device_is_host\": 0/' k.json"), 0);
    must(in_folder("%s " PLAN "--node-memory 256 --node-cores 64 --node-ranks 4 --hours 24 --nodes-most 500 --sbatch words",
                   PB_PROGRAM),
         0);
    must(in_folder("grep -E '^train NODES=[0-9]+ TASKS_PER_NODE=4 CPUS_PER_TASK=2 .* GRES=gpu:4 DEVICE=cuda$' words"), 0);
    /* each is a setting that slurm/submit.sh knows */
    must(in_folder("grep -oE '[A-Z_]+=' words | sort -u > names && grep -c . names | grep -x 7 && "
                   "while read -r name; do grep -q \"^$name\" %s/slurm/patchbank.conf.example || exit 1; done < names",
                   PB_SOURCE_DIR),
         0);
}

/* A job is told to leave WARNING seconds before its limit, and has the time that it needs before. */
Test(plan, the_limit_has_room_for_the_warning) {
    new_constants();
    must(in_folder("%s plan --constants k.json --train-images 10 --test-images 10 --json p.json --sbatch words", PB_PROGRAM), 0);
    must(in_folder("%s -c \"import json, re; p = json.load(open('p.json')); "
                   "warning = int(re.search('^WARNING=([0-9]+)', open('%s/slurm/patchbank.conf.example').read(), re.M)[1]); "
                   "times = re.findall('^([a-z]+) .* TIME=([0-9]+):([0-9]+):00', open('words').read(), re.M); "
                   "assert len(times) == 2 and all(60 * (60 * int(h) + int(m)) - warning >= 1.5 * p[job]['seconds'] "
                   "for job, h, m in times), times\"",
                   PB_PYTHON, PB_SOURCE_DIR),
         0);
}

Test(plan, what_cannot_be_kept_is_said) {
    new_constants();
    must(in_folder("%s " PLAN "--node-memory 8 --node-cores 16 --hours 24 --nodes-most 4", PB_PROGRAM), 1);
    says("not enough memory on --nodes-most 4");
    must(in_folder("%s " PLAN "--node-memory 512 --node-cores 16 --hours 0.1 --nodes-most 4", PB_PROGRAM), 1);
    says("not enough time on --nodes-most 4");
}

Test(plan, wrong_options_and_input) {
    new_constants();
    must(patchbank(2, "plan --constants k.json"), 64);
    says_once("give either --archive FOLDER or --train-images N");
    must(patchbank(2, "plan --constants k.json --archive a --test-images 3"), 64);
    must(patchbank(1, PLAN "--coreset random"), 64);
    says_once("plans are of greedy and two-round");
    must(patchbank(1, PLAN "--coreset two-round --denoise lof"), 64);
    says_once("--denoise lof: train does not do so with --coreset two-round");
    must(patchbank(1, PLAN "--ratios 1%%,0"), 64);
    says_once("--ratios 1%,0");
    must(patchbank(1, "plan --constants none.json --train-images 3"), 65);
    says_once("none.json");
    must(patchbank(1, "plan --constants k.json --archive none"), 65);
    must(in_folder("sed -i 's/\"extract_images_per_s\": [0-9.]*/\"extract_images_per_s\": 0/' k.json"), 0);
    must(patchbank(1, PLAN), 65);
    says_once("measure again");
    new_noise(2);
    must(patchbank(3, "bench constants --archive a2 --json k.json " HOW), 65);
    says_once("two images a rank");
    must(patchbank(1, "bench constants --archive a2 " HOW), 64);
    says_once("--json FILE is missing");
}

/* A slip in an exponent is told, in a moment, and nothing is written. */
Test(plan, constants_of_no_machine) {
    static const struct {
        const char *name, *value, *said;
    } CASES[] = {{"host_cores", "1e12", "host_cores 1e+12, threads 2"},
                 {"threads", "1e300", "threads 1e+300"},
                 {"search_pairs_per_s", "1e-300", "k.json: no machine is like that"},
                 {"path_bytes", "1e300", "k.json: no machine is like that"},
                 {"select_pair_s", "1e300", "k.json: no machine is like that"}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        new_constants();
        must(in_folder("sed -i 's/\"%s\": [0-9.e+-]*/\"%s\": %s/' k.json", CASES[i].name, CASES[i].name, CASES[i].value), 0);
        must(in_folder("timeout 20 %s " PLAN "--node-memory 1 --json p.json --sbatch words", PB_PROGRAM), 65);
        says(CASES[i].said);
        cr_assert(!exists("p.json") && !exists("words"));
    }
}
