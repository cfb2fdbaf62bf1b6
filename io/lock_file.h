/* lock_file.h: one process at a time, across the nodes that share a file system, by a lock that dies with its holder.
 *
 * The lock is one of fcntl(2) (an open file description lock) on a file that stays: the kernel, or the server of NFS 4, releases
 * it when the holder dies, so nothing ever has to be judged stale and broken by force. Not every file system has such locks, and
 * some have them on one node only (docs/decisions/0019): nothing that must never happen may depend on one. It saves two jobs from
 * doing the same work and one of them from doing it in vain. Not collective.
 *
 * Fault point: io.lock, the lock is refused as by a file system without locks                        ENOLCK   no failure
 */
#ifndef PB_IO_LOCK_FILE_H
#define PB_IO_LOCK_FILE_H

#include "base/status.h"

/* A lock, or its absence. Zero it; pb_lock_release makes it that again. */
typedef struct pb_lock {
    int descriptor;
    bool open;    /* descriptor is one */
    bool held;    /* false after pb_lock_take: this file system has no locks */
    double now_s; /* the moment of taking by the clock that dates files, seconds since 1970 */
} pb_lock;

/* Opens or creates the file `path` and waits, at most `wait_s` seconds, until no other process holds it. `who` is written into
 * it, one line for people who wonder who holds it. Errors: PB_E_SYSTEM with the holder's line when another holds it all the time;
 * PB_E_INPUT, PB_E_SYSTEM when the file cannot be written; nothing is held then. */
PB_CHECKED pb_status pb_lock_take(const char *path, double wait_s, const char *who, pb_lock *lock);

/* Gives it back and zeroes it; the file stays. Safe on a zeroed lock. */
void pb_lock_release(pb_lock *lock);

#endif
