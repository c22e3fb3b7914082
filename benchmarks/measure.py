"""Lets the cases of a problem take turns, and makes statistics of their times.

In each round every case has a turn, in one round first to last and in the next last to first.
Before a turn there is a short pause, so that the spinning threads of the process before have gone
to sleep. In its turn a peer first makes calls that do not count, then timed ones until its share of
the problem's time is used up, at least one. Whatever slows the machine down for a while so hits all
of them.

Where other programs take more than a quarter of a core meanwhile, the turn is repeated, twice at
most, and the one that was disturbed least counts. Two threads that wait for each other are slowed
down a hundredfold if a third one keeps a core from them.

Before each turn the time is taken that a line of memory needs from one processor to another and
back: on a virtual machine the host moves the processors between those that share a cache and those
that do not, and whoever passes much between threads is slower by half in the second case."""

import os
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks.process import Failed, Skipped

PAUSE = 0.05  # seconds
MOST_CALLS = 2000  # in a turn
DISTURBED, TRIES = 0.25, 3  # cores that others use; turns until the best has to do


def measure(problem, team, progress=lambda: None, round_trip=lambda: None):
    """Measures a problem.

    Args:
        problem: a `Problem`.
        team: a `benchmarks.process.Team`.
        progress: called after each step of the work, of which there are `work(problem)`.
        round_trip: returns the seconds from one processor to another and back, or None.

    Returns:
        list of dicts, one for each case: its fields, and `median`, `min`, `q1`, `q3` in seconds,
            `calls`, the `rounds`' medians, the `round_trips` before them,
        the `error`, and how many cores `others` used in its most disturbed turn; or `skipped` or
        `failed` with the reason.
    """
    if problem.mode == "memory":
        return [_outcome(case, _memory, problem, case, team, progress) for case in problem.cases]
    ready, outcomes = _prepared(problem, team, progress)
    turns = {case: [] for case in ready}
    seconds = problem.seconds / max(1, problem.rounds * len(ready))
    for number in range(problem.rounds):
        for case in list(ready)[:: -1 if number % 2 else 1]:
            time.sleep(PAUSE)
            if case not in outcomes:
                try:
                    turns[case].append(
                        _turn(team[case.peer], ready[case]["number"], seconds, round_trip)
                    )
                except (Failed, Skipped) as error:
                    outcomes[case] = _reason(error)
            progress()
    team.drop()
    for case in ready.keys() - outcomes.keys():
        others = max(turn["others"] for turn in turns[case])
        trips = [turn["round_trip"] for turn in turns[case]]
        outcomes[case] = {
            "error": ready[case]["error"],
            "others": others,
            "round_trips": trips,
            **summary([turn["times"] for turn in turns[case]]),
        }
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


def _turn(worker, number, seconds, round_trip):
    """The least disturbed of a few turns; one, if it was not disturbed."""
    best = None
    for _ in range(TRIES):
        turn = {
            "round_trip": round_trip(),
            **worker.ask("turn", number=number, seconds=seconds, calls=MOST_CALLS),
        }
        best = min(best or turn, turn, key=lambda each: each["others"])
        if best["others"] <= DISTURBED:
            break
        time.sleep(PAUSE)
    return best


def _prepared(problem, team, progress):
    """Makes the cases ready, those of several peers at a time: nothing is timed yet.

    Returns:
        the workers' answers, by case in the order of the problem, and what became of the others.
    """
    fields, paths, lock = problem.to_json(), {}, threading.Lock()
    answers, outcomes = {}, {}

    def expected(pattern):
        """The file of the outputs that a pattern should give. The reference computes it when it is
        first needed.
        """
        with lock:
            if pattern not in paths:
                path = os.path.join(team.folder.name, f"expected-{len(paths)}.npz")
                try:
                    team["reference"].ask(
                        "expect", problem=fields, pattern=_pattern(pattern), path=path
                    )
                except Failed as error:
                    raise Failed(f"nothing to compare with: {error}") from error
                paths[pattern] = path
            return paths[pattern]

    def prepare(peer):
        for case in (case for case in problem.cases if case.peer == peer):
            try:
                worker = team[peer]
                worker.start()
                answers[case] = worker.ask(
                    "prepare", problem=fields, case=_fields(case), path=expected(case.pattern)
                )
            except (Failed, Skipped) as error:
                outcomes[case] = _reason(error)
            progress()

    with ThreadPoolExecutor(team.threads) as pool:
        list(pool.map(prepare, dict.fromkeys(case.peer for case in problem.cases)))
    for path in paths.values():
        os.remove(path)
    return {case: answers[case] for case in problem.cases if case in answers}, outcomes


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
    return {"peer": case.peer, "pattern": _pattern(case.pattern), "form": case.form}


def _pattern(pattern):
    return {"sparsity": pattern.sparsity, "block_shape": list(pattern.block_shape)}
