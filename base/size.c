/* size.c: sizes as text, in the one way in which options, attributes and messages write them. */
#include "base/size.h"

#include <stdio.h>

/* A number of at most six digits, so that none overflows; *at goes behind it. -1 when there is none. */
static int read_number(const char **at) {
    int value = 0, digits = 0;
    for (; **at >= '0' && **at <= '9' && digits < 6; ++*at, digits++)
        value = 10 * value + (**at - '0');
    return digits > 0 ? value : -1;
}

static bool within(int value, int least, int most) { return value >= least && value <= most; }

/* A text that ends too early gives -1 and fails by its range, so that there is one message for all that is wrong. */
pb_status pb_size_parse(const char *text, int least, int most, pb_size *size_out) {
    const char *at = text;
    pb_size size = {0};
    size.width = size.height = read_number(&at);
    if (*at == 'x') {
        at++;
        size.height = read_number(&at);
    }
    bool sound = *at == '\0' && within(size.width, least, most) && within(size.height, least, most);
    *size_out = sound ? size : (pb_size){0};
    if (sound)
        return pb_ok();
    return pb_fail(PB_E_USAGE, "\"%s\": expected a size in pixels, as 224 or 320x240 (width x height), of %d to %d each", text,
                   least, most);
}

/* What pb_size_parse reads back to the same size. */
void pb_size_format(pb_size size, char text[PB_SIZE_TEXT]) {
    if (size.width == size.height)
        snprintf(text, PB_SIZE_TEXT, "%d", size.width);
    else
        snprintf(text, PB_SIZE_TEXT, "%dx%d", size.width, size.height);
}
