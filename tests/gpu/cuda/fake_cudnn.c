#include "fake_cudnn.h"

#include "simulator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                              \
    do {                                                                                             \
        if (!(condition)) {                                                                          \
            fprintf(stderr, "fake cuDNN: %s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                                 \
        }                                                                                            \
    } while (0)

static const fake_engine PLAIN = {.mode = CUDNN_HEUR_MODE_A};
fake_cudnn fake = {.version = 91900, .engines = &PLAIN, .engine_count = 1};

enum { ATTRIBUTES_MAX = 12, PLANS_MAX = 4096, ALIVE = 0x600D };

typedef struct attribute {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t count;
    void *values;
} attribute;

typedef struct object {
    int alive;
    cudnnBackendDescriptorType_t type;
    bool finalized;
    int number;           /* of a configuration and its engine: in fake.engines; of a plan from text: in `written` */
    struct object *graph; /* of a configuration */
    int attribute_count;
    attribute attributes[ATTRIBUTES_MAX];
} object;

/* The graphs of plans that became text: "fake plan N". */
typedef struct fake_plan {
    pb_graph graph;
    int64_t numbers[PB_GRAPH_TENSORS_MAX]; /* of the tensors, as the caller knows them */
    int64_t workspace;
} fake_plan;

static fake_plan written[PLANS_MAX];
static int written_count;

/* Whether this call is the one that fails. */
static bool fails(void) { return ++fake.calls == fake.fail_at; }

static object *object_of(cudnnBackendDescriptor_t descriptor) {
    object *of = (object *)descriptor;
    MUST(of && of->alive == ALIVE);
    return of;
}

static size_t size_of(cudnnBackendAttributeType_t type) {
    switch (type) {
    case CUDNN_TYPE_CHAR:
    case CUDNN_TYPE_BOOLEAN:
        return 1;
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_VOID_PTR:
        return 8;
    default:
        return 4;
    }
}

static const attribute *find(const object *of, cudnnBackendAttributeName_t name) {
    for (int a = 0; a < of->attribute_count; a++)
        if (of->attributes[a].name == name)
            return &of->attributes[a];
    return NULL;
}

/* An attribute that must have been set, with so many values of this type. */
static const void *get(const object *of, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count) {
    const attribute *found = find(of, name);
    MUST(found && found->type == type && found->count == count);
    return found->values;
}

static int64_t get_int(const object *of, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type) {
    int64_t value = 0;
    memcpy(&value, get(of, name, type, 1), size_of(type));
    return value;
}

static void get_pair(const object *of, cudnnBackendAttributeName_t name, int64_t out[2]) {
    memcpy(out, get(of, name, CUDNN_TYPE_INT64, 2), 2 * sizeof *out);
}

static object *get_object(const object *of, cudnnBackendAttributeName_t name) {
    cudnnBackendDescriptor_t descriptor;
    memcpy(&descriptor, get(of, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1), sizeof descriptor);
    object *found = object_of(descriptor);
    MUST(found->finalized);
    return found;
}

/* ---- what a graph of objects means ---- */

/* Adds the tensor of an object, or finds it by its number. */
static int read_tensor(pb_graph *graph, int64_t numbers[PB_GRAPH_TENSORS_MAX], const object *of) {
    const int64_t number = get_int(of, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64);
    int t = 0;
    while (t < graph->tensor_count && numbers[t] != number)
        t++;
    if (t < graph->tensor_count)
        return t;
    MUST(t < PB_GRAPH_TENSORS_MAX);
    numbers[graph->tensor_count++] = number;
    pb_graph_tensor *tensor = &graph->tensors[t];
    const int64_t type = get_int(of, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE);
    MUST(type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_HALF || type == CUDNN_DATA_BFLOAT16);
    tensor->element = type == CUDNN_DATA_FLOAT  ? PB_ELEMENT_FLOAT
                      : type == CUDNN_DATA_HALF ? PB_ELEMENT_HALF
                                                : PB_ELEMENT_BFLOAT;
    tensor->role = get_int(of, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN) ? PB_GRAPH_VIRTUAL : PB_GRAPH_ROLES;
    if (find(of, CUDNN_ATTR_TENSOR_IS_BY_VALUE) && get_int(of, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN))
        tensor->role = PB_GRAPH_SCALE;
    MUST(get_int(of, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64) == 16);
    memcpy(tensor->dims, get(of, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4), sizeof tensor->dims);
    memcpy(tensor->strides, get(of, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4), sizeof tensor->strides);
    return t;
}

static void read_convolution(pb_graph *graph, int64_t *numbers, const object *of, pb_graph_operation *operation) {
    const object *how = get_object(of, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
    int64_t dilations[2];
    MUST(get_int(how, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE) == CUDNN_DATA_FLOAT);
    MUST(get_int(how, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE) == CUDNN_CROSS_CORRELATION);
    MUST(get_int(how, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64) == 2);
    MUST(*(const float *)get(of, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1) == 1.0f);
    MUST(*(const float *)get(of, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1) == 0.0f);
    get_pair(how, CUDNN_ATTR_CONVOLUTION_DILATIONS, dilations);
    MUST(dilations[0] == 1 && dilations[1] == 1);
    operation->verb = PB_GRAPH_CONVOLUTION;
    get_pair(how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, operation->strides);
    get_pair(how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, operation->before);
    get_pair(how, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, operation->after);
    operation->x = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X));
    operation->other = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W));
    operation->y = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y));
    graph->tensors[operation->x].role = PB_GRAPH_SOURCE;
    graph->tensors[operation->other].role = PB_GRAPH_WEIGHTS;
    memcpy(operation->window, graph->tensors[operation->other].dims + 2, sizeof operation->window);
}

static void read_pool(pb_graph *graph, int64_t *numbers, const object *of, pb_graph_operation *operation) {
    const object *how = get_object(of, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC);
    MUST(get_int(how, CUDNN_ATTR_RESAMPLE_MODE, CUDNN_TYPE_RESAMPLE_MODE) == CUDNN_RESAMPLE_MAXPOOL);
    MUST(get_int(how, CUDNN_ATTR_RESAMPLE_COMP_TYPE, CUDNN_TYPE_DATA_TYPE) == CUDNN_DATA_FLOAT);
    MUST(get_int(how, CUDNN_ATTR_RESAMPLE_PADDING_MODE, CUDNN_TYPE_PADDING_MODE) == CUDNN_NEG_INF_PAD);
    MUST(get_int(how, CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS, CUDNN_TYPE_INT64) == 2);
    operation->verb = PB_GRAPH_MAX_POOL;
    get_pair(how, CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, operation->window);
    get_pair(how, CUDNN_ATTR_RESAMPLE_STRIDES, operation->strides);
    get_pair(how, CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, operation->before);
    get_pair(how, CUDNN_ATTR_RESAMPLE_POST_PADDINGS, operation->after);
    operation->x = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC));
    operation->y = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC));
    graph->tensors[operation->x].role = PB_GRAPH_SOURCE;
}

static void read_pointwise(pb_graph *graph, int64_t *numbers, const object *of, pb_graph_operation *operation) {
    const object *how = get_object(of, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    const int64_t mode = get_int(how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE);
    MUST(get_int(how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE) == CUDNN_DATA_FLOAT);
    MUST(mode == CUDNN_POINTWISE_ADD || mode == CUDNN_POINTWISE_RELU_FWD || mode == CUDNN_POINTWISE_GELU_FWD);
    operation->verb = mode == CUDNN_POINTWISE_ADD        ? PB_GRAPH_ADD
                      : mode == CUDNN_POINTWISE_RELU_FWD ? PB_GRAPH_RELU
                                                         : PB_GRAPH_GELU;
    operation->x = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
    operation->y = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
    if (mode == CUDNN_POINTWISE_ADD) {
        operation->other = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
        pb_graph_tensor *term = &graph->tensors[operation->other];
        term->role = term->dims[0] == 1 && term->dims[2] == 1 && term->dims[3] == 1 && term->strides[0] == term->dims[1]
                         ? PB_GRAPH_BIAS : PB_GRAPH_RESIDUAL;
    } else if (find(how, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP)) {
        MUST(*(const double *)get(how, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, CUDNN_TYPE_DOUBLE, 1) == 0.0);
        operation->upper = *(const double *)get(how, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1);
    }
}

/* Queries, keys, values and result are [images][heads][tokens][channels] of one type, keys and values of one number of tokens;
 * channels lie together. */
static void read_attention(pb_graph *graph, int64_t *numbers, const object *of, pb_graph_operation *operation) {
    operation->verb = PB_GRAPH_ATTENTION;
    operation->x = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC));
    operation->other = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC));
    operation->values = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC));
    operation->scale = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC));
    operation->y = read_tensor(graph, numbers, get_object(of, CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC));
    graph->tensors[operation->x].role = PB_GRAPH_SOURCE;
    graph->tensors[operation->other].role = PB_GRAPH_KEYS;
    graph->tensors[operation->values].role = PB_GRAPH_VALUES;
    const pb_graph_tensor *queries = &graph->tensors[operation->x], *scale = &graph->tensors[operation->scale];
    MUST(scale->role == PB_GRAPH_SCALE && scale->element == PB_ELEMENT_FLOAT);
    const int others[] = {operation->other, operation->values, operation->y};
    for (int o = 0; o < 3; o++) {
        const pb_graph_tensor *other = &graph->tensors[others[o]];
        MUST(other->element == queries->element && other->strides[3] == 1);
        MUST(memcmp(other->dims, queries->dims, sizeof other->dims) == 0);
    }
}

/* numbers: of the tensors, as the caller knows them. */
static void read_graph(const object *of, pb_graph *graph, int64_t numbers[PB_GRAPH_TENSORS_MAX]) {
    const attribute *all = find(of, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    MUST(all && all->count >= 1 && all->count <= PB_GRAPH_OPERATIONS_MAX);
    *graph = (pb_graph){.operation_count = (int)all->count};
    for (int o = 0; o < graph->operation_count; o++) {
        const object *at = object_of(((cudnnBackendDescriptor_t *)all->values)[o]);
        pb_graph_operation *operation = &graph->operations[o];
        *operation = (pb_graph_operation){.other = -1, .values = -1, .scale = -1, .upper = INFINITY};
        MUST(at->finalized);
        if (at->type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
            read_convolution(graph, numbers, at, operation);
        else if (at->type == CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR)
            read_pool(graph, numbers, at, operation);
        else if (at->type == CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR)
            read_attention(graph, numbers, at, operation);
        else
            read_pointwise(graph, numbers, at, operation);
    }
    pb_graph_tensor *last = &graph->tensors[graph->operations[graph->operation_count - 1].y];
    MUST(last->role == PB_GRAPH_ROLES);
    last->role = PB_GRAPH_OUTPUT;
}

/* ---- the library's functions ---- */

size_t cudnnGetVersion(void) { return fake.version; }

const char *cudnnGetErrorString(cudnnStatus_t status) { return status == CUDNN_STATUS_SUCCESS ? "success" : "FAKE_STATUS"; }

void cudnnGetLastErrorString(char *message, size_t size) { snprintf(message, size, "as asked for"); }

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
    if (fails())
        return fake.failure;
    fake.handles++;
    *handle = (cudnnHandle_t)(void *)&fake;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
    MUST((void *)handle == (void *)&fake && fake.handles > 0);
    fake.handles--;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    MUST((void *)handle == (void *)&fake && stream);
    return fails() ? fake.failure : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *descriptor) {
    if (fails())
        return fake.failure;
    object *of = calloc(1, sizeof *of);
    MUST(of);
    *of = (object){.alive = ALIVE, .type = type, .number = -1};
    fake.objects++;
    *descriptor = (cudnnBackendDescriptor_t)of;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
    object *of = object_of(descriptor);
    for (int a = 0; a < of->attribute_count; a++)
        free(of->attributes[a].values);
    of->alive = 0;
    fake.objects--;
    free(of);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    object *of = object_of(descriptor);
    MUST(!of->finalized && !find(of, name) && of->attribute_count < ATTRIBUTES_MAX && count >= 0 && values);
    if (fails())
        return fake.failure;
    attribute *at = &of->attributes[of->attribute_count++];
    *at = (attribute){name, type, count, malloc((size_t)count * size_of(type) + 1)};
    MUST(at->values);
    memcpy(at->values, values, (size_t)count * size_of(type));
    ((char *)at->values)[(size_t)count * size_of(type)] = '\0';
    return CUDNN_STATUS_SUCCESS;
}

/* A plan is refused as its engine says; a text, unless it is one of ours. */
static cudnnStatus_t finalize_plan(object *plan) {
    MUST(get_object(plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP)->type == CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    const attribute *text = find(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION);
    if (text) {
        int number;
        if (sscanf((const char *)text->values, "fake plan %d", &number) != 1 || number >= written_count)
            return CUDNN_STATUS_BAD_PARAM;
        plan->number = number;
        fake.plans_restored++;
        return CUDNN_STATUS_SUCCESS;
    }
    const object *configuration = get_object(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    const fake_engine *engine = &fake.engines[configuration->number];
    pb_graph graph;
    int64_t numbers[PB_GRAPH_TENSORS_MAX];
    read_graph(object_of((cudnnBackendDescriptor_t)configuration->graph), &graph, numbers);
    for (int t = 0; t < graph.tensor_count; t++)
        if (engine->only_io_bias && graph.tensors[t].role == PB_GRAPH_BIAS &&
            graph.tensors[t].element != graph.tensors[0].element)
            return CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE;
    if (engine->no_attention && graph.operations[0].verb == PB_GRAPH_ATTENTION) {
        fake.attention_refused++;
        return CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN;
    }
    fake.plans_made += engine->refusal == CUDNN_STATUS_SUCCESS;
    return engine->refusal;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
    object *of = object_of(descriptor);
    MUST(!of->finalized);
    cudnnStatus_t status = fails() ? fake.failure : CUDNN_STATUS_SUCCESS;
    if (status == CUDNN_STATUS_SUCCESS && of->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
        pb_graph graph;
        int64_t numbers[PB_GRAPH_TENSORS_MAX];
        read_graph(of, &graph, numbers);
    }
    if (status == CUDNN_STATUS_SUCCESS && of->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
        status = finalize_plan(of);
    of->finalized = status == CUDNN_STATUS_SUCCESS;
    return status;
}

/* What a finalized plan runs, read from the objects that it refers to. */
static fake_plan plan_of(const object *plan) {
    MUST(plan->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && plan->finalized);
    if (plan->number >= 0)
        return written[plan->number];
    const object *configuration = get_object(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    fake_plan found = {.workspace = fake.engines[configuration->number].workspace};
    read_graph(object_of((cudnnBackendDescriptor_t)configuration->graph), &found.graph, found.numbers);
    return found;
}

/* How many configurations of a mode there are; the first `room` of them are written. Asked beforehand, the real library gives an
 * upper bound. */
static int64_t propose(const object *heuristic, int64_t room, cudnnBackendDescriptor_t *out) {
    const int64_t mode = get_int(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE);
    int64_t count = 0;
    MUST(get_object(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP)->type == CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
    for (int e = 0; e < fake.engine_count; e++) {
        if ((int64_t)fake.engines[e].mode != mode)
            continue;
        if (out && count < room) {
            object *configuration = object_of(out[count]);
            MUST(configuration->type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
            configuration->number = e;
            configuration->graph = get_object(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
            configuration->finalized = true;
        }
        count++;
    }
    return out ? count : count + 2;
}

/* Copies text, or says how long it is. */
static void give_text(const char *text, int64_t room, int64_t *count, void *out) {
    *count = (int64_t)strlen(text);
    if (out)
        memcpy(out, text, (size_t)(room < *count ? room : *count));
}

static void write_plan(const object *plan, int64_t room, int64_t *count, void *out) {
    char text[40];
    if (out) {
        MUST(written_count < PLANS_MAX);
        written[written_count++] = plan_of(plan);
    }
    snprintf(text, sizeof text, "fake plan %06d", out ? written_count - 1 : 0);
    give_text(text, room, count, out);
}

static void give_engine(const object *configuration, cudnnBackendDescriptor_t engine) {
    object *of = object_of(engine);
    MUST(of->type == CUDNN_BACKEND_ENGINE_DESCRIPTOR && !of->finalized);
    of->number = configuration->number;
    of->finalized = true;
}

static void give_description(const object *device, int64_t room, int64_t *count, void *out) {
    const attribute *text = find(device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION);
    char made[80] = "";
    if (!text) {
        const int number = (int)get_int(device, CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32);
        snprintf(made, sizeof made, "{\"cudaDeviceId\":%d,\"driverVer\":%d,\"pciDeviceId\":%d}", number, fake.driver,
                 30 + number);
    }
    give_text(text ? (const char *)text->values : made, room, count, out);
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t room, int64_t *count, void *out) {
    const object *of = object_of(descriptor);
    MUST(of->finalized);
    (void)type;
    if (fails())
        return fake.failure;
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS)
        *count = propose(of, room, out);
    else if (name == CUDNN_ATTR_ENGINECFG_ENGINE)
        give_engine(of, *(cudnnBackendDescriptor_t *)out);
    else if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE) {
        *count = fake.engines[of->number].note_count;
        memcpy(out, fake.engines[of->number].notes, (size_t)*count * sizeof(cudnnBackendNumericalNote_t));
    } else if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE)
        *(int64_t *)out = plan_of(of).workspace;
    else if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION)
        write_plan(of, room, count, out);
    else {
        MUST(name == CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION);
        give_description(of, room, count, out);
    }
    return CUDNN_STATUS_SUCCESS;
}

/* Work on a stream: a graph and its memory. A number is taken when it is queued. */
typedef struct work {
    pb_graph graph;
    float number;
    void *memory[PB_GRAPH_ROLES];
    char *workspace;
    int64_t workspace_bytes;
} work;

/* A plan may write to all of its workspace. */
static void run_work(void *of) {
    work *at = of;
    memset(at->workspace, 0xA5, (size_t)at->workspace_bytes);
    simulate(&at->graph, at->memory);
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack) {
    MUST((void *)handle == (void *)&fake);
    if (fails())
        return fake.failure;
    const fake_plan found = plan_of(object_of(plan));
    const object *memory = object_of(pack);
    const attribute *numbers = find(memory, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    void *const *pointers = get(memory, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, numbers->count);
    work *to = calloc(1, sizeof *to);
    MUST(to && memory->finalized);
    to->graph = found.graph;
    to->workspace_bytes = found.workspace;
    memcpy(&to->workspace, get(memory, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1), sizeof to->workspace);
    for (int t = 0; t < found.graph.tensor_count; t++)
        for (int64_t i = 0; i < numbers->count; i++)
            if (((const int64_t *)numbers->values)[i] == found.numbers[t]) {
                const pb_graph_role role = found.graph.tensors[t].role;
                MUST(role != PB_GRAPH_VIRTUAL && pointers[i] && (role == PB_GRAPH_SCALE || (uintptr_t)pointers[i] % 16 == 0));
                to->memory[role] = pointers[i];
            }
    if (to->memory[PB_GRAPH_SCALE]) {
        to->number = *(const float *)to->memory[PB_GRAPH_SCALE];
        to->memory[PB_GRAPH_SCALE] = &to->number;
    }
    fake.runs++;
    if (fake.queue)
        fake.queue(run_work, free, to);
    else {
        run_work(to);
        free(to);
    }
    return CUDNN_STATUS_SUCCESS;
}
