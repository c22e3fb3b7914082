#include "cores.h"

#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <thread>

namespace ksr {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Of "quota period" in microseconds, or "max period": how many processors' time that is.
double processors_of(const std::string& line) {
  std::istringstream words(line);
  double quota, period;
  if (words >> quota >> period && quota > 0 && period > 0) return quota / period;
  return std::numeric_limits<double>::infinity();
}

// The least that the process' cgroup and those above it give, in version 2 of cgroups and in 1.
double cgroup_processors(const std::string& root) {
  double least = std::numeric_limits<double>::infinity();
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // number:controllers:path
    const size_t one = line.find(':'), two = line.find(':', one + 1);
    if (one == std::string::npos || two == std::string::npos) continue;
    const std::string controllers = "," + line.substr(one + 1, two - one - 1) + ",";
    const bool second = controllers == ",,";
    if (!second && controllers.find(",cpu,") == std::string::npos) continue;
    const std::string base = root + "/sys/fs/cgroup";
    // In a container the path may be one of the host's; then only the top is there.
    for (std::string path = line.substr(two + 1);; path.resize(path.rfind('/'))) {
      if (second) {
        least = std::min(least, processors_of(first_line(base + path + "/cpu.max")));
      } else {
        for (const char* mount : {"/cpu", "/cpu,cpuacct"})
          least = std::min(
              least, processors_of(first_line(base + mount + path + "/cpu.cfs_quota_us") + " " +
                                   first_line(base + mount + path + "/cpu.cfs_period_us")));
      }
      if (path.empty() || path.rfind('/') == std::string::npos) break;
    }
  }
  return least;
}

}  // namespace

int usable_cores(const std::string& root) {
  int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    std::set<std::string> seen;  // the processors of each core, as one text
    cores = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(cpu, &set)) continue;
      const std::string siblings =
          first_line(root + "/sys/devices/system/cpu/cpu" + std::to_string(cpu) +
                     "/topology/thread_siblings_list");
      cores += siblings.empty() || seen.insert(siblings).second;
    }
  }
  const double given = cgroup_processors(root);
  if (given < cores) cores = static_cast<int>(std::ceil(given));
#endif
  return std::max(1, cores);
}

}  // namespace ksr
