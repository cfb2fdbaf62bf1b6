#include "base/stop.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t asked_by; /* the first signal that came; 0: none */

static void note(int number) {
    if (!asked_by)
        asked_by = number;
}

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

pb_status pb_stop_check(void) {
    int number = asked_by;
    if (!number)
        return pb_ok();
    return pb_fail(PB_E_REQUEUE, "asked to stop by %s; the same command goes on from what is done",
                   number == SIGTERM ? "SIGTERM" : "SIGUSR1");
}
