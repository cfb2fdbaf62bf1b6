/* verify_bank.h: private to jobs/: the certificate of a bank, checked. */
#ifndef PB_JOBS_VERIFY_BANK_H
#define PB_JOBS_VERIFY_BANK_H

#include "jobs/job.h"

/* Collective. Extracts the training images of --archive again and compares with --bank:
 *   - every bank row is the feature of the patch that it names, bit for bit;
 *   - the covering radius, recomputed by a nearest-row search over all training patches, is the one in the bank, bit for bit, or,
 * where the bank says that it has a bound, not above it. The search shares no code with the selection but the canonical distance.
 * Of a bank from several archives --archive is one of them: its rows are compared, and no patch of it is outside the radius; who
 * has verified all of them has verified the bank. Where the bank says that patches were left out (as noise, or forgotten), the
 * radius is that of the others: no more than were left out lie outside, and the farthest inside is at it. Every rank reads the
 * whole bank. Prints the verdict on rank 0. PB_E_NO when something differs. Errors, agreed: those of opening; PB_E_INPUT for
 * another archive than the bank's; PB_E_USAGE without --weights. */
PB_CHECKED pb_status pb_verify_bank(const pb_job *job);

#endif
