/* info.c: what is in a file, in words. Rank 0 looks; the others wait. An archive is counted from its records (jobs/census.h);
 * banks and results say of themselves what made them, and that is shown as it stands. No image and no row is read. */
#include "io/archive.h"
#include "io/bank_file.h"
#include "jobs/bank_choice.h"
#include "jobs/census.h"
#include "jobs/figures.h"
#include "jobs/job.h"
#include "jobs/json.h"

#include <inttypes.h>
#include <stdio.h>

static void print_attributes(const pb_attributes *attributes) {
    for (size_t i = 0; i < attributes->count; i++)
        printf("  %-32s %s\n", attributes->names[i], attributes->values[i]);
}

static void print_archive(const char *folder, const pb_archive *archive, const pb_census *census) {
    size_t editions = pb_archive_editions(archive);
    printf("archive %s\n  %" PRIu64 " images in %zu shards, manifest sha256 %s\n", folder, pb_archive_images(archive),
           pb_archive_shards(archive), pb_archive_sha256(archive));
    for (size_t i = 0; editions > 1 && i < editions; i++) {
        const pb_edition *edition = pb_archive_edition(archive, i);
        printf("  edition %zu: %" PRIu64 " images in %zu shards, from %s, manifest sha256 %s\n", i + 1, edition->images,
               edition->shards, edition->source, edition->sha256);
    }
    pb_census_print(census, stdout);
}

static json_t *editions_to_json(const pb_archive *archive) {
    json_t *editions = json_array();
    for (size_t i = 0; i < pb_archive_editions(archive); i++) {
        const pb_edition *edition = pb_archive_edition(archive, i);
        json_t *one = json_pack("{s:o, s:I, s:I, s:s}", "source", pb_json_text(edition->source), "images",
                                (json_int_t)edition->images, "shards", (json_int_t)edition->shards, "sha256", edition->sha256);
        if (json_array_append_new(editions, one) != 0) {
            json_decref(editions);
            return NULL;
        }
    }
    return editions;
}

/* jansson makes the whole NULL when a part of it is: so memory that was lacking anywhere is one error here. */
static pb_status write_archive(const pb_archive *archive, const pb_census *census, const char *file) {
    json_t *answer = json_pack("{s:I, s:I, s:s, s:o, s:o}", "images", (json_int_t)pb_archive_images(archive), "shards",
                               (json_int_t)pb_archive_shards(archive), "sha256", pb_archive_sha256(archive), "editions",
                               editions_to_json(archive), "census", pb_census_to_json(census));
    pb_status status = answer ? pb_json_write(answer, file) : pb_fail(PB_E_SYSTEM, "out of memory for the figures as JSON");
    json_decref(answer);
    return status;
}

static pb_status describe_archive(const char *folder, const char *json) {
    pb_archive *archive;
    pb_census census = {0};
    PB_TRY(pb_archive_open(folder, &archive));
    pb_status status = pb_census_take(archive, &census);
    if (!pb_failed(&status) && !pb_json_only(json))
        print_archive(folder, archive, &census);
    if (!pb_failed(&status) && json)
        status = write_archive(archive, &census, json);
    pb_census_free(&census);
    pb_archive_close(&archive);
    return status;
}

/* Of a bank store the version that is current. */
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

/* One thing at a time: an answer is about one file. */
static pb_status describe(const pb_job *job) {
    const pb_job_options *options = job->options;
    int given = !!options->archive + !!options->bank + !!options->results;
    if (given != 1)
        return pb_fail(PB_E_USAGE, "give one of --archive FOLDER, --bank FILE, --results FOLDER");
    if (options->json && !options->archive)
        return pb_fail(PB_E_USAGE, "--json is of --archive: what a bank or results say of themselves is text");
    return options->archive ? describe_archive(options->archive, options->json)
           : options->bank  ? describe_bank(job)
                            : describe_results(options->results);
}

pb_status pb_job_info(const pb_job *job) {
    return pb_agree(job->comm, pb_comm_rank(job->comm) == 0 ? describe(job) : pb_ok());
}
