#include "gpu/network.h"

#include "networks.h"

#include "base/fault.h"

#include <criterion/criterion.h>
#include <string.h>

/* Parameters that torchvision counts, less those of the classifier (1000 classes): published numbers. */
static const struct {
    const char *name;
    int64_t parameters, features; /* features: inputs of the classifier */
    int channels[4];
} RESNETS[] = {
    {"resnet18", 11689512, 512, {64, 128, 256, 512}},          {"resnet34", 21797672, 512, {64, 128, 256, 512}},
    {"resnet50", 25557032, 2048, {256, 512, 1024, 2048}},      {"resnet101", 44549160, 2048, {256, 512, 1024, 2048}},
    {"wide_resnet50_2", 68883240, 2048, {256, 512, 1024, 2048}}, {"wide_resnet101_2", 126886696, 2048, {256, 512, 1024, 2048}},
};

Test(backbone_info, resnets_have_the_published_numbers) {
    for (size_t r = 0; r < sizeof RESNETS / sizeof *RESNETS; r++) {
        pb_backbone_info info;
        test_must(pb_backbone_describe(RESNETS[r].name, &info));
        cr_assert_eq(info.parameters, RESNETS[r].parameters - 1000 * (RESNETS[r].features + 1), "%s: %lld", RESNETS[r].name,
                     (long long)info.parameters);
        cr_assert_eq(info.tap_count, 4);
        cr_assert_str_eq(info.taps, "2,3");
        for (int t = 0; t < 4; t++)
            cr_assert(info.all[t].block == t + 1 && info.all[t].stride == 4 << t &&
                      info.all[t].channels == RESNETS[r].channels[t], "%s, layer %d", RESNETS[r].name, t + 1);
    }
}

Test(backbone_info, every_backbone_can_be_described) {
    for (const char *const *name = pb_backbone_names(); *name; name++) {
        pb_backbone_info info;
        test_must(pb_backbone_describe(*name, &info));
        pb_network network;
        test_must(pb_network_outline(*name, info.taps, (pb_size){info.side, info.side}, &network));
        cr_assert_geq(network.tap_count, 2);
        pb_network_free(&network);
    }
}

Test(backbone_info, failures_are_statuses) {
    pb_backbone_info info;
    pb_status status = pb_backbone_describe("vgg16", &info);
    cr_assert_eq(status.code, PB_E_USAGE);
    cr_assert_not_null(strstr(status.message, "resnet18"));
    test_must(pb_fault_arm("base.allocate", 0));
    status = pb_backbone_describe("resnet18", &info);
    cr_assert_eq(status.code, PB_E_SYSTEM);
}
