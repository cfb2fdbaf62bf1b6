/* bank_fit.c: reading a bank so that it is the one that was meant, and making features as it did. That they are the same features
 * is what all its users stand on: score's distances, verify's certificate, update's centres. */
#include "jobs/bank_fit.h"

#include "base/memory.h"
#include "jobs/provenance.h"
#include "mpi/partition.h"

#include <string.h>

/* The number of rows is known only after a first look. The hash brackets the reading, so that a bank that is replaced meanwhile
 * is noticed. Every rank hashes the file by itself: ranks on different nodes might see different files. Not collective. */
static pb_status read_rows(const pb_bank_choice *choice, bool whole, pb_bank *bank, uint64_t *rows, char *sha256) {
    const pb_job *job = &choice->job;
    const char *file = job->options->bank;
    char sha256_after[PB_SHA256_TEXT];
    pb_bank head = {0};
    uint64_t rows_after;
    PB_TRY(pb_sha256_file(file, sha256));
    PB_TRY(pb_bank_choice_check(choice, sha256));
    PB_TRY(pb_bank_read(file, 0, 0, &head, rows));
    pb_bank_free(&head);
    if (*rows == 0)
        return pb_fail(PB_E_INPUT, "%s: the bank has no rows", file);
    pb_range mine = whole ? (pb_range){0, *rows} : pb_partition(*rows, pb_comm_size(job->comm), pb_comm_rank(job->comm));
    PB_TRY(pb_bank_read(file, mine.first, mine.end, bank, &rows_after));
    PB_TRY(pb_sha256_file(file, sha256_after));
    return strcmp(sha256, sha256_after) == 0 ? pb_ok() : pb_fail(PB_E_INPUT, "%s: changed while it was read", file);
}

pb_status pb_bank_fit_read(const pb_bank_choice *choice, bool whole, pb_bank *bank, uint64_t *rows, char sha256[PB_SHA256_TEXT]) {
    const pb_job *job = &choice->job;
    pb_status status = pb_agree(job->comm, read_rows(choice, whole, bank, rows, sha256));
    return pb_failed(&status) ? status : pb_agree_equal(job->comm, sha256, job->options->bank);
}

/* The bank and what was set up must fit together. */
static pb_status check(const pb_job *job, const pb_bank *bank, const pb_setup *setup) {
    const char *file = job->options->bank, *weights;
    PB_TRY(pb_attributes_need(&bank->attributes, file, "weights", &weights));
    if (strcmp(weights, setup->weights) != 0)
        return pb_fail(PB_E_INPUT, "--weights %s: these are %s, but %s was trained with %s; give the same weights",
                       job->options->weights, setup->weights, file, weights);
    if (bank->dim != pb_pipeline_dim(setup->pipeline))
        return pb_fail(PB_E_INPUT, "%s: rows have %d values, but its backbone and taps give %d; the bank is damaged", file,
                       bank->dim, pb_pipeline_dim(setup->pipeline));
    return pb_ok();
}

/* The request's texts belong to the bank, which must outlive the setup. */
pb_status pb_bank_fit_open(const pb_job *job, const pb_bank *bank, pb_which which, const char *archive_sha256, pb_setup *setup) {
    pb_request request = {0};
    *setup = (pb_setup){0};
    pb_status status = pb_agree(job->comm, pb_request_read(&bank->attributes, job->options->bank, &request));
    if (pb_failed(&status))
        return status;
    request.archive_sha256 = archive_sha256;
    status = pb_setup_open(job, &request, which, 0, setup);
    if (pb_failed(&status))
        return status;
    status = pb_agree(job->comm, check(job, bank, setup));
    if (pb_failed(&status))
        pb_setup_close(setup);
    return status;
}

pb_status pb_bank_fit_projection(const pb_bank *bank, const char *file, pb_device *device, pb_projection **projection_out) {
    uint64_t seed, projection;
    *projection_out = NULL;
    PB_TRY(pb_attributes_get_u64(&bank->attributes, file, "option.seed", 0, UINT64_MAX, &seed));
    PB_TRY(pb_attributes_get_u64(&bank->attributes, file, "option.projection", 0, 65536, &projection));
    return pb_projection_create(device, seed, bank->dim, (int)projection, projection_out);
}

/* Rows that are on the device at a time: a large bank need not fit there whole. */
enum { ROWS_AT_ONCE = 16384 };

/* `count` <= ROWS_AT_ONCE rows, by way of a buffer on the device, into host memory. */
static pb_status project_some(pb_device *device, pb_projection *projection, float *on_device, const float *rows, size_t count,
                              int dim, float *to) {
    const float *projected;
    PB_TRY(pb_device_upload(device, on_device, rows, count * (size_t)dim * sizeof *rows));
    PB_TRY(pb_projection_apply(projection, on_device, count, &projected));
    return pb_device_download(device, to, projected, count * (size_t)pb_projection_dim(projection) * sizeof *to);
}

/* In portions, so that the device needs room for a portion only, beside what the projection reserves. */
pb_status pb_bank_fit_project(pb_device *device, pb_projection *projection, const float *rows, size_t count, int dim,
                              float **projected) {
    const size_t in = (size_t)dim, out = (size_t)pb_projection_dim(projection),
                 most = count < ROWS_AT_ONCE ? count : ROWS_AT_ONCE;
    float *on_device = NULL;
    PB_TRY(pb_allocate(projected, count * out, sizeof **projected, "projected bank rows"));
    pb_status status = pb_device_alloc(device, most * in * sizeof *rows, &on_device, "bank rows");
    for (size_t done = 0; done < count && !pb_failed(&status); done += most)
        status = project_some(device, projection, on_device, rows + done * in, count - done < most ? count - done : most, dim,
                              *projected + done * out);
    pb_device_release(device, &on_device);
    if (pb_failed(&status))
        pb_release(projected);
    return status;
}
