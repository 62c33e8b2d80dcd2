/* The calls of the CUDA driver that are used, with host memory as the device's: addresses, sizes and
 * handles cross the same boundary. Time on the "device" is counted in events, a millisecond each. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static int marks = 0;
static int allocated = 0;
static int context;

int cuInit(unsigned flags) { return flags == 0 ? 0 : 1; }
int cuDeviceGetCount(int *count) { const char *n = getenv("STUB_GPUS"); *count = n ? atoi(n) : 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDevicePrimaryCtxRetain(void **out, int device) { *out = &context; return device; }
int cuCtxSetCurrent(void *given) { return given == &context ? 0 : 201; }
int cuGetErrorString(int status, const char **text) {
    *text = status == 2 ? "out of memory" : NULL;
    return *text ? 0 : 1;
}

int cuStreamCreate(void **stream, unsigned flags) { *stream = malloc(1); return flags == 1 ? 0 : 1; }
int cuStreamSynchronize(void *stream) { return stream ? 0 : 400; }

int cuMemAlloc_v2(unsigned long long *address, size_t bytes) {
    if (bytes > (1ull << 40)) return 2;
    *address = (unsigned long long)malloc(bytes);
    allocated++;
    return 0;
}
int cuMemFree_v2(unsigned long long address) { free((void *)address); allocated--; return 0; }
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t bytes, void *stream) {
    memcpy((void *)to, from, bytes);
    return stream ? 0 : 400;
}
int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t bytes, void *stream) {
    memcpy(to, (void *)from, bytes);
    return stream ? 0 : 400;
}

int cuEventCreate(void **event, unsigned flags) { *event = calloc(1, sizeof(int)); return flags; }
int cuEventRecord(void *event, void *stream) { *(int *)event = ++marks; return stream ? 0 : 400; }
int cuEventElapsedTime(float *ms, void *from, void *to) { *ms = *(int *)to - *(int *)from; return 0; }

int stub_allocated(void) { return allocated; }
