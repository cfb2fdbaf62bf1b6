/* gate.h: private to jobs/: may this bank become the current one? Not collective. docs/ARCHITECTURE.md, "The bank store", says
 * how publishing uses the answer. */
#ifndef PB_JOBS_GATE_H
#define PB_JOBS_GATE_H

#include "io/bank_store.h"
#include "jobs/options_table.h"

/* Judges the bank with SHA-256 `bank_sha256` by --results and, when the store has a current version (name not ""), against that
 * one's by --current-results. Its figure must be at least --floor and at least the current one's less --margin. The figure of
 * --gate auroc is eval's AUROC; that of false-alarms the share of the normal images whose score is not above --threshold.
 *
 * Figures are compared only when they are of the same: both results must be of these two banks (by SHA-256), of one archive, and
 * of the same images with the same labels, scored or not.
 *
 * Out: record, filled for meta.json, also when the answer is no. Errors: PB_E_NO with the reason; PB_E_SYSTEM when
 * --current-results are of another version of the store, so that scoring again helps; PB_E_INPUT, PB_E_USAGE for all else. */
PB_CHECKED pb_status pb_gate_judge(const pb_job_options *options, const char *bank_sha256, const pb_bank_version *current,
                                   pb_gate_record *record);

#endif
