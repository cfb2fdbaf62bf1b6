/* status.h: what went wrong, where, and what the batch system should do next.
 *
 * Three kinds of trouble are kept apart everywhere in patchbank:
 *   - a programming error: PB_ASSERT, always compiled in, aborts the process (Open MPI then ends the whole job);
 *   - a bad input item (one image of many): data, not a failure. It is counted and reported by the job, and only a number
 *     over the job's budget becomes a status;
 *   - an operating error (a missing file, a full disk): a pb_status that is returned, and under MPI agreed on by all ranks
 *     (mpi/comm.h, pb_agree) before anybody acts on it.
 *
 * A message is one line that says what is wrong, where, and where possible what to do; it never ends with a full stop or a
 * newline, and the path or item comes first ("a.jpg: truncated JPEG ..."). Control characters in it (a file name may hold a
 * newline) become '?'.
 */
#ifndef PB_BASE_STATUS_H
#define PB_BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>

/* The one list of result codes: name, process exit code, severity, meaning for people, advice for a batch script. Exit codes
 * follow sysexits.h where it has a fitting one; the list is public (docs/ARCHITECTURE.md) and is only ever extended.
 * The severity decides which of several failures a job reports: what must never be retried before what may be, so that a batch
 * script does not repeat a job for one rank's full disk when another rank's input is bad. */
#define PB_CODES(X)                                                                              \
    X(PB_OK, 0, 0, "done", "go on")                                                              \
    X(PB_E_NO, 1, 1, "the answer is no (verify found damage, a bank was refused)", "look at the report")             \
    X(PB_E_USAGE, 64, 4, "unknown or wrong option", "never retry: correct the command")          \
    X(PB_E_INPUT, 65, 4, "bad input data", "never retry: correct the input")                     \
    X(PB_E_UNSUPPORTED, 69, 4, "not supported by this build or device", "never retry here")      \
    X(PB_E_INTERNAL, 70, 5, "a defect of patchbank", "never retry: report it")                   \
    X(PB_E_SYSTEM, 74, 3, "the machine failed (disk full, out of memory, a peer lost)", "retry") \
    X(PB_E_REQUEUE, 75, 2, "stopped early, state saved", "requeue: it goes on from there")

/* What happened, as a number: the process's exit code. */
typedef enum pb_code {
#define PB_CODE_ENUM(name, exit_code, severity, meaning, advice) name = (exit_code),
    PB_CODES(PB_CODE_ENUM)
#undef PB_CODE_ENUM
} pb_code;

/* Bytes of a message, with the closing 0: a path of several hundred bytes and what is wrong with it. */
enum { PB_MESSAGE_MAX = 1024 };

/* A result by value. Owns nothing; may be copied freely and sent between ranks as bytes of the same build. About 1.1 KiB: made
 * once for a step of a job, not for a patch (docs/decisions/0002). */
typedef struct pb_status {
    pb_code code;                 /* PB_OK or the kind of trouble */
    int line;                     /* source line that found it, 0 when PB_OK */
    int rank;                     /* rank that failed, set by pb_agree; -1 until then and when PB_OK */
    char file[48];                /* source file that found it, tail of its path */
    char message[PB_MESSAGE_MAX]; /* one line, empty when PB_OK */
} pb_status;

/* For whatever returns a status: dropping it is a warning, and so an error of the build. */
#define PB_CHECKED __attribute__((warn_unused_result))

/* The successful status. */
pb_status pb_ok(void);

/* A failed status with a printf-formatted message, cut at PB_MESSAGE_MAX - 1 bytes, naming the source line of the macro. code
 * must not be PB_OK (asserted). Not collective, like everything here; thread safe. No memory is taken, so that lack of memory can
 * be reported. */
#define pb_fail(code, ...) pb_fail_at((code), __FILE__, __LINE__, __VA_ARGS__)
pb_status pb_fail_at(pb_code code, const char *file, int line, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* As pb_fail(PB_E_SYSTEM or PB_E_INPUT, "<path>: <what>: <strerror(error)>"): ENOENT, ENOTDIR, EISDIR, EACCES and ENAMETOOLONG
 * are the user's input, everything else (ENOSPC, EIO, EMFILE ...) is the machine's. error: an errno, not 0. */
#define pb_fail_errno(error, path, what) pb_fail_errno_at((error), __FILE__, __LINE__, (path), (what))
pb_status pb_fail_errno_at(int error, const char *file, int line, const char *path, const char *what);

/* Whether a status is anything but PB_OK; an answer "no" (PB_E_NO) counts as failed, and so does being asked to stop
 * (PB_E_REQUEUE). */
static inline bool pb_failed(pb_status const *status) { return status->code != PB_OK; }

/* Keeps the first failure: *kept becomes `next` only if *kept is PB_OK. For cleanup paths, which must run to their end: the first
 * failure is the reason, what follows is mostly its consequence. */
void pb_keep_first(pb_status *kept, pb_status next);

/* Puts "<prefix>: " before the message of a failed status (an image's path, say), cut as above; leaves PB_OK alone. */
pb_status pb_prefix(pb_status status, const char *prefix);

/* Name and advice of a code, from the list above: "PB_E_INPUT", "never retry: ..."; "unknown code" of any other number. Static
 * strings. */
const char *pb_code_name(pb_code code);
const char *pb_code_advice(pb_code code);

/* Severity of a code, from the list above: 0 for PB_OK only. code must be one of the list. */
int pb_code_severity(pb_code code);

/* Returns from the calling function with the status when `call` failed. Only where nothing has to be released and no peer rank
 * waits in a collective; elsewhere test, clean up, and agree. The call is evaluated once. */
#define PB_TRY(call)                       \
    do {                                   \
        pb_status pb_try_status_ = (call); \
        if (pb_failed(&pb_try_status_))    \
            return pb_try_status_;         \
    } while (0)

/* Always checked, in every build: a false condition is our defect, state is unknown, the job must not go on. */
#define PB_ASSERT(condition) ((condition) ? (void)0 : pb_assert_failed(#condition, __FILE__, __LINE__))
_Noreturn void pb_assert_failed(const char *condition, const char *file, int line);

#endif
