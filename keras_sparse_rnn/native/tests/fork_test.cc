// A process may fork at any time: while others of its threads run teams, and while they call for
// the first time. The child's own calls are right, and so are those that go on in the parent.
//   fork_test [--teams [--alone]]: at the time of the fork only teams run, which allocate nothing,
//   for a fork may leave the sanitizers' allocators locked; and children have one thread, for
//   ThreadSanitizer follows no fork that starts threads.

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "../core/pack.h"
#include "../core/pool.h"
#include "problems.h"
#include "skip.h"

namespace {

bool teams_only = false, alone = false;

// Calls of every kind.
class Calls {
 public:
  Calls()
      : few_(ksr::Cell::kLstm, 2, 12, 100, 200, kShapes[2], kShapes[3], 0.9, true, true, false),
        many_(ksr::Cell::kGruResetBefore, 33, 3, 100, 200, kShapes[1], kShapes[3], 0.9, true, true,
              false),
        x_(random_floats(40 * 200)),
        dense_(random_floats(800 * 800)) {
    make_kernel(200, 300, 2, kShapes[2], 0.9, &kernel_);
  }

  std::vector<Floats> run() {
    few_.run(false);
    many_.run(true);
    Floats y(40 * 600);
    ksr::matmul_forward(kernel_.packed, 40, x_.data(), y.data());
    const ksr::LivePacker packer({800, 800, 1, 16, 16}, dense_.data());
    std::vector<Floats> all = few_.results();
    for (const Floats& one : many_.results()) all.push_back(one);
    all.push_back(y);
    all.push_back({static_cast<float>(packer.live())});
    return all;
  }

 private:
  Case few_, many_;
  Floats x_, dense_;
  Kernel kernel_;
};

void meet_often() {
  ksr::parallel(3, true, [](int id, ksr::Team& team) {
    for (int i = 0; i < 20; ++i) team.barrier(id);
  });
}

// Calls with as many threads as there are now give what one thread gives.
void call(Calls* calls) {
  const std::vector<Floats> got = calls->run();
  const int threads = ksr::num_threads();
  ksr::set_num_threads(1);
  expect(same_bits(got, calls->run()), "results of calls", threads, 1);
  ksr::set_num_threads(threads);
  meet_often();
}

// Calls `act` in a child; one that hangs is ended.
template <typename Act>
pid_t child_of(Act act) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child != 0) return child;
  alarm(20);
  failures = 0;
  if (alone) ksr::set_num_threads(1);
  act();
  std::fflush(stdout);
  _exit(failures != 0);
}

void expect_good_end(pid_t child, const char* what) {
  int status = -1;
  const pid_t ended = waitpid(child, &status, 0);
  expect(ended == child && status == 0, what, status, 0);
}

// In processes that have made no call yet.
void test_first_calls(Calls* calls) {
  for (int i = 0; i < (teams_only ? 3 : 10); ++i)
    expect_good_end(child_of([&] {
                      if (alone) ksr::set_num_threads(3);
                      std::thread first(meet_often);
                      const pid_t child = child_of([&] { call(calls); });
                      first.join();
                      expect_good_end(child, "the child of a process that makes its first call");
                    }),
                    "a process that forks in its first call");
}

void test_running(Calls* calls, Calls* others) {
  ksr::set_num_threads(3);
  const std::vector<Floats> wanted = others->run();
  std::atomic<bool> ended{false};
  std::atomic<int> count{0};
  std::thread runner([&] {
    for (; !ended; ++count) {
      meet_often();
      if (!teams_only) expect(same_bits(others->run(), wanted), "results beside a fork", count, 0);
    }
  });
  for (int i = 0; i < (teams_only ? 5 : 20); ++i) {
    const int before = count;
    usleep(static_cast<useconds_t>(pick(0, 3000)));
    const pid_t child = child_of([&] { call(calls); });
    if (!teams_only) call(calls);
    expect_good_end(child, "the child of a process that runs teams");
    while (count == before) std::this_thread::yield();
  }
  ended = true;
  runner.join();
}

}  // namespace

int main(int count, char**) {
  if (cpu_is_missing()) return kSkipped;
  teams_only = count > 1;
  alone = count > 2;
  unsetenv("KERAS_SPARSE_RNN_THREADS");
  Calls calls, others;
  test_first_calls(&calls);
  test_running(&calls, &others);
  return failures != 0;
}
