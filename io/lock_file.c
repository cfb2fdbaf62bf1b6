/* lock_file.c: an fcntl lock of the open file description (F_OFD_SETLK), which is of this descriptor and not of the process:
 * closing another descriptor of the file does not release it, as it would a classic one, and two threads exclude each other. It
 * goes with its holder. What is written into the file is for people, and the file's time is read as the server's clock. */
#include "io/lock_file.h"

#include "base/clock.h"
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Bytes of the holder's line. Between two tries: 50 ms, for a lock that is held for seconds or minutes. */
enum { HOLDER_MAX = 256, POLL_NS = 50 * 1000 * 1000 };

/* 0, or an errno. EAGAIN, EACCES: another holds it. */
static int try_lock(int descriptor) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (pb_fault("io.lock"))
        return ENOLCK;
    return fcntl(descriptor, F_OFD_SETLK, &whole) == 0 ? 0 : errno;
}

/* EINTR: a signal came while the system asked the server; worth another try. */
static bool is_taken(int error) { return error == EAGAIN || error == EACCES || error == EINTR; }

/* Lustre mounted without flock says ENOSYS, NFS without a lock daemon ENOLCK, some others EOPNOTSUPP or EINVAL. */
static bool has_no_locks(int error) { return error == ENOSYS || error == ENOLCK || error == EOPNOTSUPP || error == EINVAL; }

/* Who holds it, as far as the file says. */
static pb_status taken(const char *path, int descriptor, double wait_s) {
    char holder[HOLDER_MAX];
    ssize_t size = pread(descriptor, holder, sizeof holder - 1, 0);
    holder[size > 0 ? size : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    return pb_fail(PB_E_SYSTEM, "%s: is held, after %g s of waiting, by %s; try again when it is done", path, wait_s,
                   holder[0] ? holder : "a process that does not say who it is");
}

/* Polls, because a wait within fcntl has no limit of time, and because servers of NFS 3 forget who waits. Tries once even if
 * wait_s is 0. Sets lock->held: false where the file system has no locks, which is no failure. */
static pb_status wait_for(const char *path, double wait_s, pb_lock *lock) {
    const struct timespec pause = {.tv_nsec = POLL_NS};
    double end_s = pb_clock_seconds() + wait_s;
    int error;
    while (is_taken(error = try_lock(lock->descriptor)) && pb_clock_seconds() < end_s)
        nanosleep(&pause, NULL);
    if (is_taken(error))
        return taken(path, lock->descriptor, wait_s);
    lock->held = error == 0;
    return lock->held || has_no_locks(error) ? pb_ok() : pb_fail_errno(error, path, "cannot lock");
}

/* Who holds it is for people only, so failing to say it is no failure. */
static void sign(int descriptor, const char *who) {
    char line[HOLDER_MAX];
    int length = snprintf(line, sizeof line, "%.200s\n", who);
    /* Emptied first: the last holder's line may have been longer. */
    if (ftruncate(descriptor, 0) != 0 || pwrite(descriptor, line, (size_t)length, 0) != length)
        return;
}

/* The file is touched, so that its time is that of the server whose clock dates all other files. */
static pb_status read_clock(const char *path, pb_lock *lock) {
    struct stat facts;
    if (futimens(lock->descriptor, NULL) != 0 || fstat(lock->descriptor, &facts) != 0)
        return pb_fail_errno(errno, path, "cannot touch");
    lock->now_s = (double)facts.st_mtim.tv_sec + 1e-9 * (double)facts.st_mtim.tv_nsec;
    return pb_ok();
}

/* The file is opened for writing, since a lock for writing needs that, and never removed: who waits has it open. */
pb_status pb_lock_take(const char *path, double wait_s, const char *who, pb_lock *lock) {
    PB_ASSERT(!lock->open);
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0 && errno == EROFS)
        return pb_fail(PB_E_INPUT, "%s: cannot open: %s", path, strerror(errno));
    if (descriptor < 0)
        return pb_fail_errno(errno, path, "cannot open");
    *lock = (pb_lock){.descriptor = descriptor, .open = true};
    pb_status status = wait_for(path, wait_s, lock);
    if (!pb_failed(&status))
        status = read_clock(path, lock);
    if (pb_failed(&status))
        pb_lock_release(lock);
    else
        sign(descriptor, who);
    return status;
}

void pb_lock_release(pb_lock *lock) {
    if (lock->open)
        close(lock->descriptor); /* which releases the lock: nobody else has this open file description */
    *lock = (pb_lock){0};
}
