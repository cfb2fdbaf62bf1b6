/* store_session.h: private to jobs/: a job that changes a bank store: who it is, the lock, what it found. Not collective. */
#ifndef PB_JOBS_STORE_SESSION_H
#define PB_JOBS_STORE_SESSION_H

#include "io/bank_store.h"
#include "jobs/options_table.h"

/* Zero it; pb_session_end makes it that again. */
typedef struct pb_session {
    const pb_job_options *options; /* borrowed */
    pb_lock lock;                  /* held is false where the file system has no locks */
    pb_generation generation; /* of --generation */
    pb_bank_version current;  /* name "": the store is empty */
} pb_session;

enum { PB_SESSION_WHO = 256 };

/* This process in one line for people, with its generation unless that is NULL: who holds a lock. */
void pb_session_describe(const pb_generation *generation, char who[PB_SESSION_WHO]);

/* Takes the store's lock and looks up its current version. create: makes a store that is not there. Warns where the file system
 * has no locks: the store is safe without, and the slower of two jobs is then told to try again. Errors: those of
 * pb_bank_store_lock and pb_bank_store_head; PB_E_USAGE for a generation that is none. pb_session_end follows in any case. */
PB_CHECKED pb_status pb_session_begin(const pb_job_options *options, bool create, pb_session *session);

/* Fencing: whether this job may still change the store. It may not when its generation is older than the current version's: a
 * later job was there; nor, after a rollback, when it is the same: what that job published is what was taken back. Where
 * generation 0 stands on the current version's side, nobody is fenced off. Errors: PB_E_NO with the reason. */
PB_CHECKED pb_status pb_session_check_generation(const pb_session *session);

/* Gives the lock back. */
void pb_session_end(pb_session *session);

/* The version, who publishes it and when, into the parts of it that are not of the bank. */
void pb_session_sign(pb_generation generation, pb_bank_version *version);

/* The answer of a job that may say no, on standard output: "STORE: refused: reason" when status is PB_E_NO. Returns status. */
pb_status pb_session_say_no(const pb_job_options *options, pb_status status);

#endif
