/* file.c: whole files in, and outputs that are complete or not there (invariant 6).
 *
 * An output goes through these states; each arrow is one system call, and a kill between any two leaves what stands on its left:
 *    nothing --open--> empty --write--> whole --fsync--> on the disk --rename--> final name --fsync of the folder--> done
 * pb_output_begin makes the first step, the caller the second, pb_output_commit the rest. Only the rename touches the final name,
 * and it replaces an older file at once, so that a reader finds either. The flush of the folder makes the name last through a
 * power cut.
 *
 * The room (pb_output_room) moves all temporary files of a process into one folder. Whoever takes that folder away has fenced the
 * process off: its renames find no source (decision 0024). There is no check that could be out of date; unless_fenced only finds
 * a better message afterwards. These settings are of the process, set by the main thread before outputs are begun.
 *
 * Each of these calls, and those that read, link and make folders, has a fault point (io/file.h) in front of it.
 */
#include "io/file.h"

#include "base/fault.h"
#include "base/memory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes that are copied at a time: 64 KiB, on the stack. */
enum { COPY_PIECE = 1 << 16 };

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Exactly `size` bytes, in as many reads as it takes. A file that has become shorter since it was opened is somebody else's
 * doing, and no failure of the machine. */
static pb_status read_fully(const char *path, int descriptor, char *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t got = pb_fault("io.read") ? (errno = EIO, -1) : read(descriptor, bytes + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return pb_fail_errno(errno, path, "cannot read");
        if (got == 0)
            return pb_fail(PB_E_INPUT, "%s: ends after %zu bytes, had %zu when it was opened", path, done, size);
        done += (size_t)got;
    }
    return pb_ok();
}

/* The size is asked of the open file, so that it is of the file that is read. One byte more is allocated, and zeroed, so that
 * text can be used as a string. */
static pb_status read_descriptor(const char *path, int descriptor, size_t most, char **bytes, size_t *size) {
    struct stat facts;
    if (fstat(descriptor, &facts) != 0)
        return pb_fail_errno(errno, path, "cannot examine");
    if (!S_ISREG(facts.st_mode))
        return pb_fail(PB_E_INPUT, "%s: not a regular file", path);
    if ((uintmax_t)facts.st_size > most)
        return pb_fail(PB_E_INPUT, "%s: %jd bytes, more than the %zu allowed here", path, (intmax_t)facts.st_size, most);
    *size = (size_t)facts.st_size;
    PB_TRY(pb_allocate(bytes, *size + 1, 1, path));
    return read_fully(path, descriptor, *bytes, *size);
}

/* What is opened may be a pipe or a device, which the name does not tell; so it is opened without waiting, and then looked at. */
pb_status pb_file_read(const char *path, size_t most, void *bytes_out, size_t *size_out) {
    char *bytes = NULL;
    size_t size = 0;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to wait for the writer of a pipe */
    pb_status status = descriptor < 0 ? pb_fail_errno(errno, path, "cannot open")
                                      : read_descriptor(path, descriptor, most, &bytes, &size);
    if (descriptor >= 0)
        close(descriptor);
    if (pb_failed(&status)) {
        pb_release(&bytes);
        size = 0;
    }
    memcpy(bytes_out, &bytes, sizeof bytes); /* void * stands for the address of any object pointer */
    *size_out = size;
    return status;
}

/* --- names ------------------------------------------------------------------------------------------------------ */

/* snprintf tells the length that it would have had. What does not fit is refused, never cut: a cut path is another file. */
pb_status pb_path_join(const char *folder, const char *name, char *joined) {
    size_t length = strlen(folder);
    const char *slash = length == 0 || folder[length - 1] == '/' ? "" : "/";
    int written = name[0] == '/' ? snprintf(joined, PB_PATH_MAX, "%s", name)
                                 : snprintf(joined, PB_PATH_MAX, "%s%s%s", folder, slash, name);
    if (written >= PB_PATH_MAX)
        return pb_fail(PB_E_INPUT, "%.60s...: path of %d bytes, at most %d are possible", joined, written, PB_PATH_MAX - 1);
    return pb_ok();
}

/* The folder in which `path` stands: "." where it has no slash, "/" below the root. */
static void parent_folder(const char *path, char folder[PB_PATH_MAX]) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(folder, PB_PATH_MAX, ".");
    else
        snprintf(folder, PB_PATH_MAX, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

bool pb_is_folder(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

/* Read-only, or not ours: like a folder without permission, for the user to put right, and no failure of the machine. Only where
 * something is created: EPERM elsewhere means something else. */
static pb_status cannot_create(int error, const char *path, const char *what) {
    if (error == EROFS || error == EPERM)
        return pb_fail(PB_E_INPUT, "%s: %s: %s", path, what, strerror(error));
    return pb_fail_errno(error, path, what);
}

/* Somebody else may make it at the same moment (other ranks do): that it is there is enough. */
static pb_status create_one(const char *path) {
    if (pb_fault("io.mkdir"))
        return pb_fail_errno(ENOSPC, path, "cannot create the folder");
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && pb_is_folder(path)))
        return pb_ok();
    if (errno == EEXIST)
        return pb_fail(PB_E_INPUT, "%s: cannot create the folder: something else stands there", path);
    return cannot_create(errno, path, "cannot create the folder");
}

/* From the top down, cutting the path at each slash in turn; the root's own slash is passed over. */
pb_status pb_folder_create(const char *path) {
    char prefix[PB_PATH_MAX];
    PB_TRY(pb_path_join("", path, prefix));
    for (char *slash = strchr(prefix + (prefix[0] == '/'), '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        /* A parent that is there may be one that we could not create (read-only, not ours). */
        pb_status status = pb_is_folder(prefix) ? pb_ok() : create_one(prefix);
        if (pb_failed(&status))
            return status;
        *slash = '/';
    }
    return pb_is_folder(prefix) ? pb_ok() : create_one(prefix);
}

/* --- complete or not there -------------------------------------------------------------------------------------- */

/* pb_output_room; "": beside the final name. */
static char room[PB_PATH_MAX];
static int room_writer;
static unsigned room_count; /* names given in it */

/* Counting begins anew: names in another room meet nobody's. */
pb_status pb_output_room(const char *folder, int writer) {
    room_writer = writer;
    room_count = 0;
    room[0] = '\0';
    return folder ? pb_path_join("", folder, room) : pb_ok();
}

/* Why a temporary file could not be made or renamed: `status`, unless its room was taken away, which says more. ESTALE: a server
 * of NFS no longer knows the folder. PB_OK passes. */
static pb_status unless_fenced(const char *final, pb_status status) {
    bool fenced = pb_failed(&status) && room[0] && access(room, F_OK) != 0 && (errno == ENOENT || errno == ESTALE);
    return fenced ? pb_fail(PB_E_NO, "%s: not written: a newer run of this job has taken over its state", final) : status;
}

/* Creating the file is the one honest test of "writable", and it comes before hours of work rather than after. O_EXCL: the name
 * is ours, and what stands there after begin has removed a stale one is somebody else's. */
static pb_status create_temporary(const pb_output *output) {
    if (pb_fault("io.create"))
        return pb_fail_errno(ENOSPC, output->final, "cannot create");
    int descriptor = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return cannot_create(errno, output->final, "cannot create");
    close(descriptor);
    return pb_ok();
}

/* Names of temporary files: in a room by writer and count, so that no two outputs of its processes meet; else by the process
 * number beside the final name, where one output a name and process is under construction. */
static pb_status begin(pb_output *output, const char *path) {
    PB_TRY(pb_path_join("", path, output->final));
    if (pb_is_folder(path))
        return pb_fail(PB_E_INPUT, "%s: cannot write: a folder stands there", path);
    int written = room[0] ? snprintf(output->temporary, PB_PATH_MAX, "%s/%d-%u.part", room, room_writer, room_count++)
                          : snprintf(output->temporary, PB_PATH_MAX, "%s.part-%ld", path, (long)getpid());
    if (written >= PB_PATH_MAX)
        return pb_fail(PB_E_INPUT, "%.60s...: path of %d bytes, at most %d are possible", path, written, PB_PATH_MAX - 1);
    unlink(output->temporary);
    return unless_fenced(output->final, create_temporary(output));
}

/* An output whose beginning failed is as it was before: nothing to abandon. */
pb_status pb_output_begin(pb_output *output, const char *path) {
    PB_ASSERT(output->temporary[0] == '\0');
    pb_status status = begin(output, path);
    if (pb_failed(&status))
        output->temporary[0] = '\0';
    return status;
}

void pb_output_abandon(pb_output *output) {
    if (output->temporary[0] != '\0')
        unlink(output->temporary);
    output->temporary[0] = '\0';
}

pb_status pb_output_check(const char *path) {
    pb_output output = {0};
    pb_status status = pb_output_begin(&output, path);
    pb_output_abandon(&output);
    return status;
}

/* fsync of a file or folder, by a descriptor of its own: it flushes what anybody has written to it. shown: the name for messages,
 * which is the final one. Opening may fail because the room is gone, which the caller finds out. */
static pb_status flush_to_disk(const char *path, const char *shown) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return pb_fail_errno(errno, shown, "cannot open to flush it to the disk");
    int result = pb_fault("io.fsync") ? (errno = EIO, -1) : fsync(descriptor);
    /* EINVAL: this kind of file system cannot flush a folder; the rename is then as durable as it gets. */
    pb_status status = result == 0 || errno == EINVAL ? pb_ok() : pb_fail_errno(errno, shown, "cannot flush to the disk");
    close(descriptor);
    return status;
}

/* In a room the file is first renamed into it: if the room was taken away that fails, and nothing is removed. ENOENT may then be
 * of either name, the file's or the room's; unless_fenced tells. */
pb_status pb_output_remove(const char *path) {
    char away[PB_PATH_MAX];
    if (!room[0])
        return unlink(path) == 0 || errno == ENOENT ? pb_ok() : pb_fail_errno(errno, path, "cannot remove");
    int written = snprintf(away, PB_PATH_MAX, "%s/%d-%u.gone", room, room_writer, room_count++);
    if (written >= PB_PATH_MAX)
        return pb_fail(PB_E_INPUT, "%.60s...: path of %d bytes, at most %d are possible", away, written, PB_PATH_MAX - 1);
    /* errno is looked at before the message is made, which may change it. */
    int error = rename(path, away) == 0 ? 0 : errno;
    if (error == 0) {
        unlink(away);
        return pb_ok();
    }
    pb_status status = unless_fenced(path, pb_fail_errno(error, path, "cannot remove"));
    return error == ENOENT && status.code != PB_E_NO ? pb_ok() : status;
}

/* For a file of this run that must not stay after a failure, which is what will be said. */
static void take_back(const char *path) {
    pb_status ignored = pb_output_remove(path);
    (void)ignored;
}

/* The last two steps of an output whose file is on the disk. From the rename on there is no temporary file to take back. */
static pb_status rename_flushed(pb_output *output) {
    char folder[PB_PATH_MAX];
    int result = pb_fault("io.rename") ? (errno = EIO, -1) : rename(output->temporary, output->final);
    if (result != 0)
        return unless_fenced(output->final, pb_fail_errno(errno, output->final, "cannot rename its temporary file to it"));
    output->temporary[0] = '\0';
    parent_folder(output->final, folder);
    pb_status status = flush_to_disk(folder, folder);
    /* A name that may be gone after a power cut is not what was promised; whoever is told "failed" must find nothing. */
    if (pb_failed(&status))
        take_back(output->final);
    return status;
}

/* Flushed before the rename: else a power cut may leave the final name with nothing in it. */
pb_status pb_output_commit(pb_output *output) {
    PB_ASSERT(output->temporary[0] != '\0');
    pb_status status = unless_fenced(output->final, flush_to_disk(output->temporary, output->final));
    if (!pb_failed(&status))
        status = rename_flushed(output);
    pb_output_abandon(output);
    return status;
}

/* Both are on the disk before either gets its name. The older marker goes before the companion changes, and the new one comes
 * last: whoever finds a marker at any moment finds the companion that belongs to it. */
static pb_status commit_pair(pb_output *marker, pb_output *companion) {
    PB_TRY(unless_fenced(companion->final, flush_to_disk(companion->temporary, companion->final)));
    PB_TRY(unless_fenced(marker->final, flush_to_disk(marker->temporary, marker->final)));
    PB_TRY(pb_output_remove(marker->final));
    PB_TRY(rename_flushed(companion));
    pb_status status = rename_flushed(marker);
    if (pb_failed(&status))
        take_back(companion->final);
    return status;
}

/* Whatever happens, no temporary file of either is left. */
pb_status pb_output_commit_pair(pb_output *marker, pb_output *companion) {
    PB_ASSERT(marker->temporary[0] != '\0' && companion->temporary[0] != '\0');
    pb_status status = commit_pair(marker, companion);
    pb_output_abandon(marker);
    pb_output_abandon(companion);
    return status;
}

/* All bytes, in as many writes as it takes. */
static pb_status write_fully(int descriptor, const char *shown, const char *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t put = pb_fault("io.write") ? (errno = ENOSPC, -1) : write(descriptor, bytes + done, size - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return pb_fail_errno(errno, shown, "cannot write");
        done += (size_t)put;
    }
    return pb_ok();
}

/* What writes the content of a file into an open descriptor. */
typedef pb_status (*fill)(int descriptor, const char *shown, const void *context);

/* Opened anew: the file is there since begin. A failure of close counts, unless one of writing came before. */
static pb_status write_temporary(const pb_output *output, fill write_content, const void *context) {
    int descriptor = open(output->temporary, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (descriptor < 0)
        return pb_fail_errno(errno, output->final, "cannot open for writing");
    pb_status status = write_content(descriptor, output->final, context);
    int result = close(descriptor); /* some network file systems report a full disk only here */
    if (pb_fault("io.close"))
        result = -1, errno = ENOSPC;
    if (result != 0)
        pb_keep_first(&status, pb_fail_errno(errno, output->final, "cannot close"));
    return status;
}

/* Begin, fill, commit; pb_output_abandon after commit does nothing. */
static pb_status write_file(const char *path, fill write_content, const void *context) {
    pb_output output = {0};
    PB_TRY(pb_output_begin(&output, path));
    pb_status status = write_temporary(&output, write_content, context);
    if (!pb_failed(&status))
        status = pb_output_commit(&output);
    pb_output_abandon(&output);
    return status;
}

/* What pb_file_write writes. */
typedef struct memory {
    const void *bytes;
    size_t size;
} memory;

static pb_status write_memory(int descriptor, const char *shown, const void *context) {
    const memory *content = context;
    return write_fully(descriptor, shown, content->bytes, content->size);
}

pb_status pb_file_write(const char *path, const void *bytes, size_t size) {
    memory content = {bytes, size};
    return write_file(path, write_memory, &content);
}

/* A file that is copied: its name and its open descriptor. */
typedef struct source {
    const char *path;
    int descriptor;
} source;

/* Until the end of the source, which may be of any length and on another file system. */
static pb_status write_pieces(int descriptor, const char *shown, const void *context) {
    const source *from = context;
    char piece[COPY_PIECE];
    for (;;) {
        ssize_t got = pb_fault("io.read") ? (errno = EIO, -1) : read(from->descriptor, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return pb_fail_errno(errno, from->path, "cannot read");
        if (got == 0)
            return pb_ok();
        PB_TRY(write_fully(descriptor, shown, piece, (size_t)got));
    }
}

pb_status pb_file_copy(const char *from, const char *path) {
    source content = {from, open(from, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (content.descriptor < 0)
        return pb_fail_errno(errno, from, "cannot open");
    pb_status status = write_file(path, write_pieces, &content);
    close(content.descriptor);
    return status;
}

/* Whatever keeps it from being linked (EXDEV, EMLINK, EPERM, no such thing here), a copy serves; if that fails too, its reason is
 * told. */
pb_status pb_file_link(const char *from, const char *path, bool *copied) {
    *copied = pb_fault("io.link") || link(from, path) != 0;
    return *copied ? pb_file_copy(from, path) : pb_ok();
}

pb_status pb_folder_flush(const char *path) { return flush_to_disk(path, path); }

/* --- listing and removing folders ------------------------------------------------------------------------------- */

/* NULL: the end, or a failure; errno alone tells them apart, so it is cleared before each step. */
static const struct dirent *next_entry(DIR *names) {
    errno = pb_fault("io.list") ? EIO : 0;
    return errno == 0 ? readdir(names) : NULL;
}

pb_status pb_folder_each(const char *path, bool *there_out, pb_folder_visitor visit, void *context) {
    DIR *names = opendir(path);
    bool missing = !names && errno == ENOENT;
    if (there_out)
        *there_out = !missing;
    if (!names)
        return missing && there_out ? pb_ok() : pb_fail_errno(errno, path, "cannot list");
    pb_status status = pb_ok();
    const struct dirent *entry;
    while (!pb_failed(&status) && (entry = next_entry(names)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = visit(context, dirfd(names), entry->d_name);
    if (!pb_failed(&status) && errno != 0)
        status = pb_fail_errno(errno, path, "cannot list");
    closedir(names);
    return status;
}

/* A visitor of the folder that is the context. lstat: a link is removed, not what it points to. ENOENT: somebody else was faster,
 * and that is as well. */
static pb_status remove_entry(void *context, int folder, const char *name) {
    char path[PB_PATH_MAX];
    struct stat facts;
    (void)folder;
    PB_TRY(pb_path_join(context, name, path));
    if (lstat(path, &facts) != 0)
        return errno == ENOENT ? pb_ok() : pb_fail_errno(errno, path, "cannot examine");
    if (S_ISDIR(facts.st_mode))
        return pb_folder_remove(path);
    return unlink(path) == 0 || errno == ENOENT ? pb_ok() : pb_fail_errno(errno, path, "cannot remove");
}

/* Depth first; calls itself for folders within. What appeared meanwhile, or is held as .nfs... by a node of NFS, keeps the folder
 * from being removed, which is no error (io/file.h). */
pb_status pb_folder_remove(const char *path) {
    bool there;
    pb_status status = pb_folder_each(path, &there, remove_entry, (void *)(uintptr_t)path); /* only read */
    bool kept = !pb_failed(&status) && there && rmdir(path) != 0 && errno != ENOENT;
    if (kept && errno != ENOTEMPTY && errno != EEXIST && errno != EBUSY)
        status = pb_fail_errno(errno, path, "cannot remove");
    return status;
}
