#include "base/stop.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

/* Each test is a process of its own, so that none sees another's signal. */
static void is_asked(const char *name) {
    pb_status status = pb_stop_check();
    cr_assert_eq(status.code, PB_E_REQUEUE);
    cr_assert_not_null(strstr(status.message, name), "%s", status.message);
}

Test(stop, nobody_asks) {
    pb_stop_on_signals();
    pb_status status = pb_stop_check();
    cr_assert_not(pb_failed(&status), "%s", status.message);
}

Test(stop, a_signal_asks_and_is_not_forgotten) {
    pb_stop_on_signals();
    raise(SIGUSR1);
    is_asked("SIGUSR1");
    is_asked("SIGUSR1");
}

Test(stop, the_first_signal_counts) {
    pb_stop_on_signals();
    raise(SIGTERM);
    raise(SIGUSR1);
    is_asked("SIGTERM");
}

/* As across the exec with which main.c begins once more. */
Test(stop, what_was_held_back_asks_later) {
    pb_stop_hold();
    raise(SIGUSR1);
    pb_status status = pb_stop_check();
    cr_assert_not(pb_failed(&status), "%s", status.message);
    pb_stop_on_signals();
    is_asked("SIGUSR1");
}

Test(stop, without_handlers_a_signal_ends_the_process, .signal = SIGUSR1) { raise(SIGUSR1); }
