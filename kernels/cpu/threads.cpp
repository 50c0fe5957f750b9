// A pool of threads that neither spins for long nor shares anything with OpenMP.
//
// OpenMP's default is to spin while it waits, which costs a factor of 20 as soon as another process uses the cores, and
// a second OpenMP runtime beside torch's would do it twice. Here a thread looks for work for SPIN_NS after its last job (the
// gap between two kernels of one forward pass) and then sleeps. A worker that wakes up late finds its job finished and
// nobody waiting: the caller works through the chunks itself meanwhile.
#include "threads.h"

#include <pthread.h>
#if DOVETAIL_AMX
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace dovetail {
namespace {

constexpr int64_t SPIN_NS = 30000;
constexpr int MAX_WORKERS = 255;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Job {
  void (*task)(void*, int64_t);
  void* context;
  int64_t chunks;
  std::atomic<int> wanted;  // workers that may still join
  std::atomic<int64_t> next{0};

  void work() {
    for (int64_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < chunks;) task(context, i);
  }
};

class Pool {
 public:
  void run(int threads, Job& job) {
    std::unique_lock<std::mutex> busy(in_use_, std::try_to_lock);
    if (!busy.owns_lock()) return job.work();  // another Python thread is computing: no second set of threads
    for (; workers_ < threads - 1; ++workers_) std::thread([this] { serve(); }).detach();
    job_.store(&job);
    posted_.fetch_add(1);
    if (sleepers_.load() > 0) {
      { std::lock_guard<std::mutex> guard(lock_); }  // who is about to sleep has looked at posted_, or sleeps
      wake_.notify_all();
    }
    job.work();
    job_.store(nullptr);  // who has not joined by now never will
    for (int64_t start = now_ns(); users_.load() != 0;) {
      relax();
      if (now_ns() - start > SPIN_NS) std::this_thread::yield();
    }
  }

 private:
  // Runs for ever: joins each job that still wants somebody.
  void serve() {
    uint64_t seen = 0;
    for (;;) {
      for (int64_t start = now_ns(); posted_.load() == seen && now_ns() - start < SPIN_NS;) {
        for (int i = 0; i < 4; ++i) relax();
      }
      if (posted_.load() == seen) {
        std::unique_lock<std::mutex> guard(lock_);
        sleepers_.fetch_add(1);
        wake_.wait(guard, [&] { return posted_.load() != seen; });
        sleepers_.fetch_sub(1);
      }
      seen = posted_.load();
      users_.fetch_add(1);  // before looking at job_: whoever takes it away waits for us afterwards
      Job* job = job_.load();
      if (job != nullptr && job->wanted.fetch_sub(1) > 0) job->work();
      users_.fetch_sub(1);
    }
  }

  std::mutex in_use_, lock_;
  std::condition_variable wake_;
  int workers_ = 0;
  // On lines of their own: spinning on one must not slow down the others.
  alignas(64) std::atomic<Job*> job_{nullptr};
  alignas(64) std::atomic<uint64_t> posted_{0};
  alignas(64) std::atomic<int> users_{0};
  alignas(64) std::atomic<int> sleepers_{0};
};

// Never destroyed: its threads run until the process ends. A forked child has none of them and starts a pool of its own.
std::atomic<Pool*> pool{nullptr};

Pool& current_pool() {
  Pool* found = pool.load(std::memory_order_acquire);
  if (found != nullptr) return *found;
  static std::mutex making;
  std::lock_guard<std::mutex> guard(making);
  if (pool.load() == nullptr) {
    static bool watching = pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr); }) == 0;
    (void)watching;
    pool.store(new Pool, std::memory_order_release);
  }
  return *pool.load();
}

#if DOVETAIL_AMX
// Tiles are large, so Linux gives them to a process only when it asks.
bool detect_amx() {
  constexpr int request_permission = 0x1023, tile_data = 18;
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d >> 22 & 1) == 0 || (d >> 24 & 3) != 3) return false;
  if (!__get_cpuid_count(7, 1, &a, &b, &c, &d) || (a >> 5 & 1) == 0) return false;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}
#else
bool detect_amx() { return false; }
#endif

int detect_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma"))
    return !__builtin_cpu_supports("avx512vnni") ? 2 : detect_amx() ? 4 : 3;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 1;
#endif
  return 0;
}

int best_isa() {
  static const int best = detect_isa();
  return best;
}

std::atomic<int> level{-1};

}  // namespace

int isa_level() {
  int found = level.load(std::memory_order_relaxed);
  if (found < 0) level.store(found = best_isa(), std::memory_order_relaxed);
  return found;
}

void run_parallel(int threads, int64_t chunks, void (*task)(void*, int64_t), void* context) {
  if (threads > chunks) threads = static_cast<int>(chunks);
  if (threads > MAX_WORKERS + 1) threads = MAX_WORKERS + 1;
  if (threads <= 1) {
    for (int64_t i = 0; i < chunks; ++i) task(context, i);
    return;
  }
  Job job{task, context, chunks, {threads - 1}};
  current_pool().run(threads, job);
}

}  // namespace dovetail

// Version of this interface: a library left over from an older checkout is not used.
DOVETAIL_EXPORT int dovetail_interface() { return 4; }

// The instruction set in use, after lowering it to `wanted` where the processor allows more; negative: leave it.
DOVETAIL_EXPORT int dovetail_isa(int wanted) {
  const int best = dovetail::best_isa();
  if (wanted >= 0) dovetail::level.store(wanted < best ? wanted : best);
  return dovetail::isa_level();
}
