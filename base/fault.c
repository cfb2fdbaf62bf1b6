/* fault.c: one armed point at most: its name, what happens there, and a countdown of passes. What is armed is set before other
 * threads start and not changed later; only the countdown is shared, and it is atomic. */
#include "base/fault.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Of a name with its closing 0; the 63 of the format below. */
enum { FAULT_NAME_MAX = 64 };

static char armed_name[FAULT_NAME_MAX]; /* written before threads start, then only read */
static int armed_signal;                /* 0: the point reports a failure */
static atomic_int hits_left;            /* 0: nothing armed */

/* What stands after the point: nothing, or what becomes of the process. -1: something else. */
static int signal_of(const char *action) {
    static const struct {
        const char *action;
        int number;
    } ACTIONS[] = {{"", 0}, {"!kill", SIGKILL}, {"!stop", SIGSTOP}, {"!usr1", SIGUSR1}, {"!term", SIGTERM}};
    for (size_t i = 0; i < sizeof ACTIONS / sizeof ACTIONS[0]; i++)
        if (strcmp(action, ACTIONS[i].action) == 0)
            return ACTIONS[i].number;
    return -1;
}

/* %n notes how far a field was read, so that `end` is behind the last one that was there; what follows must be an action or
 * nothing. A point for another rank is checked all the same, so that a wrong text fails on every rank. */
pb_status pb_fault_arm(const char *specification, int rank) {
    atomic_store(&hits_left, 0);
    if (!specification || !*specification)
        return pb_ok();
    char name[FAULT_NAME_MAX];
    int for_rank = rank, hit = 1, end = 0;
    int fields = sscanf(specification, "%63[a-z0-9._-]%n@%9d%n:%9d%n", name, &end, &for_rank, &end, &hit, &end);
    if (fields < 1 || signal_of(specification + end) < 0 || for_rank < 0 || hit < 1)
        return pb_fail(PB_E_USAGE,
                       "PATCHBANK_FAULT=%s: expected NAME, NAME@RANK or NAME@RANK:HIT, and !kill, !stop, !usr1 or !term after it",
                       specification);
    if (for_rank != rank)
        return pb_ok();
    strcpy(armed_name, name);
    armed_signal = signal_of(specification + end);
    atomic_store(&hits_left, hit);
    return pb_ok();
}

/* First one relaxed load, all that a point costs when nothing is armed. Passes are counted down by compare-and-swap, not by
 * subtraction: several threads may pass, the one that takes it from 1 to 0 is the one whose turn it is, and 0 stays 0. raise()
 * returns after SIGSTOP has been answered by SIGCONT, and after a signal that is handled; the point itself is then passed
 * unharmed. */
bool pb_fault(const char *name) {
    if (atomic_load_explicit(&hits_left, memory_order_relaxed) == 0 || strcmp(name, armed_name) != 0)
        return false;
    int left = atomic_load(&hits_left);
    while (left > 0 && !atomic_compare_exchange_weak(&hits_left, &left, left - 1)) {
    }
    if (left != 1 || armed_signal == 0)
        return left == 1;
    raise(armed_signal);
    return false;
}
