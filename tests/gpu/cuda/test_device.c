/* The device table of the plugin as the front end sees it: opened by dlopen, on the emulator. */
#include "emulated.h"

#include "gpu/cuda/cuda.h"

#include <stdio.h>
#include <unistd.h>

static void use_emulator(void) { pb_device_plugin_path(PB_EMULATED_PLUGIN); }

TestSuite(cuda_device, .init = use_emulator);

static pb_device *opened(void) {
    pb_device *device;
    assert_done(pb_device_open("cuda:0", 1, &device));
    return device;
}

Test(cuda_device, says_what_it_is) {
    pb_device *device = opened();
    cr_assert_str_eq(pb_device_description(device), "cuda:0: Emulator, compute capability 9.0, 16384 MiB, driver for CUDA 13.0");
    cr_assert_str_eq(pb_device_arithmetic(device), "cuda: compute capability 9.0, 3 multiprocessors, no cuDNN");
    pb_device_close(&device);
    assert_sound();
}

static void expect_refused(const char *name, pb_code code, const char *words) {
    pb_device *device;
    pb_status status = pb_device_open(name, 1, &device);
    cr_assert_eq(status.code, code, "%s: %s", name, status.message);
    cr_assert_not_null(strstr(status.message, words), "%s: %s", name, status.message);
    cr_assert_not_null(strstr(status.message, "device cuda"), "%s", status.message);
    cr_assert_null(device);
    assert_sound();
}

Test(cuda_device, is_named_by_a_number) {
    static const char *const NAMES[] = {"cuda",    "cuda:",   "cuda:x",     "cuda:-1",    "cuda: 0",
                                        "cuda:0x", "cuda:0:", "cuda:0:fp8", "cuda:0fp16", "cuda:99999999999"};
    for (size_t n = 0; n < LENGTH(NAMES); n++)
        expect_refused(NAMES[n], PB_E_USAGE, "as cuda:0");
    emulator_devices(2, cudaSuccess);
    expect_refused("cuda:2", PB_E_UNSUPPORTED, "there are 2");
    expect_refused("cuda:1", PB_E_UNSUPPORTED, "compute capability 7.0 (8.0 is the least)");
}

Test(cuda_device, says_why_there_is_none) {
    emulator_devices(0, cudaSuccess);
    expect_refused("cuda:0", PB_E_UNSUPPORTED, "no device");
    emulator_devices(0, cudaErrorNoDevice);
    expect_refused("cuda:0", PB_E_UNSUPPORTED, "no device: no CUDA-capable device is detected");
    emulator_devices(0, cudaErrorInsufficientDriver);
    expect_refused("cuda:0", PB_E_UNSUPPORTED, "no device: ");
    emulator_devices(0, cudaErrorInvalidDevice);
    expect_refused("cuda:0", PB_E_SYSTEM, "no device: ");
}

static void note_device(void *context, const char *name, bool usable, const char *about) {
    char *text = context;
    snprintf(text + strlen(text), 2000 - strlen(text), "[%s %s %s]", name, usable ? "yes" : "no", about);
}

Test(cuda_device, is_listed) {
    char text[2000] = "";
    emulator_devices(2, cudaSuccess);
    pb_device_each(note_device, text);
    cr_assert_not_null(strstr(text, "[cpu:plain yes plain kernels]"), "%s", text);
    cr_assert_not_null(strstr(text, "[cuda:0 yes Emulator, compute capability 9.0, 16384 MiB, driver for CUDA 13.0]"), "%s",
                       text);
    cr_assert_not_null(strstr(text, "[cuda:1 no Emulator, compute capability 7.0 (8.0 is the least),"), "%s", text);
    emulator_devices(0, cudaSuccess);
    text[0] = '\0';
    pb_device_each(note_device, text);
    cr_assert_not_null(strstr(text, "[cuda no no device]"), "%s", text);
    assert_sound();
}

/* "cuda" looks at every GPU: what one says must not be taken for what the next launch on another one says. */
Test(cuda_device, a_broken_gpu_is_no_trouble_of_another) {
    char text[2000] = "";
    float *row;
    emulator_devices(2, cudaSuccess);
    emulator_fail(5, cudaErrorInvalidDevice); /* count, then version and properties of each */
    pb_device_each(note_device, text);
    cr_assert_not_null(strstr(text, "[cuda:0 yes Emulator,"), "%s", text);
    cr_assert_not_null(strstr(text, "[cuda:1 no an emulated error]"), "%s", text);
    pb_device *device = opened();
    assert_done(pb_device_alloc(device, sizeof *row, &row, "a row"));
    assert_done(pb_device_unit_rows(device, row, 1, 1));
    pb_device_release(device, &row);
    pb_device_close(&device);
    assert_sound();
}

Test(cuda_device, copies_copy) {
    pb_device *device = opened();
    static const size_t SIZES[] = {0, 1, 64, 100003};
    for (size_t s = 0; s < LENGTH(SIZES); s++) {
        uint8_t *memory, *host, *back;
        assert_done(pb_device_alloc(device, SIZES[s], &memory, "memory"));
        assert_done(pb_allocate(&host, SIZES[s], 1, "host"));
        assert_done(pb_allocate(&back, SIZES[s], 1, "back"));
        cr_assert_not_null(memory);
        for (size_t i = 0; i < SIZES[s]; i++)
            host[i] = (uint8_t)(i * 31 + 7);
        assert_done(pb_device_upload(device, memory, host, SIZES[s]));
        assert_done(pb_device_download(device, back, memory, SIZES[s]));
        cr_assert(SIZES[s] == 0 || memcmp(host, back, SIZES[s]) == 0);
        pb_release(&back);
        pb_release(&host);
        pb_device_release(device, &memory);
        cr_assert_null(memory);
    }
    pb_device_close(&device);
    assert_sound();
}

Test(cuda_device, memory_that_is_refused_is_an_error_with_figures) {
    pb_device *device = opened();
    void *memory = &device;
    pb_status status = pb_device_alloc(device, (size_t)1 << 60, &memory, "too much");
    cr_assert_eq(status.code, PB_E_SYSTEM);
    cr_assert_null(memory);
    cr_assert_not_null(strstr(status.message, "): out of memory: too much needs 1152921504606846976"), "%s",
                       status.message);
    cr_assert_not_null(strstr(status.message, "8192 MiB of 16384 MiB are free"), "%s", status.message);
    assert_done(pb_device_alloc(device, 64, &memory, "enough")); /* the device goes on */
    pb_device_release(device, &memory);
    pb_device_close(&device);
    assert_sound();
}

Test(cuda_device, blocks_are_copied) {
    enum { FROM = 7, TO = 5, WIDTH = 3, HEIGHT = 4 };
    pb_device *device = opened();
    uint8_t from[FROM * HEIGHT], to[TO * HEIGHT], *there, *copied;
    for (size_t i = 0; i < sizeof from; i++)
        from[i] = (uint8_t)(i + 1);
    memset(to, 0, sizeof to);
    assert_done(pb_device_alloc(device, sizeof from, &there, "from"));
    assert_done(pb_device_alloc(device, sizeof to, &copied, "to"));
    assert_done(pb_device_upload(device, there, from, sizeof from));
    assert_done(pb_device_upload(device, copied, to, sizeof to));
    assert_done(pb_device_copy_block(device, copied, TO, there, FROM, WIDTH, HEIGHT));
    assert_done(pb_device_copy_block(device, copied, TO, there, FROM, WIDTH, 0));
    assert_done(pb_device_download(device, to, copied, sizeof to));
    for (size_t i = 0; i < sizeof to; i++)
        cr_assert_eq(to[i], i % TO < WIDTH ? from[i / TO * FROM + i % TO] : 0);
    pb_device_release(device, &there);
    pb_device_release(device, &copied);
    pb_device_close(&device);
    assert_sound();
}

/* Everything that the table has, once; the first failure of CUDA's must be what comes out, and nothing may stay behind. */
static pb_status everything(void) {
    enum { N = 3, DIM = 2 };
    const float rows[N * DIM] = {0, 1, 2, 3, 4, 5}, matrix[DIM] = {1, -1};
    float *there = NULL, *out = NULL, back[N];
    pb_device *device;
    PB_TRY(pb_device_open("cuda:0", 1, &device));
    pb_status status = pb_device_alloc(device, sizeof rows + sizeof matrix, &there, "rows");
    if (!pb_failed(&status))
        status = pb_device_alloc(device, sizeof back, &out, "results");
    if (!pb_failed(&status))
        status = pb_device_upload(device, there, rows, sizeof rows);
    if (!pb_failed(&status))
        status = pb_device_upload(device, there + N * DIM, matrix, sizeof matrix);
    if (!pb_failed(&status))
        status = pb_device_project(device, there, N, DIM, there + N * DIM, 1, out);
    if (!pb_failed(&status)) /* lengths of rows of one value: -1 stays */
        status = pb_device_unit_rows(device, out, N, 1);
    if (!pb_failed(&status))
        status = pb_device_copy_block(device, there, sizeof *there, out, sizeof *out, sizeof *out, N);
    if (!pb_failed(&status))
        status = pb_device_download(device, back, out, sizeof back);
    cr_assert(pb_failed(&status) || (back[0] == -1 && back[1] == -1 && back[2] == -1));
    pb_device_release(device, &out);
    pb_device_release(device, &there);
    pb_device_close(&device);
    return status;
}

Test(cuda_device, any_call_of_cuda_may_fail) {
    static const struct {
        int error;
        const char *words;
    } ERRORS[] = {{cudaErrorLaunchFailure, "an emulated error"}, {cudaErrorMemoryAllocation, "out of memory"}};
    assert_done(everything());
    for (size_t e = 0; e < LENGTH(ERRORS); e++) {
        emulator_fail(0, 0);
        assert_done(everything());
        const size_t calls = emulator_fail(0, 0);
        cr_assert_gt(calls, 15);
        for (size_t call = 1; call <= calls; call++) {
            emulator_fail(call, ERRORS[e].error);
            pb_status status = everything();
            cr_assert(pb_failed(&status), "call %zu of %zu", call, calls);
            cr_assert_not_null(strstr(status.message, ERRORS[e].words), "call %zu: %s", call, status.message);
            cr_assert_not_null(strstr(status.message, "device cuda:0"), "call %zu: %s", call, status.message);
            assert_sound();
        }
    }
}

/* Which GPU of which node, which kernels: what CUDA tells late is told with what may have caused it. */
Test(cuda_device, an_error_names_node_gpu_and_kernels) {
    enum { N = 3, DIM = 2, ROUNDS = 5 };
    char node[64] = "", words[400];
    float *rows, *out, back[N];
    pb_device *device = opened();
    cr_assert_eq(gethostname(node, sizeof node - 1), 0);
    assert_done(pb_device_alloc(device, N * DIM * sizeof *rows, &rows, "rows"));
    assert_done(pb_device_alloc(device, N * sizeof *out, &out, "results"));
    for (int i = 0; i < ROUNDS; i++) {
        assert_done(pb_device_unit_rows(device, rows, N, DIM));
        assert_done(pb_device_project(device, rows, N, DIM, rows, 1, out));
    }
    emulator_fail(3, cudaErrorLaunchFailure); /* cudaSetDevice, cudaMemcpyAsync, cudaStreamSynchronize */
    pb_status status = pb_device_download(device, back, out, sizeof back);
    snprintf(words, sizeof words,
             "device cuda:0 (Emulator, GPU-00000000, node %s): copy from the device, after unit_rows, project: ", node);
    cr_assert_eq(strncmp(status.message, words, strlen(words)), 0, "%s\n%s", status.message, words);
    assert_done(pb_device_download(device, back, out, sizeof back)); /* nothing is queued after that */
    emulator_fail(3, cudaErrorLaunchFailure);
    status = pb_device_download(device, back, out, sizeof back);
    cr_assert_null(strstr(status.message, ", after"), "%s", status.message);
    pb_device_release(device, &out);
    pb_device_release(device, &rows);
    pb_device_close(&device);
    assert_sound();
}

/* No more names than there is room for: the latest. */
Test(cuda_device, queued_operations_are_the_latest) {
    static const char *const NAMES[] = {"a", "b", "c", "d", "e", "f", "g", "h", "b", "i", "j"};
    pb_cuda_state state = {0};
    const pb_device device = {.state = &state};
    char all[40] = "";
    for (size_t i = 0; i < LENGTH(NAMES); i++)
        pb_cuda_note(&device, NAMES[i]);
    for (int i = 0; i < state.queued.count; i++)
        strcat(all, state.queued.names[i]);
    cr_assert_str_eq(all, "defghbij");
}

/* Networks are not there yet, and say so. */
Test(cuda_device, a_slot_left_out_is_unsupported) {
    pb_device *device = opened();
    pb_compiled *compiled;
    pb_layer layer = {.inputs = 3, .outputs = 1, .kernel = 1, .stride = 1, .groups = 1, .source = -1, .residual = -1};
    pb_network network = {.backbone = "by_hand", .size = {32, 32}, .layer_count = 1, .layers = &layer, .tap_count = 1};
    pb_status status = pb_device_compile(device, &network, PB_PRECISION_FP32, 1, &compiled);
    cr_assert_eq(status.code, PB_E_UNSUPPORTED);
    cr_assert_not_null(strstr(status.message, "compile"), "%s", status.message);
    pb_device_close(&device);
}
