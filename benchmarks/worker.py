"""The process of one peer: takes commands as JSON lines from standard input, and answers each with
a JSON line.

    python -m benchmarks.worker PEER --threads N

| command | answer | |---|---| | (none: at the start) | `ready`, or `skipped` with the reason | |
`expect` problem, pattern, path | writes the right outputs to a file (only the peer `reference`) | |
`prepare` problem, case, path | makes a case ready, compares its outputs with that file: its number
and the `error` | | `turn` number, seconds, calls | calls it for so long or so often: `times`, and
how many cores' time `others` took meanwhile | | `memory` problem, case | bytes of a training step:
`counted`, and `peak` over the baseline of the process | | `drop` | forgets all cases |

An answer has `skipped` and the reason where a case cannot be had here, and `failed` and the error
where something broke; the process then goes on. What libraries print goes to standard error."""

import argparse
import dataclasses
import gc
import json
import os
import sys
import time
import traceback

import numpy as np

from benchmarks import machine, memory, peers
from benchmarks.data import Data, base_kernel, largest_error
from benchmarks.peers.base import Unavailable
from benchmarks.problems import IDLE, PAUSE, Pattern, Problem, case_from_json

LONG = 0.3  # seconds of a call that needs no warm-up: it is its own


class Commands:
    """Does what the commands say. A method for each, which takes its fields and returns the
    answer's.
    """

    def __init__(self, peer):
        self.peer = peer
        self.cases = {}
        self.problem = self.data = None

    def expect(self, problem, pattern, path):
        self._take(problem)
        pattern = Pattern(pattern["sparsity"], tuple(pattern["block_shape"]))
        np.savez(path, **self.peer.expected(self.problem, self.data, pattern))
        return {}

    def prepare(self, problem, case, path):
        self._take(problem)
        case = case_from_json(case)
        pause = PAUSE if case.form == IDLE else 0.0
        if pause:
            case = dataclasses.replace(case, form="")
        prepared = self.peer.prepare(self.problem, self.data, case)
        found = prepared.outputs()
        with np.load(path) as expected:
            error = largest_error(found, expected)
        if not error <= prepared.tolerance:
            raise ValueError(
                "it computes something else: its outputs differ from the reference by "
                f"{error:.2g} of the largest"
            )
        start = time.perf_counter()
        prepared.call()
        number = len(self.cases)
        self.cases[number] = prepared.call, time.perf_counter() - start, pause
        return {"number": number, "error": error}

    def turn(self, number, seconds, calls):
        """Warm-up calls do not count: they find the caches, and the threads, as the peer before has
        left them.
        """
        call, last, pause = self.cases[number]
        clock, times, end = time.perf_counter, [], time.perf_counter() + 0.2 * seconds
        while last < LONG:
            call()
            if clock() >= end:
                break
        busy, own, begin, end = (
            machine.busy_seconds(),
            time.process_time(),
            clock(),
            clock() + seconds,
        )
        while len(times) < calls and (not times or clock() < end):
            if pause:
                time.sleep(pause)
            start = clock()
            call()
            times.append(clock() - start)
        self.cases[number] = call, times[-1], pause
        if busy is None:
            return {"times": times, "others": 0.0}
        others = machine.busy_seconds() - busy - (time.process_time() - own)
        return {"times": times, "others": max(0.0, others / (clock() - begin))}

    def memory(self, problem, case):
        return memory.of_training(self.peer, Problem.from_json(problem), case_from_json(case))

    def drop(self):
        self.cases, self.problem, self.data = {}, None, None
        self.peer.drop()
        base_kernel.cache_clear()
        gc.collect()
        return {}

    def _take(self, problem):
        problem = Problem.from_json(problem)
        if problem != self.problem:
            self.problem, self.data = problem, Data(problem)


def attempt(function, *arguments, **fields):
    """The answer of a function, or what went wrong."""
    try:
        return function(*arguments, **fields)
    except Unavailable as error:
        return {"skipped": str(error)}
    except Exception as error:  # whatever a peer raises: the others go on
        traceback.print_exc()
        lines = str(error).strip().splitlines()
        return {"failed": f"{type(error).__name__}: {lines[0] if lines else ''}"}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=peers.PEERS)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # so that nobody else writes between the answers

    def answer(fields):
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    made = attempt(
        lambda: {"ready": True, "commands": Commands(peers.make(options.peer, options.threads))}
    )
    commands = made.pop("commands", None)
    answer(made)
    for line in sys.stdin if commands else ():
        fields = json.loads(line)
        answer(attempt(getattr(commands, fields.pop("command")), **fields))


if __name__ == "__main__":
    main()
