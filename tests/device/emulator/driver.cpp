// A CUDA driver whose device is the processor: the functions that the program asks for, no more.
//
// Kernels are the program's own, compiled as C++. Streams are in order and done at once, those of
// several threads one call after the other. A graph is the list of what its thread launched while it
// was captured. By the environment:
//   EMULATED_DEVICES     how many there are (1)
//   EMULATED_MEMORY      bytes of each (4 GiB)
//   EMULATED_SEED        of the order in which threads run (1)
//   EMULATED_CAPABILITY  the compute capability's first number (9)
//   EMULATED_WRONG       a kernel that does nothing
//   EMULATED_FAULT       a file, and launches after which every call fails in the process that makes
//                        it: `100:/tmp/fault`
//   EMULATED_LOG         a folder in which each process that launches graphs writes, in a file named
//                        by its number, of how many networks each launch was
// By the functions `emulated_*` a test counts what was done, and makes calls fail.
#include "fibers.h"
#include "gpu.h"
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <string>
#include <unistd.h>

namespace emulated {
static std::map<std::string, Kernel *> &kernels() {
  static std::map<std::string, Kernel *> &all = *new std::map<std::string, Kernel *>;
  return all;
}
Kernel::Kernel(const char *name, size_t operands, void (*call)(void **)) : name(name), operands(operands), call(call) {
  kernels()[name] = this;
}
} // namespace emulated

// Each file has names of its own.
namespace in_correlate {
#include "correlate.cu"
}
namespace in_products {
#include "products.cu"
}
namespace in_sums {
#include "sums.cu"
}
namespace in_norm {
#include "norm.cu"
}
namespace in_pool {
#include "pool.cu"
}
namespace in_losses {
#include "losses.cu"
}
namespace in_radam {
#include "radam.cu"
}

using emulated::Kernel;

struct Launch {
  Kernel *kernel;
  Index grid;
  unsigned threads;
  size_t shared;
  std::vector<char> networks, operands;
  void run() {
    static const char *wrong = getenv("EMULATED_WRONG");
    if (wrong && !strcmp(wrong, kernel->name)) return;
    static unsigned seed = getenv("EMULATED_SEED") ? atoi(getenv("EMULATED_SEED")) : 1;
    void *arguments[] = {networks.data(), operands.data()};
    emulated::run(kernel->call, arguments, grid, threads, shared, seed++);
  }
};
typedef std::vector<Launch> Graph;
static thread_local Graph *capturing;
static std::recursive_mutex one_call;

// What was done since the program began.
enum Counted { LAUNCHES, ALLOCATIONS, COPIES_IN, COPIES_OUT, BYTES_IN, GRAPHS, IN_GRAPHS, PEAK_BYTES, COUNTS };
static unsigned long long counts[COUNTS];
static long long left = -1; // launches before every call fails; never if negative
static size_t memory_used;
static size_t most = getenv("EMULATED_MEMORY") ? strtoull(getenv("EMULATED_MEMORY"), nullptr, 10) : 4ull << 30;
static size_t memory_total() { return most; }
static int devices() {
  const char *visible = getenv("CUDA_VISIBLE_DEVICES"), *count = getenv("EMULATED_DEVICES");
  return count ? atoi(count) : visible && !*visible ? 0 : 1;
}
static std::map<uint64_t, size_t> &allocated() {
  static std::map<uint64_t, size_t> &all = *new std::map<uint64_t, size_t>;
  return all;
}

// The networks of a graph, by its last launch, which has one group.
static void log_networks(const Graph &graph) {
  static const char *folder = getenv("EMULATED_LOG");
  if (!folder) return;
  const Networks *networks = (const Networks *)graph.back().networks.data();
  unsigned in_use = 0;
  for (unsigned i = 0; i < graph.back().grid.z; i++) in_use += ((void *const *)networks->feed)[i] != nullptr;
  FILE *log = fopen((std::string(folder) + "/" + std::to_string(getpid())).c_str(), "a");
  fprintf(log, "%u\n", in_use);
  fclose(log);
}
// Launches after which this process fails, if it is the first.
static long long fault() {
  const char *at = getenv("EMULATED_FAULT");
  if (!at) return -1;
  int file = open(strchr(at, ':') + 1, O_CREAT | O_EXCL, 0600);
  return file < 0 ? -1 : atoll(at);
}

typedef int Code;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700 };
#define ALONE std::lock_guard<std::recursive_mutex> alone(one_call)
// A fault of a kernel stays: every later call reports it.
#define ALIVE                                                                                        \
  ALONE;                                                                                             \
  if (left == 0) return ILLEGAL_ADDRESS
typedef uint64_t Address;
typedef void *Handle;

extern "C" {
unsigned long long emulated_count(int which) { return counts[which]; }
void emulated_fail_after(long long launches) { left = launches; }
void emulated_memory(size_t bytes) { most = bytes, counts[PEAK_BYTES] = memory_used; }

Code cuInit(unsigned) { return devices() > 0 || getenv("EMULATED_DEVICES") ? SUCCESS : NO_DEVICE; }
Code cuDriverGetVersion(int *version) { *version = 12040; return SUCCESS; }
Code cuDeviceGetCount(int *count) { *count = devices(); return SUCCESS; }
Code cuDeviceGet(int *device, int number) {
  if (number >= devices()) return INVALID_DEVICE;
  *device = number;
  return SUCCESS;
}
Code cuDeviceGetName(char *name, int length, int) { snprintf(name, length, "an emulated device"); return SUCCESS; }
Code cuDeviceTotalMem_v2(size_t *bytes, int) { *bytes = memory_total(); return SUCCESS; }
// 16: multiprocessors, 75 and 76: compute capability, 97: the most shared memory of a block.
Code cuDeviceGetAttribute(int *value, int which, int) {
  const char *old = getenv("EMULATED_CAPABILITY");
  *value = which == 16 ? 132 : which == 75 ? (old ? atoi(old) : 9) : which == 76 ? 0 : which == 97 ? 227 << 10 : 0;
  return SUCCESS;
}
Code cuDevicePrimaryCtxRetain(Handle *context, int) { *context = (Handle)1; return SUCCESS; }
Code cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
Code cuCtxSetCurrent(Handle) { return SUCCESS; }
Code cuCtxPushCurrent_v2(Handle) { return SUCCESS; }
Code cuCtxPopCurrent_v2(Handle *) { return SUCCESS; }
Code cuMemGetInfo_v2(size_t *free, size_t *total) {
  ALONE;
  *total = memory_total();
  *free = *total - memory_used;
  return SUCCESS;
}
Code cuStreamCreate(Handle *stream, unsigned) { *stream = (Handle)1; return SUCCESS; }
Code cuStreamDestroy_v2(Handle) { return SUCCESS; }
Code cuStreamSynchronize(Handle) { ALIVE; return SUCCESS; }
Code cuMemAlloc_v2(Address *address, size_t bytes) {
  ALIVE;
  if (bytes == 0) return INVALID_VALUE;
  if (memory_used + bytes > memory_total()) return OUT_OF_MEMORY;
  counts[ALLOCATIONS]++;
  memory_used += bytes;
  counts[PEAK_BYTES] = max(counts[PEAK_BYTES], (unsigned long long)memory_used);
  void *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset(memory, 0xff, bytes); // NaN
  *address = (Address)memory;
  allocated()[*address] = bytes;
  return SUCCESS;
}
Code cuMemFree_v2(Address address) {
  ALONE;
  memory_used -= allocated()[address];
  allocated().erase(address);
  free((void *)address);
  return SUCCESS;
}
Code cuMemAllocHost_v2(void **memory, size_t bytes) { *memory = malloc(bytes); return SUCCESS; }
Code cuMemFreeHost(void *memory) { free(memory); return SUCCESS; }
Code cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, Handle) {
  ALIVE;
  counts[COPIES_IN]++;
  counts[BYTES_IN] += bytes;
  memcpy((void *)to, from, bytes);
  return SUCCESS;
}
Code cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, Handle) {
  ALIVE;
  counts[COPIES_OUT]++;
  memcpy(to, (void *)from, bytes);
  return SUCCESS;
}
Code cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, Handle) {
  ALIVE;
  memcpy((void *)to, (void *)from, bytes);
  return SUCCESS;
}
Code cuModuleLoadData(Handle *module, const void *) { *module = (Handle)1; return SUCCESS; }
Code cuModuleUnload(Handle) { return SUCCESS; }
Code cuModuleGetFunction(Handle *function, Handle, const char *name) {
  auto found = emulated::kernels().find(name);
  if (found == emulated::kernels().end()) return NOT_FOUND;
  *function = found->second;
  return SUCCESS;
}
Code cuFuncSetAttribute(Handle, int, int) { return SUCCESS; }
Code cuFuncGetParamInfo(Handle function, size_t number, size_t *offset, size_t *size) {
  if (number > 1) return INVALID_VALUE;
  *offset = number == 0 ? 0 : sizeof(Networks);
  *size = number == 0 ? sizeof(Networks) : ((Kernel *)function)->operands;
  return SUCCESS;
}
Code cuLaunchKernel(Handle function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned, unsigned,
                    unsigned shared, Handle, void **arguments, void **) {
  ALIVE;
  if (x == 0 || y == 0 || z == 0 || y > 65535 || z > 65535 || threads == 0 || threads > 1024 || shared > 227 << 10)
    return INVALID_VALUE;
  Kernel *kernel = (Kernel *)function;
  auto bytes = [](void *from, size_t count) { return std::vector<char>((char *)from, (char *)from + count); };
  Launch launch{kernel, {x, y, z}, threads, shared, bytes(arguments[0], sizeof(Networks)), bytes(arguments[1], kernel->operands)};
  if (capturing) {
    capturing->push_back(launch);
    return SUCCESS;
  }
  counts[LAUNCHES]++;
  if (left > 0) left--;
  launch.run();
  return SUCCESS;
}
Code cuStreamBeginCapture_v2(Handle, int) { ALIVE; capturing = new Graph; return SUCCESS; }
Code cuStreamEndCapture(Handle, Handle *graph) { *graph = capturing; capturing = nullptr; return SUCCESS; }
Code cuGraphInstantiateWithFlags(Handle *ready, Handle graph, unsigned long long) { *ready = new Graph(*(Graph *)graph); return SUCCESS; }
Code cuGraphLaunch(Handle ready, Handle) {
  ALIVE;
  if (counts[GRAPHS]++ == 0 && left < 0) left = fault();
  log_networks(*(Graph *)ready);
  for (auto &launch : *(Graph *)ready) {
    counts[IN_GRAPHS]++;
    if (left > 0) left--;
    launch.run();
  }
  return SUCCESS;
}
Code cuGraphExecDestroy(Handle ready) { delete (Graph *)ready; return SUCCESS; }
Code cuGraphDestroy(Handle graph) { delete (Graph *)graph; return SUCCESS; }
Code cuEventCreate(Handle *event, unsigned) { *event = malloc(1); return SUCCESS; }
Code cuEventDestroy_v2(Handle event) { free(event); return SUCCESS; }
Code cuEventRecord(Handle, Handle) { return SUCCESS; }
Code cuEventSynchronize(Handle) { ALIVE; return SUCCESS; }
Code cuEventElapsedTime(float *milliseconds, Handle, Handle) { *milliseconds = 1; return SUCCESS; }
Code cuGetErrorName(Code code, const char **name) {
  *name = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : code == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE" : code == INVALID_DEVICE ? "CUDA_ERROR_INVALID_DEVICE"
          : code == ILLEGAL_ADDRESS ? "CUDA_ERROR_ILLEGAL_ADDRESS" : code == NOT_FOUND ? "CUDA_ERROR_NOT_FOUND" : "CUDA_ERROR_INVALID_VALUE";
  return SUCCESS;
}
Code cuGetErrorString(Code code, const char **text) {
  *text = code == OUT_OF_MEMORY ? "out of memory" : code == NO_DEVICE ? "no CUDA-capable device is detected" : code == INVALID_DEVICE ? "invalid device ordinal"
          : code == ILLEGAL_ADDRESS ? "an illegal memory access was encountered" : code == NOT_FOUND ? "named symbol not found" : "invalid argument";
  return SUCCESS;
}
}
