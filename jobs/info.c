/* info.c: what is in a file, in words. Rank 0 looks; the others wait. */
#include "io/archive.h"
#include "io/bank_file.h"
#include "jobs/bank_choice.h"
#include "jobs/figures.h"
#include "jobs/job.h"

#include <inttypes.h>
#include <stdio.h>

static void print_attributes(const pb_attributes *attributes) {
    for (size_t i = 0; i < attributes->count; i++)
        printf("  %-32s %s\n", attributes->names[i], attributes->values[i]);
}

/* Images of an archive by split and label, as counted from its records. */
typedef struct census {
    uint64_t by_split_label[2][3]; /* [split][label + 1] */
    uint64_t masks, bytes;
    int width_least, width_most, height_least, height_most;
} census;

static void count_record(const pb_record *record, census *all) {
    all->by_split_label[record->split][record->label + 1]++;
    all->masks += record->mask_length > 0;
    all->bytes += record->length;
    if (all->width_least == 0 || record->width < all->width_least)
        all->width_least = record->width;
    if (all->height_least == 0 || record->height < all->height_least)
        all->height_least = record->height;
    if (record->width > all->width_most)
        all->width_most = record->width;
    if (record->height > all->height_most)
        all->height_most = record->height;
}

static void print_census(const census *all) {
    static const char *const SPLITS[] = {"train", "test"};
    printf("  %-10s %10s %10s %10s\n", "split", "normal", "defective", "unlabelled");
    for (int split = 0; split < 2; split++)
        printf("  %-10s %10" PRIu64 " %10" PRIu64 " %10" PRIu64 "\n", SPLITS[split], all->by_split_label[split][1],
               all->by_split_label[split][2], all->by_split_label[split][0]);
    printf("  width %d to %d, height %d to %d pixels; %" PRIu64 " masks; %.1f MB of encoded images\n", all->width_least,
           all->width_most, all->height_least, all->height_most, all->masks, (double)all->bytes / 1e6);
}

static pb_status describe_archive(const char *folder) {
    pb_archive *archive;
    PB_TRY(pb_archive_open(folder, &archive));
    census all = {0};
    pb_status status = pb_ok();
    for (uint64_t i = 0; i < pb_archive_images(archive) && !pb_failed(&status); i++) {
        pb_record record;
        status = pb_archive_record(archive, i, &record);
        if (!pb_failed(&status))
            count_record(&record, &all);
    }
    if (!pb_failed(&status)) {
        printf("archive %s\n  %" PRIu64 " images in %zu shards, manifest sha256 %s\n", folder, pb_archive_images(archive),
               pb_archive_shards(archive), pb_archive_sha256(archive));
        print_census(&all);
    }
    pb_archive_close(&archive);
    return status;
}

static pb_status describe_bank(const pb_job *job) {
    pb_bank_choice choice;
    pb_bank bank = {0};
    uint64_t rows;
    PB_TRY(pb_bank_choose_alone(job, &choice));
    const char *path = choice.options.bank;
    PB_TRY(pb_bank_read(path, 0, 0, &bank, &rows));
    printf("memory bank %s\n  %" PRIu64 " rows of %d values\n", path, rows, bank.dim);
    print_attributes(&bank.attributes);
    pb_bank_free(&bank);
    return pb_ok();
}

static pb_status describe_results(const char *folder) {
    pb_results results;
    PB_TRY(pb_results_of_folder(folder, &results));
    printf("results %s\n  %" PRIu64 " images, patch maps %d wide and %d high\n", folder, results.images, results.grid.width,
           results.grid.height);
    print_attributes(&results.attributes);
    pb_results_free(&results);
    return pb_ok();
}

static pb_status describe(const pb_job *job) {
    const pb_job_options *options = job->options;
    int given = !!options->archive + !!options->bank + !!options->results;
    if (given != 1)
        return pb_fail(PB_E_USAGE, "give one of --archive FOLDER, --bank FILE, --results FOLDER");
    return options->archive ? describe_archive(options->archive)
           : options->bank  ? describe_bank(job)
                            : describe_results(options->results);
}

pb_status pb_job_info(const pb_job *job) {
    return pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? describe(job) : pb_ok());
}
