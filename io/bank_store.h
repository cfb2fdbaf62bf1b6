/* bank_store.h: the versions of one bank in a folder, of which the last is current. Format: docs/FORMATS.md.
 *
 *   STORE/NAME/versions/000001/   bank.h5, bank.h5.sha256, meta.json
 *   STORE/NAME/current            a link to the last version, for people and other programs
 *   STORE/NAME/lock               io/lock_file.h
 *
 * A version is made under another name, flushed to the disk, and appears, complete, by one rename of its folder; afterwards it
 * never changes. **The current version is the one with the highest number.** So one rename publishes and makes current, and it is
 * a compare-and-swap: whoever publishes says which version it saw as the current one and takes the next number, and a rename to a
 * folder that is there fails, on every file system. The slower of two publishers, and one that was asleep meanwhile, is told so
 * and can look again; it overwrites nothing and is never current. No lock is needed for that (docs/decisions/0019).
 *
 * Readers take no lock. They look up the current version once and read its files by its own name, so that nothing that is
 * published meanwhile concerns them; pb_bank_store_gc leaves what they may still be reading. Not collective.
 *
 * Fault points: those of io/file.h, for the folders and links of the store too.
 *
 * Publishing:
 *     pb_bank_store_lock       so that two jobs do not judge in vain; may not be had
 *     pb_bank_store_head       the version that is current: what the new bank is judged against
 *     pb_bank_store_add        after that one: published, or another was faster
 *     pb_bank_store_point      the link for people
 *     pb_lock_release
 * Reading: pb_bank_store_current once, then pb_bank_store_path of that version, for as long as the bank is in use.
 */
#ifndef PB_IO_BANK_STORE_H
#define PB_IO_BANK_STORE_H

#include "base/status.h"
#include "io/bank_version.h"
#include "io/file.h"
#include "io/lock_file.h"

#include <stddef.h>

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* The current version of the store `store` (a folder STORE/NAME). Errors: PB_E_INPUT when it is no store, has no version yet, or
 * its last version's meta.json is damaged. */
PB_CHECKED pb_status pb_bank_store_current(const char *store, pb_bank_version *version_out);

/* As pb_bank_store_current, but a store without a version, or no folder at all, is no error: name is then "". */
PB_CHECKED pb_status pb_bank_store_head(const char *store, pb_bank_version *version_out);

/* A version by its name. Errors: PB_E_INPUT when there is none of that name. */
PB_CHECKED pb_status pb_bank_store_find(const char *store, const char *name, pb_bank_version *version_out);

/* All versions, oldest first; those that vanish meanwhile (gc) are left out. Out: *versions_out, owned by the caller
 * (pb_release). Errors: PB_E_INPUT when it is no store or a version is damaged. */
PB_CHECKED pb_status pb_bank_store_list(const char *store, pb_bank_version **versions_out, size_t *count_out);

/* The bank file of a version. Errors: PB_E_INPUT when the path is too long. */
PB_CHECKED pb_status pb_bank_store_path(const char *store, const char *name, char path[PB_PATH_MAX]);

/* --- changing --------------------------------------------------------------------------------------------------- */

/* Takes the store's lock; create: makes the store when it is not there. lock->held may be false: io/lock_file.h. Errors:
 * pb_lock_take's; PB_E_INPUT when the store is not there. */
PB_CHECKED pb_status pb_bank_store_lock(const char *store, bool create, double wait_s, const char *who, pb_lock *lock);

/* How the bank's file gets into a version: as a copy, or as another name of the same file, which must then be one that nobody
 * changes. */
typedef enum pb_place { PB_PLACE_COPY, PB_PLACE_LINK } pb_place;

/* Publishes the bank file `bank`: makes it the version after `after`, which the caller saw as the current one ("": there was
 * none). The file is copied, or, with PB_PLACE_LINK, shared with another version where the file system can. `version` says
 * everything but its name, which it gets here; its bank_sha256 must be that of the copy.
 * Errors, nothing then being published: PB_E_SYSTEM when another was published meanwhile, or for the machine; PB_E_INPUT when the
 * bank's SHA-256 is another. One exception: when the names could not be flushed to the disk after the rename, the version is
 * there (a reader may have it already), and publishing again is told that it is current. */
PB_CHECKED pb_status pb_bank_store_add(const char *store, const char *after, const char *bank, pb_place place,
                                       pb_bank_version *version);

/* Makes the link `current` name the current version, if it does not. For people: it is switched by one rename, after the fact. */
PB_CHECKED pb_status pb_bank_store_point(const char *store);

/* Called for each version that is removed, after it is gone; name is the caller's during the call only. */
typedef void (*pb_version_removed)(void *context, const char *name);

/* Removes versions. Kept are: the last `keep` (at least one), the parents of these, and every version that was current less than
 * grace_s seconds ago, since a job that began then may still read it. Also removes what publishers that died left, when it is
 * that old. A version goes by one rename first, so that it is never seen in part. lock: of this store. Errors: PB_E_INPUT,
 * PB_E_SYSTEM; what was removed until then stays removed. */
PB_CHECKED pb_status pb_bank_store_gc(const char *store, const pb_lock *lock, int64_t keep, double grace_s,
                                      pb_version_removed report, void *context);

#endif
