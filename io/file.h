/* file.h: whole files, and output files that are either complete or not there.
 *
 * Nothing half-written ever stands under a final name: an output is written as "<name>.part-<pid>" beside its final place, or
 * into a folder for such files (pb_output_room), flushed to the disk, and renamed; a failure removes it. Not collective.
 *
 * Fault points (base/fault.h) of this room; each reports once what the operating system would:
 *   io.read    read(2) of an input file                                              EIO      PB_E_SYSTEM
 *   io.mkdir   creating a folder                                                     ENOSPC   PB_E_SYSTEM
 *   io.create  creating a temporary file                                             ENOSPC   PB_E_SYSTEM
 *   io.write   one write: of a plain file, of an HDF5 dataset or attribute           ENOSPC   PB_E_SYSTEM
 *   io.close   closing a written plain or HDF5 file                                  ENOSPC   PB_E_SYSTEM
 *   io.fsync   flushing a temporary file, and then its folder, to the disk           EIO      PB_E_SYSTEM
 *   io.list    reading the next name of a folder, or its end                         EIO      PB_E_SYSTEM
 *   io.link    making a hard link                                                    EMLINK   no failure: copied
 *   io.rename  the rename to the final name                                          EIO      PB_E_SYSTEM
 *
 * An output, from its beginning to its end:
 *     pb_output output = {0};
 *     PB_TRY(pb_output_begin(&output, path));           what cannot be written is known here
 *     status = ...                                      write output.temporary, and close it
 *     if (!pb_failed(&status))
 *         status = pb_output_commit(&output);           flushed, renamed, the name flushed
 *     pb_output_abandon(&output);                       nothing after a commit; else the file goes
 */
#ifndef PB_IO_FILE_H
#define PB_IO_FILE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* Reads a regular file whole. most: bytes allowed. Out: *bytes, owned by the caller (pb_release), followed by one 0 byte that
 * *size does not count. Errors: PB_E_INPUT (missing, not a regular file, larger than most), PB_E_SYSTEM. */
PB_CHECKED pb_status pb_file_read(const char *path, size_t most, void *bytes_out, size_t *size_out);

/* Bytes of a path with the closing 0, as Linux has it (PATH_MAX). */
enum { PB_PATH_MAX = 4096 };

/* An output under construction. Zero it, then use it between begin and commit or abandon. */
typedef struct pb_output {
    char final[PB_PATH_MAX];     /* the name it gets at last */
    char temporary[PB_PATH_MAX]; /* the name to write to; "" when there is none */
} pb_output;

/* Where this process's temporary files are from now on: in `folder`, which must be on the file system of the outputs, instead of
 * beside them (NULL). writer: tells the processes that share the folder apart. Whoever takes the folder away, by one rename of
 * it, keeps everything unfinished in it from ever getting a final name: that is how an older run of a job is fenced off
 * (io/state.h). Begin and commit then fail with PB_E_NO. No output may be under construction. Errors: PB_E_INPUT when the name is
 * too long. */
PB_CHECKED pb_status pb_output_room(const char *folder, int writer);

/* Chooses the temporary name beside `path` (or in pb_output_room's folder), removes a stale one of this process and creates the
 * file, empty: what cannot be written is found before the work and not after it. Open it by a call that truncates, not by one
 * that insists on a new file. The folder must exist. Errors: PB_E_INPUT when the folder is missing, not writable, the name too
 * long, or a folder stands under it. */
PB_CHECKED pb_status pb_output_begin(pb_output *output, const char *path);

/* Whether `path` could be written: begins and gives up. A night's work must not end at a folder that cannot be written: that is
 * found out first. Errors: those of pb_output_begin. */
PB_CHECKED pb_status pb_output_check(const char *path);

/* Flushes the closed temporary file to the disk, renames it, and flushes its folder. On error it is removed; an older file under
 * the final name stays, unless it was the folder that could not be flushed after the rename. There is no temporary file in either
 * case. Errors: PB_E_SYSTEM, PB_E_INPUT; PB_E_NO where this run was fenced off. */
PB_CHECKED pb_status pb_output_commit(pb_output *output);

/* Commits two closed temporary files that belong together, or, on error, neither. Whoever finds the marker finds its own
 * companion, even after a kill at any moment: an older marker goes first, the new one comes last. */
PB_CHECKED pb_status pb_output_commit_pair(pb_output *marker, pb_output *companion);

/* Removes the temporary file, if any. Safe after commit and on a zeroed output. */
void pb_output_abandon(pb_output *output);

/* Removes the file `path`, if it is there. With pb_output_room by way of the room, by a rename, so that a run that was fenced off
 * removes nothing of its successor's: PB_E_NO then. */
PB_CHECKED pb_status pb_output_remove(const char *path);

/* Writes a whole small file by begin, write, commit. bytes: host memory, borrowed. Errors: those of pb_output_begin and
 * pb_output_commit, and PB_E_SYSTEM (disk full); an older file then stays. */
PB_CHECKED pb_status pb_file_write(const char *path, const void *bytes, size_t size);

/* Copies the file `from` to `path` by begin, write, commit, a piece at a time. Errors: those of reading and writing. */
PB_CHECKED pb_status pb_file_copy(const char *from, const char *path);

/* Makes `path`, which is not there, another name of the file `from` (a hard link), or a copy of it where that cannot be: another
 * file system, or one without hard links. *copied tells which. Errors: those of pb_file_copy. */
PB_CHECKED pb_status pb_file_link(const char *from, const char *path, bool *copied);

/* Whether a folder stands at `path`, or a link to one. What cannot be looked at is none. */
bool pb_is_folder(const char *path);

/* Called with a name in a folder, and the folder's open descriptor, for renameat(2) and the like: it stays the same folder,
 * whatever its path means by now. A failure ends the listing. */
typedef pb_status (*pb_folder_visitor)(void *context, int folder, const char *name);

/* Calls `visit` for each name in the folder `path` but "." and "..", in no order; of names that come or go meanwhile each may be
 * met or not. That the names cannot all be read is a failure, never taken for their end: a run that is not seen is not fenced
 * off. there_out: NULL, or whether the folder is there; that it is not (ENOENT) is then no failure. Errors: PB_E_INPUT when it is
 * not there, no folder or closed to us, PB_E_SYSTEM; the visitor's. */
PB_CHECKED pb_status pb_folder_each(const char *path, bool *there_out, pb_folder_visitor visit, void *context);

/* Flushes the folder `path` itself, that is, the names in it, to the disk. Where the file system cannot do that (EINVAL), this is
 * no error. Errors: PB_E_SYSTEM, PB_E_INPUT when it is not there. */
PB_CHECKED pb_status pb_folder_flush(const char *path);

/* Creates the folder `path` and its missing parents. Errors: PB_E_INPUT when something else stands there, or what is above it is
 * missing rights or read-only. */
PB_CHECKED pb_status pb_folder_create(const char *path);

/* Removes a folder with everything in it; one that is not there is fine. Links are removed, not followed. What is still open on a
 * node of NFS stays, as a file .nfs..., and then so does the folder, which is no error. */
PB_CHECKED pb_status pb_folder_remove(const char *path);

/* "folder/name" into joined (PB_PATH_MAX bytes, overlapping neither); an absolute name is taken as it is, and so is one of an
 * empty folder. Errors: PB_E_INPUT when too long. */
PB_CHECKED pb_status pb_path_join(const char *folder, const char *name, char *joined);

#endif
