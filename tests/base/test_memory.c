#include "base/memory.h"

#include "base/fault.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

static bool all_zero(const void *memory, size_t bytes) {
    const unsigned char *byte = memory;
    for (size_t i = 0; i < bytes; i++)
        if (byte[i] != 0)
            return false;
    return true;
}

Test(memory, is_zeroed_and_aligned) {
    static const size_t COUNTS[] = {1, 3, 15, 16, 17, 1000, 100000};
    for (size_t i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        float *values;
        pb_status status = pb_allocate(&values, COUNTS[i], sizeof *values, "values");
        cr_assert_not(pb_failed(&status));
        cr_assert_eq((uintptr_t)values % PB_ALIGNMENT, 0);
        cr_assert(all_zero(values, COUNTS[i] * sizeof *values));
        memset(values, 0xff, COUNTS[i] * sizeof *values); /* so that the next one gets dirty memory back */
        pb_release(&values);
        cr_assert_null(values);
    }
}

Test(memory, nothing_is_a_pointer_too) {
    static const size_t SIZES[][2] = {{0, 8}, {8, 0}, {0, 0}};
    for (size_t i = 0; i < 3; i++) {
        void *nothing = NULL;
        pb_status status = pb_allocate(&nothing, SIZES[i][0], SIZES[i][1], "nothing");
        cr_assert_not(pb_failed(&status));
        cr_assert_not_null(nothing);
        pb_release(&nothing);
    }
}

Test(memory, product_that_overflows_is_refused) {
    static const size_t CASES[][2] = {
        {SIZE_MAX / 2, 3}, {SIZE_MAX, SIZE_MAX}, {(size_t)1 << 32, (size_t)1 << 32}, {SIZE_MAX, 1}, {PTRDIFF_MAX, 1}};
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        int here;
        void *pointer = &here;
        pb_status status = pb_allocate(&pointer, CASES[i][0], CASES[i][1], "the patch features");
        cr_assert_eq(status.code, PB_E_SYSTEM);
        cr_assert_not_null(strstr(status.message, "the patch features"));
        cr_assert_null(pointer);
    }
}

Test(memory, more_than_there_is_is_refused) {
    void *pointer;
    pb_status status = pb_allocate(&pointer, (size_t)1 << 57, 1, "everything");
    cr_assert_eq(status.code, PB_E_SYSTEM);
    cr_assert_null(pointer);
}

Test(memory, resize_keeps_the_old_and_zeroes_the_rest) {
    int *numbers = NULL;
    pb_status status = pb_resize(&numbers, 0, 10, sizeof *numbers, "numbers");
    cr_assert_not(pb_failed(&status));
    cr_assert(all_zero(numbers, 10 * sizeof *numbers));
    for (int i = 0; i < 10; i++)
        numbers[i] = i + 1;
    status = pb_resize(&numbers, 10, 1000, sizeof *numbers, "numbers");
    cr_assert_not(pb_failed(&status));
    cr_assert_eq((uintptr_t)numbers % PB_ALIGNMENT, 0);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(numbers[i], i + 1);
    cr_assert(all_zero(numbers + 10, 990 * sizeof *numbers));
    status = pb_resize(&numbers, 1000, 3, sizeof *numbers, "numbers");
    cr_assert_not(pb_failed(&status));
    cr_assert(numbers[0] == 1 && numbers[1] == 2 && numbers[2] == 3);
    pb_release(&numbers);
}

Test(memory, failed_resize_leaves_the_old_alone) {
    int *numbers;
    pb_status status = pb_allocate(&numbers, 2, sizeof *numbers, "numbers");
    cr_assert_not(pb_failed(&status));
    numbers[0] = 5;
    numbers[1] = 6;
    int *before = numbers;
    status = pb_resize(&numbers, 2, SIZE_MAX / 2, sizeof *numbers, "numbers");
    cr_assert_eq(status.code, PB_E_SYSTEM);
    cr_assert_eq(numbers, before);
    cr_assert(numbers[0] == 5 && numbers[1] == 6);
    pb_release(&numbers);
}

Test(memory, fault_point_stands_for_no_memory) {
    void *pointer;
    pb_status status = pb_fault_arm("base.allocate", 0);
    cr_assert_not(pb_failed(&status));
    status = pb_allocate(&pointer, 1, 8, "thing");
    cr_assert_eq(status.code, PB_E_SYSTEM);
    cr_assert_null(pointer);
    status = pb_allocate(&pointer, 1, 8, "thing");
    cr_assert_not(pb_failed(&status), "the fault comes once");
    pb_release(&pointer);
}

Test(memory, release_of_nothing) {
    char *text = NULL;
    pb_release(&text);
    cr_assert_null(text);
}
