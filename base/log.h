/* log.h: what a run says while it works: one line an event, "key=value" pairs, on standard error.
 *
 *   2026-11-24T05:15:37.123Z info  rank=0 job=train event=extracted images=300 seconds=12.10 images_per_s=24.8
 *
 * Standard output is kept for answers (eval's figures, info's table). Values carry their unit in the key's name. A value with
 * spaces is written with quotes. Lines are written whole, by one write, so that ranks do not mix within a line; what is longer
 * than 2 KiB is cut, and control characters within become '?'. errno is left as it was.
 */
#ifndef PB_BASE_LOG_H
#define PB_BASE_LOG_H

#include "base/status.h"

/* Rising: what is worth knowing when looking for a defect; what a run did; what went on but should be looked at; what failed. */
typedef enum pb_log_level { PB_LOG_DEBUG, PB_LOG_INFO, PB_LOG_WARN, PB_LOG_ERROR } pb_log_level;

/* Sets the rank and job put into every line, and the least level that is written. `job` is borrowed for the whole run.
 * Before the call the lines say rank=0, without a job, from level info. Not thread safe; called once, by main.c. */
void pb_log_setup(int rank, const char *job, pb_log_level least);

/* Writes one line of this rank. format makes the pairs after event= ("images=%d path=\"%s\""). Not collective, thread safe. */
void pb_log(pb_log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As pb_log, but only rank 0 writes: for facts that every rank knows alike. Not a collective: no rank waits. */
void pb_log_once(pb_log_level level, const char *event, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* What writes the lines: pb_log_write, or what pb_log_forward names. once: as pb_log_once. */
typedef void pb_log_writer(pb_log_level level, bool once, const char *event, const char *format, va_list arguments);
__attribute__((format(printf, 4, 0))) void pb_log_write(pb_log_level level, bool once, const char *event, const char *format,
                                                        va_list arguments);

/* Makes pb_log and pb_log_once hand their lines to `writer`. For a plugin, which has a copy of this file that was never set up:
 * its lines then have the program's rank and job, and its level. Not thread safe; called once, before the first line. */
void pb_log_forward(pb_log_writer *writer);

/* The one line with which a run ends badly, for people, without a timestamp:
 *   patchbank train: error: <message> [io/image.c:120, exit 65: never retry: correct the input]
 * rank >= 0 is named in the line, -1 is not. */
void pb_log_failure(const pb_status *status, int rank);

#endif
