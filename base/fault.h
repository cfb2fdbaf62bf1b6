/* fault.h: named points at which a test can make the outside world fail.
 *
 * A fault point stands where the operating system could refuse (a write, an fsync, an allocation). It costs one load of a flag
 * when nothing is armed. Only main.c arms one, from the environment variable PATCHBANK_FAULT="name" or "name@rank" or
 * "name@rank:hit" (hit 1 is the first time the point is passed); the point then reports a failure once. With "!kill" after any
 * of these the process dies there instead, by SIGKILL, as with its node; with "!stop" it is stopped there by SIGSTOP, like a
 * process whose node hangs, and goes on, unharmed and late, when it is sent SIGCONT; with "!usr1" or "!term" it is asked to stop
 * (base/stop.h).
 */
#ifndef PB_BASE_FAULT_H
#define PB_BASE_FAULT_H

#include "base/status.h"

/* Arms at most one point of this process from `specification` (NULL or "": none, and what was armed is disarmed); names are of
 * a-z, 0-9, dots, dashes and underscores, 63 bytes at most. rank is this process's rank; a point for another rank is ignored.
 * Errors: PB_E_USAGE when the text has not the form above. Not collective, not thread safe. */
PB_CHECKED pb_status pb_fault_arm(const char *specification, int rank);

/* True when the armed fault is `name`, its turn has come and it is a failure: the caller then does as if the operating system had
 * refused. Thread safe. */
bool pb_fault(const char *name);

#endif
