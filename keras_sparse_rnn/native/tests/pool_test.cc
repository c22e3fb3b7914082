// The pool: every number of threads runs every piece of work once and meets; calls side by side; and
// how many cores a machine has for us.
#include "../core/pool.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "../core/cores.h"
#include "problems.h"
#include "skip.h"

namespace {

// Each thread adds its number to a cell of its own, meets the others and reads theirs.
void meet_often(int threads, int times) {
  std::vector<int64_t> sums(ksr::kMaxThreads * 16);
  std::atomic<int> wrong{0}, size{0};
  ksr::parallel(threads, true, [&](int id, ksr::Team& team) {
    if (id == 0) size = team.size();
    for (int i = 1; i <= times; ++i) {
      sums[id * 16] += id + i;
      team.barrier(id);
      for (int other = 0; other < team.size(); ++other)
        wrong += sums[other * 16] != int64_t{i} * other + int64_t{i} * (i + 1) / 2;
      team.barrier(id);
    }
  });
  expect(wrong == 0, "what threads see behind a barrier", wrong, 0);
  expect(size <= std::min(threads, ksr::num_threads()), "threads of a team", size, threads);
}

// Threads of a group see what the group has written; then all meet.
void meet_in_groups(int threads, int parts) {
  std::vector<int64_t> sums(ksr::kMaxThreads * 16);
  std::atomic<int> wrong{0};
  ksr::parallel(threads, true, [&](int id, ksr::Team& team) {
    if (team.size() % parts) return;
    const int first = id / parts * parts;
    for (int i = 1; i <= 20; ++i) {
      sums[id * 16] = 1000 * i + id;
      team.barrier(id, first, parts);
      for (int other = first; other < first + parts; ++other) wrong += sums[other * 16] != 1000 * i + other;
      team.barrier(id, first, parts);
      if (i % 5) continue;
      team.barrier(id);
      for (int other = 0; other < team.size(); ++other) wrong += sums[other * 16] != 1000 * i + other;
      team.barrier(id);
    }
  });
  expect(wrong == 0, "what threads see behind a barrier of a group", wrong, 0);
}

void test_every_size() {
  for (int threads : {1, 2, 3, 4, 5, 8, 9, 10, 13, 16, 21, 40}) {
    ksr::set_num_threads(threads);
    for (int asked : {1, 2, threads, threads + 3}) meet_often(asked, 5);
    for (int parts : {1, 2, 3, 4, 10}) meet_in_groups(threads, parts);
  }
}

// Calls from several threads: all are served, and the pool's threads, which they share, are one fewer
// than it may use: the caller's own is the other.
void test_side_by_side() {
  ksr::set_num_threads(4);
  std::atomic<int> lent{0}, most{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c)
    callers.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        ksr::parallel(4, true, [&](int id, ksr::Team& team) {
          const int running = id > 0 ? ++lent : 0;
          for (int seen = most; seen < running && !most.compare_exchange_weak(seen, running);) {
          }
          team.barrier(id);
          if (id > 0) --lent;
        });
        meet_often(4, 3);
      }
    });
  for (std::thread& caller : callers) caller.join();
  expect(most <= 3, "threads of the pool in three calls", most, 3);
}

// What one thread throws reaches the caller, once all have ended; and the pool goes on.
void test_failures() {
  ksr::set_num_threads(12);
  for (int threads : {1, 2, 4, 12})
    for (int who : {0, threads - 1}) {
      std::atomic<int> ended{0};
      bool thrown = false;
      struct Counted {
        std::atomic<int>& ended;
        ~Counted() { ++ended; }
      };
      int size = 0;
      try {
        ksr::parallel(threads, true, [&](int id, ksr::Team& team) {
          if (id == 0) size = team.size();
          const Counted counted = {ended};
          team.barrier(id);
          if (id == std::min(who, team.size() - 1)) throw std::bad_alloc();
          for (int i = 0; i < 3; ++i) team.barrier(id);
        });
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      expect(thrown, "what a thread has thrown", thrown, true);
      expect(ended == size, "threads that ended", ended, size);
      meet_often(threads, 3);
    }
}

void write(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text << "\n";
}

void test_cores() {
  const int all = ksr::usable_cores("/nowhere");
  const std::string root =
      (std::filesystem::temp_directory_path() / "ksr_cores_test_XXXXXX").string();
  std::vector<char> name(root.begin(), root.end());
  name.push_back(0);
  if (!mkdtemp(name.data())) return expect(false, "mkdtemp", 0, 1);
  const std::string top(name.data());
  const auto cores = [&](int wanted, const char* what) {
    const int got = ksr::usable_cores(top);
    expect(got == wanted, what, got, wanted);
  };
  cores(all, "cores without any file");
  for (int cpu = 0; cpu < 1024; ++cpu)
    write(top + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
              "/topology/thread_siblings_list",
          "0-1023");
  cores(1, "cores of processors that are all siblings");
  for (int cpu = 0; cpu < 1024; ++cpu)
    write(top + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
              "/topology/thread_siblings_list",
          std::to_string(cpu));
  cores(all, "cores of one processor each");
  write(top + "/proc/self/cgroup", "0::/a/b");
  write(top + "/sys/fs/cgroup/cpu.max", "max 100000");
  cores(all, "cores without a limit");
  write(top + "/sys/fs/cgroup/a/b/cpu.max", "900000 100000");
  cores(std::min(all, 9), "cores of a limit of nine");
  write(top + "/sys/fs/cgroup/a/cpu.max", "50000 100000");
  cores(1, "cores of half a processor, a group above");
  write(top + "/proc/self/cgroup", "7:memory:/m\n4:cpu,cpuacct:/c");
  cores(all, "cores of version 1 without a limit");
  write(top + "/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "110000");
  write(top + "/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us", "100000");
  cores(std::min(all, 2), "cores of a little more than one processor");
  write(top + "/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "-1");
  cores(all, "cores of a quota of -1");
  write(top + "/sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "nonsense");
  cores(all, "cores of nonsense");
  std::filesystem::remove_all(top);
}

}  // namespace

int main() {
  if (cpu_is_missing()) return kSkipped;
  test_every_size();
  test_side_by_side();
  test_failures();
  test_cores();
  return failures != 0;
}
