/* stop.c: a flag that a signal sets. The handler does nothing else, so it may come at any moment; what is to be done about it is
 * done between two pieces of work, by whoever asks pb_stop_check (decision 0024, docs/ARCHITECTURE.md "Stopping and going
 * on"). */
#include "base/stop.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t asked_by; /* the first signal that came; 0: none */

/* The handler. */
static void note(int number) {
    if (!asked_by)
        asked_by = number;
}

/* Of the calling thread: it is the only one when this is called, and others inherit its mask. */
static void mask_signals(int how) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigaddset(&signals, SIGTERM);
    sigprocmask(how, &signals, NULL);
}

void pb_stop_hold(void) { mask_signals(SIG_BLOCK); }

/* Calls that the signal interrupts are begun again: nothing that is written or received may be cut short by it. */
void pb_stop_on_signals(void) {
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    mask_signals(SIG_UNBLOCK);
}

/* Read once: a signal may come between two looks. */
pb_status pb_stop_check(void) {
    int number = asked_by;
    if (!number)
        return pb_ok();
    return pb_fail(PB_E_REQUEUE, "asked to stop by %s; the same command goes on from what is done",
                   number == SIGTERM ? "SIGTERM" : "SIGUSR1");
}
