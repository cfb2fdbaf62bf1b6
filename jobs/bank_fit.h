/* bank_fit.h: private to jobs/: features made the way a bank's were, and the proof that they are. What score, verify and update
 * begin with.
 *
 * A bank says how its features were made (docs/FORMATS.md): options, taps, weights. Order of calls: pb_bank_fit_read,
 * pb_bank_fit_open, and where selection's space is wanted pb_bank_fit_projection and pb_bank_fit_project. */
#ifndef PB_JOBS_BANK_FIT_H
#define PB_JOBS_BANK_FIT_H

#include "coreset/projection.h"
#include "io/bank_file.h"
#include "io/hash.h"
#include "jobs/bank_choice.h"
#include "jobs/setup.h"

/* Collective. Reads this rank's shard of the chosen bank, rows by pb_partition, or all of it. *rows: in the file, at least one.
 * sha256: of the file. Errors, agreed: pb_bank_read's; PB_E_INPUT when it has no rows, the ranks see different files, or it is
 * not the file that was published as this version. */
PB_CHECKED pb_status pb_bank_fit_read(const pb_bank_choice *choice, bool whole, pb_bank *bank, uint64_t *rows,
                                      char sha256[PB_SHA256_TEXT]);

/* Collective. Opens archive, weights, device and pipeline so that features are made as the bank's were: its attributes say how.
 * archive_sha256: the edition of the archive; NULL: the newest.
 * Errors, agreed, the setup then being empty: PB_E_INPUT when the bank does not say, or other weights than the bank's are given.
 */
PB_CHECKED pb_status pb_bank_fit_open(const pb_job *job, const pb_bank *bank, pb_which which, const char *archive_sha256,
                                      pb_setup *setup);

/* Makes the projection that the bank's selection looked through: its attributes say which. Not collective. Errors: PB_E_INPUT
 * when they do not; the device's. Owned by the caller (pb_projection_free). */
PB_CHECKED pb_status pb_bank_fit_projection(const pb_bank *bank, const char *file, pb_device *device,
                                            pb_projection **projection_out);

/* Projects `count` rows of a bank: host memory, [count][dim], to [count][dim of the projection], *projected owned by the caller
 * (pb_release). A bank's rows are the features that selection projected, bit for bit, and the projection is canonical, so these
 * are the bits that selection saw. Not collective. Errors: PB_E_SYSTEM, the device's; *projected is NULL then. */
PB_CHECKED pb_status pb_bank_fit_project(pb_device *device, pb_projection *projection, const float *rows, size_t count, int dim,
                                         float **projected);

#endif
