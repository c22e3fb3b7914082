"""Lets the cases of a problem take turns, and makes statistics of their times.

In each round every case has a turn, in one round first to last and in the next last to first. Before a turn there is a short pause, so that the spinning
threads of the process before have gone to sleep. In its turn a peer first makes calls that do not count, then timed ones until its share of the problem's
time is used up, at least one. Whatever slows the machine down for a while so hits all of them.
"""

import os
import statistics
import time

import numpy as np

from benchmarks.process import Failed, Skipped

PAUSE = 0.1  # seconds
MOST_CALLS = 2000  # in a turn


def measure(problem, team, progress=lambda: None):
    """Measures a problem.

    Args:
        problem: a `Problem`.
        team: a `benchmarks.process.Team`.
        progress: called after each step of the work, of which there are `work(problem)`.

    Returns:
        list of dicts, one for each case: its fields, and `median`, `min`, `q1`, `q3` in seconds, `calls`, the `rounds`' medians and the `error`; or
        `skipped` or `failed` with the reason.
    """
    if problem.mode == "memory":
        return [_outcome(case, _memory, problem, case, team, progress) for case in problem.cases]
    paths, ready, outcomes = {}, {}, {}
    for case in problem.cases:
        try:
            ready[case] = team[case.peer], _prepare(problem, case, team, paths)
        except (Failed, Skipped) as error:
            outcomes[case] = _reason(error)
        progress()
    times = {case: [] for case in ready}
    seconds = problem.seconds / max(1, problem.rounds * len(ready))
    for number in range(problem.rounds):
        for case in list(ready)[:: -1 if number % 2 else 1]:
            worker, prepared = ready[case]
            time.sleep(PAUSE)
            if case not in outcomes:
                try:
                    answer = worker.ask("turn", number=prepared["number"], seconds=seconds, calls=MOST_CALLS)
                    times[case].append(answer["times"])
                except (Failed, Skipped) as error:
                    outcomes[case] = _reason(error)
            progress()
    team.drop()
    for path in paths.values():
        os.remove(path)
    for case, (_, prepared) in ready.items():
        outcomes.setdefault(case, {"error": prepared["error"], **summary(times[case])} if case not in outcomes else None)
    return [{**_fields(case), **outcomes[case]} for case in problem.cases]


def work(problem):
    """How many steps of progress a problem has, at most."""
    return len(problem.cases) * (1 if problem.mode == "memory" else 1 + problem.rounds)


def summary(rounds):
    """Statistics of the times of all calls, and the median of each round."""
    times = np.concatenate(rounds)
    q1, median, q3 = np.percentile(times, (25, 50, 75))
    return {
        "median": median,
        "min": times.min(),
        "q1": q1,
        "q3": q3,
        "calls": len(times),
        "rounds": [statistics.median(each) for each in rounds],
    }


def _prepare(problem, case, team, paths):
    """Makes a case ready, and before it, if need be, the outputs that its pattern should give."""
    worker = team[case.peer]
    if worker.missing:
        raise Skipped(worker.missing)
    fields = problem.to_json()
    if case.pattern not in paths:
        path = os.path.join(team.folder.name, f"expected-{len(paths)}.npz")
        try:
            team["reference"].ask("expect", problem=fields, pattern=case.pattern.__dict__, path=path)
        except Failed as error:
            raise Failed(f"nothing to compare with: {error}") from error
        paths[case.pattern] = path
    return worker.ask("prepare", problem=fields, case=_fields(case), path=paths[case.pattern])


def _memory(problem, case, team):
    worker = team.fresh(case.peer)
    try:
        return worker.ask("memory", problem=problem.to_json(), case=_fields(case))
    finally:
        worker.close()


def _outcome(case, function, problem, *arguments):
    *arguments, progress = arguments
    try:
        found = function(problem, *arguments)
    except (Failed, Skipped) as error:
        found = _reason(error)
    progress()
    return {**_fields(case), **found}


def _reason(error):
    return {"skipped" if isinstance(error, Skipped) else "failed": str(error)}


def _fields(case):
    return {"peer": case.peer, "pattern": {"sparsity": case.pattern.sparsity, "block_shape": list(case.pattern.block_shape)}, "form": case.form}
