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

/* Parameters that timm 0.9.16 counts for vit_{small,base,large}_patch14_dinov2 without a classifier; DINOv2's authors round them
 * to 21, 86 and 300 million. */
Test(backbone_info, transformers_have_the_published_numbers) {
    static const struct {
        const char *name, *taps;
        int64_t parameters;
        int blocks, channels;
    } CASES[] = {{"dinov2_vits14", "11", 22056192, 12, 384},
                 {"dinov2_vitb14", "11", 86579712, 12, 768},
                 {"dinov2_vitl14", "23", 304367616, 24, 1024}};
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        pb_backbone_info info;
        test_must(pb_backbone_describe(CASES[c].name, &info));
        cr_assert_eq(info.parameters, CASES[c].parameters, "%s: %lld", CASES[c].name, (long long)info.parameters);
        cr_assert_str_eq(info.taps, CASES[c].taps);
        cr_assert_eq(info.tap_count, CASES[c].blocks);
        for (int t = 0; t < info.tap_count; t++)
            cr_assert(info.all[t].block == t && info.all[t].stride == 14 && info.all[t].channels == CASES[c].channels,
                      "%s, block %d", CASES[c].name, t);
    }
}

Test(backbone_info, every_backbone_can_be_described) {
    for (const char *const *name = pb_backbone_names(); *name; name++) {
        pb_backbone_info info;
        test_must(pb_backbone_describe(*name, &info));
        pb_network network;
        test_must(pb_network_outline(*name, info.taps, (pb_size){info.side, info.side}, &network));
        cr_assert_geq(network.tap_count, 1);
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
