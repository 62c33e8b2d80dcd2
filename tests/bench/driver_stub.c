/* The calls of the CUDA driver that are used, with host memory as the device's: addresses, sizes and
 * handles cross the same boundary. Time on the "device" is counted in events, a millisecond each.
 * What a graph holds is known to the test alone: a launch calls back. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long address_t;

static int marks = 0;
static int allocated = 0;
static int pinned = 0;
static int handles = 0;
static int recording = 0;
static int spoiled = 0;
static int context;
static size_t unused = 1ull << 32;
static void (*on_launch)(void) = NULL;

int cuInit(unsigned flags) { return flags == 0 ? 0 : 1; }
int cuDeviceGetCount(int *count) { const char *n = getenv("STUB_GPUS"); *count = n ? atoi(n) : 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int device) { strncpy(name, "Stub GPU", length); return device; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 8ull << 30; return device; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    switch (attribute) {
    case 18: *value = getenv("STUB_INTEGRATED") != NULL; break;
    case 75: *value = 8; break;
    case 76: *value = 7; break;
    default: return 1;
    }
    return device;
}
int cuDevicePrimaryCtxRetain(void **out, int device) { *out = &context; return device; }
int cuCtxSetCurrent(void *given) { return given == &context ? 0 : 201; }
int cuGetErrorString(int status, const char **text) {
    *text = status == 2 ? "out of memory" : status == 901 ? "operation failed due to a previous error during capture" : NULL;
    return *text ? 0 : 1;
}

int cuStreamCreate(void **stream, unsigned flags) { *stream = malloc(1); handles++; return flags == 1 ? 0 : 1; }
int cuStreamSynchronize(void *stream) { return recording ? 900 : stream ? 0 : 400; }
int cuStreamDestroy_v2(void *stream) { free(stream); handles--; return 0; }

int cuMemGetInfo_v2(size_t *free_, size_t *total) { *free_ = unused; *total = 8ull << 30; return 0; }
int cuMemAlloc_v2(address_t *address, size_t bytes) {
    if (bytes > (1ull << 40)) return 2;
    *address = (address_t)malloc(bytes);
    allocated++;
    return 0;
}
int cuMemFree_v2(address_t address) { free((void *)address); allocated--; return 0; }
int cuMemHostAlloc(void **address, size_t bytes, unsigned flags) {
    if (getenv("STUB_NO_PINNED")) return 2;
    *address = malloc(bytes);
    pinned++;
    return flags;
}
int cuMemFreeHost(void *address) { free(address); pinned--; return 0; }
int cuMemcpyHtoDAsync_v2(address_t to, const void *from, size_t bytes, void *stream) {
    memcpy((void *)to, from, bytes);
    return stream ? 0 : 400;
}
int cuMemcpyDtoHAsync_v2(void *to, address_t from, size_t bytes, void *stream) {
    memcpy(to, (void *)from, bytes);
    return stream ? 0 : 400;
}

int cuEventCreate(void **event, unsigned flags) { *event = calloc(1, sizeof(int)); handles++; return flags; }
int cuEventRecord(void *event, void *stream) { *(int *)event = ++marks; return stream ? 0 : 400; }
int cuEventElapsedTime(float *ms, void *from, void *to) { *ms = *(int *)to - *(int *)from; return 0; }
int cuEventDestroy_v2(void *event) { free(event); handles--; return 0; }

int cuStreamBeginCapture_v2(void *stream, int mode) { recording = 1; return stream && mode == 1 ? 0 : 400; }
int cuStreamEndCapture(void *stream, void **graph) {
    int refused = spoiled || getenv("STUB_NO_GRAPHS") != NULL;
    recording = spoiled = 0;
    *graph = refused ? NULL : malloc(1);
    if (!refused) handles++;
    return refused ? 901 : stream ? 0 : 400;
}
int cuGraphInstantiateWithFlags(void **out, void *graph, address_t flags) {
    if (getenv("STUB_NO_INSTANCES")) return 2;
    *out = malloc(1);
    handles++;
    return graph ? (int)flags : 400;
}
int cuGraphLaunch(void *graph, void *stream) { on_launch(); return graph && stream ? 0 : 400; }
int cuGraphExecDestroy(void *graph) { free(graph); handles--; return 0; }
int cuGraphDestroy(void *graph) { free(graph); handles--; return 0; }

int stub_allocated(void) { return allocated; }
int stub_pinned(void) { return pinned; }
int stub_handles(void) { return handles; }
int stub_recording(void) { return recording; }
void stub_spoil(void) { spoiled = 1; }
void stub_take(size_t bytes) { unused -= bytes; }
void stub_on_launch(void (*callback)(void)) { on_launch = callback; }
