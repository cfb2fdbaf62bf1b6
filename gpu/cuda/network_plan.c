/* Everything that cuDNN's backend API asks for is an object with attributes, which are finalized before they are used. An object
 * may be needed as long as one that refers to it, so all of a plan's are kept with the plan.
 *
 * Order of reading: objects (how one is made of attributes, and kept), devices, graphs (one function an operation of
 * network_graph.h), the choice of a plan, plans as text, running. The API is NVIDIA's "cuDNN backend"; names of attributes are
 * its, and what each object needs is in its reference.
 *
 * How a plan is chosen (decision 0018): heuristics give engine configurations for the graph and the device, best first; the first
 * whose engine notes nothing that is not allowed, that makes a plan, and whose workspace is small enough is taken. Most engines
 * have not most graphs, so failures on the way are no errors; the last one is the reason if nothing is found.
 *
 * Ownership. pb_plan_objects owns what it lists; `make` lists an object as soon as it is there, so whoever fails half way leaves
 * nothing behind that is not listed. Objects end in the reverse order of their making.
 */
#include "gpu/cuda/network_plan.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Engine configurations that are looked at for one graph; heuristics give up to about 40. NOTES_MAX: of an engine; one with more
 * is not taken. ALIGNMENT: bytes, which all of our device memory has. */
enum { CONFIGURATIONS_MAX = 64, NOTES_MAX = 32, ALIGNMENT = 16 };

/* ---- objects ---- */

/* A plan needs 22 objects at most: 8 tensors, 2 objects for each of 4 operations, the graph, 2 heuristics, a configuration, its
 * engine and the plan. */
static void keep(pb_plan_objects *objects, cudnnBackendDescriptor_t object) {
    PB_ASSERT(objects->count < PB_PLAN_OBJECTS_MAX);
    objects->all[objects->count++] = object;
}

/* An object without attributes yet; it belongs to `objects`. */
static pb_status create(const pb_cudnn *cudnn, pb_plan_objects *objects, cudnnBackendDescriptorType_t type,
                        cudnnBackendDescriptor_t *object_out) {
    *object_out = NULL;
    PB_TRY(pb_cudnn_check(cudnn, cudnn->cudnnBackendCreateDescriptor(type, object_out), "making an object"));
    keep(objects, *object_out);
    return pb_ok();
}

/* Ends the objects from number `first` on, the last one first. Errors are of no use here. */
static void destroy_from(const pb_cudnn *cudnn, pb_plan_objects *objects, int first) {
    while (objects->count > first)
        (void)cudnn->cudnnBackendDestroyDescriptor(objects->all[--objects->count]);
}

/* cuDNN checks the attributes here, so most of what it does not support is said here. */
static pb_status finalize(const pb_cudnn *cudnn, cudnnBackendDescriptor_t object, const char *what) {
    return pb_cudnn_check(cudnn, cudnn->cudnnBackendFinalize(object), what);
}

/* One attribute of an object; NULL in a list of these leaves it out. values: `count` of a type, borrowed during the call. */
typedef struct attribute {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count;
    const void *values;
} attribute;

/* Makes an object of these attributes, finalized. what: for messages. Attributes are set in the order of the list. After an error
 * the object is in `objects` all the same. */
static pb_status make(const pb_cudnn *cudnn, pb_plan_objects *objects, cudnnBackendDescriptorType_t type, const char *what,
                      const attribute *attributes, size_t count, cudnnBackendDescriptor_t *object_out) {
    PB_TRY(create(cudnn, objects, type, object_out));
    for (size_t a = 0; a < count; a++)
        if (attributes[a].values)
            PB_TRY(pb_cudnn_check(cudnn, cudnn->cudnnBackendSetAttribute(*object_out, attributes[a].name, attributes[a].type,
                                                                        attributes[a].count, attributes[a].values), what));
    return finalize(cudnn, *object_out, what);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define OBJECT CUDNN_TYPE_BACKEND_DESCRIPTOR

/* ---- devices ---- */

/* Reads the text of an attribute; *text_out is released by pb_release. */
static pb_status get_text(const pb_cudnn *cudnn, cudnnBackendDescriptor_t object, cudnnBackendAttributeName_t name,
                          char **text_out) {
    int64_t length = 0;
    *text_out = NULL;
    PB_TRY(pb_cudnn_check(cudnn, cudnn->cudnnBackendGetAttribute(object, name, CUDNN_TYPE_CHAR, 0, &length, NULL), "text"));
    PB_ASSERT(length >= 0);
    PB_TRY(pb_allocate(text_out, (size_t)length + 1, 1, "text of cuDNN"));
    pb_status status = pb_cudnn_check(
        cudnn, cudnn->cudnnBackendGetAttribute(object, name, CUDNN_TYPE_CHAR, length, &length, *text_out), "text");
    if (pb_failed(&status))
        pb_release(text_out);
    return status;
}

/* Numbers in a description that are not of the model: the device's place in this process and in this host. Two GPUs of a node
 * differ in these alone, and plans of one serve the other (decision 0025). */
static const char *const PLACES[] = {"\"cudaDeviceId\":", "\"pciDeviceId\":"};

/* *model_out: released by pb_release. The description with these numbers taken out: the key by which plans are kept. */
static pb_status model_of(const char *description, char **model_out) {
    const size_t bytes = strlen(description) + 1;
    PB_TRY(pb_allocate(model_out, bytes, 1, "a device's model"));
    memcpy(*model_out, description, bytes);
    for (size_t p = 0; p < COUNT(PLACES); p++) {
        char *at = strstr(*model_out, PLACES[p]);
        if (at) {
            at += strlen(PLACES[p]);
            const char *rest = at + strspn(at, "0123456789");
            memmove(at, rest, strlen(rest) + 1);
        }
    }
    return pb_ok();
}

/* how: the one attribute that says which device. Text and model are copies, the properties an object. */
static pb_status describe(const pb_cudnn *cudnn, const attribute *how, pb_plan_device *device) {
    *device = (pb_plan_device){.cudnn = cudnn};
    pb_status status = make(cudnn, &device->objects, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, "description of the device", how, 1,
                            &device->properties);
    if (!pb_failed(&status))
        status = get_text(cudnn, device->properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, &device->description);
    if (!pb_failed(&status))
        status = model_of(device->description, &device->model);
    if (pb_failed(&status))
        pb_plan_device_close(device);
    return status;
}

pb_status pb_plan_device_open(const pb_cudnn *cudnn, int ordinal, pb_plan_device *device_out) {
    const int32_t number = ordinal;
    const attribute how = {CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &number};
    return describe(cudnn, &how, device_out);
}

pb_status pb_plan_device_describe(const pb_cudnn *cudnn, const char *description, pb_plan_device *device_out) {
    const attribute how = {CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(description), description};
    return describe(cudnn, &how, device_out);
}

void pb_plan_device_close(pb_plan_device *device) {
    if (device->cudnn)
        destroy_from(device->cudnn, &device->objects, 0);
    pb_release(&device->description);
    pb_release(&device->model);
    *device = (pb_plan_device){0};
}

/* ---- graphs ---- */

static cudnnDataType_t type_of(pb_element element) {
    static const cudnnDataType_t TYPES[] = {[PB_ELEMENT_FLOAT] = CUDNN_DATA_FLOAT, [PB_ELEMENT_HALF] = CUDNN_DATA_HALF,
                                            [PB_ELEMENT_BFLOAT] = CUDNN_DATA_BFLOAT16};
    return TYPES[element];
}

/* cuDNN knows tensors by numbers; ours are their places, from 1. */
static int64_t number_of(int tensor) { return tensor + 1; }

/* A tensor has a number, by which memory is given to it when the plan runs. Virtual ones get none; a number by value is read from
 * host memory when the plan is queued. */
static pb_status make_tensor(const pb_cudnn *cudnn, pb_plan_objects *objects, const pb_graph *graph, int index,
                             cudnnBackendDescriptor_t *tensor_out) {
    const pb_graph_tensor *tensor = &graph->tensors[index];
    const cudnnDataType_t type = type_of(tensor->element);
    const int64_t number = number_of(index), alignment = ALIGNMENT;
    const bool is_virtual = tensor->role == PB_GRAPH_VIRTUAL, is_number = tensor->role == PB_GRAPH_SCALE;
    const attribute attributes[] = {
        {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &number},
        {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type},
        {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment},
        {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, tensor->dims},
        {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, tensor->strides},
        {CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual},
        {CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, is_number ? &is_number : NULL},
    };
    return make(cudnn, objects, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "tensor", attributes, COUNT(attributes), tensor_out);
}

/* Cross-correlation is what networks call convolution. Sums are float whatever the ends are (CONVOLUTION_COMP_TYPE). */
static pb_status make_convolution(const pb_cudnn *cudnn, pb_plan_objects *objects, const pb_graph_operation *of,
                                  const cudnnBackendDescriptor_t *tensors, cudnnBackendDescriptor_t *operation_out) {
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t axes = 2, dilations[2] = {1, 1};
    const float alpha = 1, beta = 0;
    cudnnBackendDescriptor_t convolution;
    const attribute how[] = {
        {CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute},
        {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode},
        {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes},
        {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, of->strides},
        {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilations},
        {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, of->before},
        {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, of->after},
    };
    PB_TRY(make(cudnn, objects, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "convolution", how, COUNT(how), &convolution));
    const attribute attributes[] = {
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, OBJECT, 1, &convolution},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, OBJECT, 1, &tensors[of->x]},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, OBJECT, 1, &tensors[of->other]},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, OBJECT, 1, &tensors[of->y]},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &alpha},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &beta},
    };
    return make(cudnn, objects, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, "convolution of tensors", attributes,
                COUNT(attributes), operation_out);
}

/* A sum, GELU by erf (the approximation by tanh is another mode), or ReLU with or without a clip. */
static pb_status make_pointwise(const pb_cudnn *cudnn, pb_plan_objects *objects, const pb_graph_operation *of,
                                const cudnnBackendDescriptor_t *tensors, cudnnBackendDescriptor_t *operation_out) {
    const bool sum = of->verb == PB_GRAPH_ADD, clip = isfinite(of->upper);
    const cudnnPointwiseMode_t mode = sum                       ? CUDNN_POINTWISE_ADD
                                      : of->verb == PB_GRAPH_GELU ? CUDNN_POINTWISE_GELU_FWD
                                                                  : CUDNN_POINTWISE_RELU_FWD;
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const double lower = 0;
    cudnnBackendDescriptor_t pointwise;
    const attribute how[] = {
        {CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode},
        {CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute},
        {CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, CUDNN_TYPE_DOUBLE, 1, clip ? &lower : NULL},
        {CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1, clip ? &of->upper : NULL},
    };
    PB_TRY(make(cudnn, objects, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "pointwise", how, COUNT(how), &pointwise));
    const attribute attributes[] = {
        {CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, OBJECT, 1, &pointwise},
        {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, OBJECT, 1, &tensors[of->x]},
        {CUDNN_ATTR_OPERATION_POINTWISE_BDESC, OBJECT, 1, sum ? &tensors[of->other] : NULL},
        {CUDNN_ATTR_OPERATION_POINTWISE_YDESC, OBJECT, 1, &tensors[of->y]},
    };
    return make(cudnn, objects, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "pointwise of tensors", attributes,
                COUNT(attributes), operation_out);
}

/* Pads with -infinity, so what lies over the edge does not count; a NaN goes through. */
static pb_status make_pool(const pb_cudnn *cudnn, pb_plan_objects *objects, const pb_graph_operation *of,
                           const cudnnBackendDescriptor_t *tensors, cudnnBackendDescriptor_t *operation_out) {
    const cudnnResampleMode_t mode = CUDNN_RESAMPLE_MAXPOOL;
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const cudnnNanPropagation_t nan = CUDNN_PROPAGATE_NAN;
    const cudnnPaddingMode_t padding = CUDNN_NEG_INF_PAD;
    const int64_t axes = 2;
    cudnnBackendDescriptor_t resample;
    const attribute how[] = {
        {CUDNN_ATTR_RESAMPLE_MODE, CUDNN_TYPE_RESAMPLE_MODE, 1, &mode},
        {CUDNN_ATTR_RESAMPLE_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute},
        {CUDNN_ATTR_RESAMPLE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, &nan},
        {CUDNN_ATTR_RESAMPLE_PADDING_MODE, CUDNN_TYPE_PADDING_MODE, 1, &padding},
        {CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes},
        {CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, CUDNN_TYPE_INT64, 2, of->window},
        {CUDNN_ATTR_RESAMPLE_STRIDES, CUDNN_TYPE_INT64, 2, of->strides},
        {CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, of->before},
        {CUDNN_ATTR_RESAMPLE_POST_PADDINGS, CUDNN_TYPE_INT64, 2, of->after},
    };
    PB_TRY(make(cudnn, objects, CUDNN_BACKEND_RESAMPLE_DESCRIPTOR, "pooling", how, COUNT(how), &resample));
    const attribute attributes[] = {
        {CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC, OBJECT, 1, &resample},
        {CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC, OBJECT, 1, &tensors[of->x]},
        {CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC, OBJECT, 1, &tensors[of->y]},
    };
    return make(cudnn, objects, CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR, "pooling of tensors", attributes,
                COUNT(attributes), operation_out);
}

/* Without a mask, dropout or statistics: those attributes are left out. */
static pb_status make_attention(const pb_cudnn *cudnn, pb_plan_objects *objects, const pb_graph_operation *of,
                                const cudnnBackendDescriptor_t *tensors, cudnnBackendDescriptor_t *operation_out) {
    const attribute attributes[] = {
        {CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, OBJECT, 1, &tensors[of->x]},
        {CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, OBJECT, 1, &tensors[of->other]},
        {CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, OBJECT, 1, &tensors[of->values]},
        {CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, OBJECT, 1, &tensors[of->scale]},
        {CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, OBJECT, 1, &tensors[of->y]},
    };
    return make(cudnn, objects, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR, "attention of tensors", attributes,
                COUNT(attributes), operation_out);
}

/* The switch names every verb, so that a new one is not forgotten. */
static pb_status make_operation(const pb_cudnn *cudnn, pb_plan_objects *objects, const pb_graph_operation *of,
                                const cudnnBackendDescriptor_t *tensors, cudnnBackendDescriptor_t *operation_out) {
    switch (of->verb) {
    case PB_GRAPH_CONVOLUTION:
        return make_convolution(cudnn, objects, of, tensors, operation_out);
    case PB_GRAPH_MAX_POOL:
        return make_pool(cudnn, objects, of, tensors, operation_out);
    case PB_GRAPH_ATTENTION:
        return make_attention(cudnn, objects, of, tensors, operation_out);
    case PB_GRAPH_ADD:
    case PB_GRAPH_RELU:
    case PB_GRAPH_GELU:
        break;
    }
    return make_pointwise(cudnn, objects, of, tensors, operation_out);
}

/* Tensors first, since operations refer to them. */
static pb_status make_graph(const pb_cudnn *cudnn, pb_plan_objects *objects, const pb_graph *graph,
                            cudnnBackendDescriptor_t *graph_out) {
    cudnnBackendDescriptor_t tensors[PB_GRAPH_TENSORS_MAX], operations[PB_GRAPH_OPERATIONS_MAX];
    for (int t = 0; t < graph->tensor_count; t++)
        PB_TRY(make_tensor(cudnn, objects, graph, t, &tensors[t]));
    for (int o = 0; o < graph->operation_count; o++)
        PB_TRY(make_operation(cudnn, objects, &graph->operations[o], tensors, &operations[o]));
    const attribute all = {CUDNN_ATTR_OPERATIONGRAPH_OPS, OBJECT, graph->operation_count, operations};
    return make(cudnn, objects, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "graph", &all, 1, graph_out);
}

/* ---- the choice of a plan ---- */

/* Whether what an engine notes about its arithmetic is allowed. Never: inputs or sums cut to fewer bits, sums whose order changes
 * from run to run, and transforms, whose errors are not those of a sum. For fp32 no tensor cores either, which cut floats to
 * tf32. */
static bool is_allowed(int64_t note, pb_precision precision) {
    switch (note) {
    case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        return precision != PB_PRECISION_FP32;
    case CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP:
        return true;
    default:
        return false;
    }
}

/* Reads what an engine notes about its arithmetic. One with more notes than NOTES_MAX is taken for not exact. */
static pb_status is_exact_enough(const pb_cudnn *cudnn, pb_plan_objects *objects, cudnnBackendDescriptor_t configuration,
                                 pb_precision precision, bool *enough) {
    cudnnBackendDescriptor_t engine;
    cudnnBackendNumericalNote_t notes[NOTES_MAX];
    int64_t count = 0;
    PB_TRY(create(cudnn, objects, CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine));
    PB_TRY(pb_cudnn_check(cudnn, cudnn->cudnnBackendGetAttribute(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, OBJECT, 1, &count,
                                                                &engine), "engine of a configuration"));
    PB_TRY(pb_cudnn_check(cudnn, cudnn->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                                CUDNN_TYPE_NUMERICAL_NOTE, NOTES_MAX, &count, notes),
                          "numerical notes"));
    *enough = count <= NOTES_MAX;
    for (int64_t n = 0; n < count && *enough; n++)
        *enough = is_allowed(notes[n], precision);
    return pb_ok();
}

/* Bytes that a run of the plan may use. */
static pb_status workspace_of(const pb_cudnn *cudnn, pb_plan *plan) {
    int64_t count = 0;
    plan->workspace = 0;
    return pb_cudnn_check(cudnn, cudnn->cudnnBackendGetAttribute(plan->plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                                                CUDNN_TYPE_INT64, 1, &count, &plan->workspace), "workspace");
}

/* What is looked for, and what became of it. */
typedef struct search {
    const pb_plan_device *device;
    pb_precision precision;
    int64_t workspace_max;
    int tried;
    pb_status last; /* why a configuration was not taken: the last one, unless one failed by more than not being supported */
} search;

/* Keeps why; what is worse than "not supported" is never covered by that. */
static void note(search *on, const pb_status *failure) {
    if (on->last.code == PB_OK || on->last.code == PB_E_UNSUPPORTED)
        on->last = *failure;
}

/* Makes the plan of a configuration, unless it is not allowed or wants too much. On an error, objects that were made are in
 * plan->objects. */
static pb_status plan_of(const search *on, cudnnBackendDescriptor_t configuration, pb_plan *plan) {
    const pb_cudnn *cudnn = on->device->cudnn;
    const attribute attributes[] = {
        {CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, OBJECT, 1, &on->device->properties},
        {CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, OBJECT, 1, &configuration},
    };
    bool enough = false;
    PB_TRY(is_exact_enough(cudnn, &plan->objects, configuration, on->precision, &enough));
    if (!enough)
        return pb_fail(PB_E_UNSUPPORTED, "an engine less exact than %s", pb_precision_name(on->precision));
    PB_TRY(make(cudnn, &plan->objects, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "plan", attributes, COUNT(attributes),
                &plan->plan));
    PB_TRY(workspace_of(cudnn, plan));
    if (plan->workspace > on->workspace_max)
        return pb_fail(PB_E_UNSUPPORTED, "a workspace of %lld bytes, %lld at most are there", (long long)plan->workspace,
                       (long long)on->workspace_max);
    return pb_ok();
}

/* Failing is no failure of ours: most engines have not most graphs. plan->plan stays NULL then. Its objects end here, so that
 * forty attempts do not fill the list. */
static void try_configuration(search *on, cudnnBackendDescriptor_t configuration, pb_plan *plan) {
    const int before = plan->objects.count;
    on->tried++;
    pb_status status = plan_of(on, configuration, plan);
    if (!pb_failed(&status))
        return;
    note(on, &status);
    destroy_from(on->device->cudnn, &plan->objects, before);
    plan->plan = NULL;
}

/* Configurations that heuristics have for a graph, best first. `count` of them say something: what cuDNN counts beforehand is
 * only an upper bound. The other `made - count` are objects all the same. */
typedef struct configurations {
    int64_t count, made;
    cudnnBackendDescriptor_t all[CONFIGURATIONS_MAX];
} configurations;

/* All that are made are in the list, on an error too. */
static pb_status list_configurations(const pb_cudnn *cudnn, cudnnBackendDescriptor_t heuristic, configurations *list) {
    int64_t have = 0;
    list->count = list->made = 0;
    PB_TRY(pb_cudnn_check(cudnn,
                          cudnn->cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, OBJECT, 0, &have, NULL),
                          "number of configurations"));
    have = have < CONFIGURATIONS_MAX ? have : CONFIGURATIONS_MAX;
    for (; list->made < have; list->made++)
        PB_TRY(pb_cudnn_check(
            cudnn, cudnn->cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &list->all[list->made]),
            "a configuration"));
    PB_TRY(pb_cudnn_check(cudnn, cudnn->cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, OBJECT, list->made,
                                                                &have, list->all), "configurations"));
    list->count = have < list->made ? have : list->made;
    return pb_ok();
}

/* Tries what one mode of the heuristics proposes. The configuration that was taken is kept with the plan, which refers to it; all
 * others end here, those that heuristics gave nothing for too. */
static pb_status search_mode(search *on, cudnnBackendDescriptor_t graph, cudnnBackendHeurMode_t mode, pb_plan *plan) {
    const pb_cudnn *cudnn = on->device->cudnn;
    cudnnBackendDescriptor_t heuristic;
    configurations list;
    const attribute attributes[] = {
        {CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, OBJECT, 1, &graph},
        {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode},
        {CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, OBJECT, 1, &on->device->properties},
    };
    PB_TRY(make(cudnn, &plan->objects, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, "heuristics", attributes, COUNT(attributes),
                &heuristic));
    pb_status status = list_configurations(cudnn, heuristic, &list);
    for (int64_t c = 0; c < list.made; c++) {
        const bool tried = c < list.count && !plan->plan;
        if (tried)
            try_configuration(on, list.all[c], plan);
        if (tried && plan->plan)
            keep(&plan->objects, list.all[c]);
        else
            (void)cudnn->cudnnBackendDestroyDescriptor(list.all[c]);
    }
    return status;
}

/* Mode A first, then its fallbacks. A mode that has nothing for the graph is no error. The error is the last reason, with its
 * code: a lack of memory is not reported as "not supported". */
static pb_status find_plan(search *on, const pb_graph *graph, pb_plan *plan) {
    static const cudnnBackendHeurMode_t MODES[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    cudnnBackendDescriptor_t described;
    PB_TRY(make_graph(on->device->cudnn, &plan->objects, graph, &described));
    for (size_t m = 0; m < COUNT(MODES) && !plan->plan; m++) {
        pb_status status = search_mode(on, described, MODES[m], plan);
        if (status.code == PB_E_UNSUPPORTED)
            note(on, &status);
        else
            PB_TRY(status);
    }
    return plan->plan ? pb_ok() : pb_fail(on->last.code == PB_OK ? PB_E_UNSUPPORTED : on->last.code, "%s",
                                          on->last.code == PB_OK ? "nothing was proposed" : on->last.message);
}

/* The message names what a bug report needs: layer, version, precision, how many were tried, the reason, the graph. */
pb_status pb_plan_make(const pb_plan_device *device, const pb_graph *graph, pb_precision precision, int64_t workspace_max,
                       const char *layer, pb_plan *plan_out) {
    search on = {.device = device, .precision = precision, .workspace_max = workspace_max};
    *plan_out = (pb_plan){0};
    pb_status status = find_plan(&on, graph, plan_out);
    if (!pb_failed(&status))
        return status;
    char text[PB_GRAPH_TEXT], version[PB_CUDNN_VERSION_TEXT];
    pb_plan_free(device, plan_out);
    pb_graph_text(graph, text);
    pb_cudnn_version_text(device->cudnn, version);
    return pb_fail(status.code, "layer %s: %s has no %s plan (%d tried; %.300s): %s", layer, version,
                   pb_precision_name(precision), on.tried, status.message, text);
}

/* ---- text ---- */

pb_status pb_plan_to_text(const pb_plan_device *device, const pb_plan *plan, char **text_out) {
    return get_text(device->cudnn, plan->plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, text_out);
}

/* The device must be set before the text, which is parsed when it is set. */
pb_status pb_plan_from_text(const pb_plan_device *device, const char *text, pb_plan *plan_out) {
    const attribute attributes[] = {
        {CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, OBJECT, 1, &device->properties},
        {CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (int64_t)strlen(text), text},
    };
    *plan_out = (pb_plan){0};
    pb_status status = make(device->cudnn, &plan_out->objects, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, "plan from text",
                            attributes, COUNT(attributes), &plan_out->plan);
    if (!pb_failed(&status))
        status = workspace_of(device->cudnn, plan_out);
    if (pb_failed(&status))
        pb_plan_free(device, plan_out);
    return status;
}

/* ---- running ---- */

/* The pack of pointers is made anew for each run: whole batches are replayed as CUDA graphs (ahead.c), so it is seldom done. */
pb_status pb_plan_run(const pb_plan_device *device, cudnnHandle_t handle, const pb_plan *plan, const pb_graph *graph,
                      void *const memory[PB_GRAPH_ROLES], void *workspace) {
    const pb_cudnn *cudnn = device->cudnn;
    pb_plan_objects objects = {0};
    cudnnBackendDescriptor_t pack;
    int64_t numbers[PB_GRAPH_TENSORS_MAX], count = 0;
    void *pointers[PB_GRAPH_TENSORS_MAX];
    for (int t = 0; t < graph->tensor_count; t++)
        if (graph->tensors[t].role != PB_GRAPH_VIRTUAL) {
            numbers[count] = number_of(t);
            pointers[count++] = memory[graph->tensors[t].role];
        }
    const attribute attributes[] = {
        {CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, numbers},
        {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers},
        {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace},
    };
    pb_status status = make(cudnn, &objects, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, "memory of a plan", attributes,
                            COUNT(attributes), &pack);
    if (!pb_failed(&status))
        status = pb_cudnn_check(cudnn, cudnn->cudnnBackendExecute(handle, plan->plan, pack), "running a plan");
    destroy_from(cudnn, &objects, 0);
    return status;
}

void pb_plan_free(const pb_plan_device *device, pb_plan *plan) {
    if (plan->objects.count)
        destroy_from(device->cudnn, &plan->objects, 0);
    *plan = (pb_plan){0};
}
