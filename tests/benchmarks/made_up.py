"""Results that nobody measured."""

from benchmarks.groups import GROUPS
from benchmarks.results import Results, plain

ROOFLINE = {
    "bandwidth": {"1": [[65536, 1e11], [1 << 28, 2e10]], "2": [[65536, 2e11], [1 << 28, 3e10]]},
    "flops": [[1, 1e11], [2, 2e11]],
    "by": "roofline.cc",
}


def results(path=None, only=GROUPS):
    """A file with every problem. Dense peers take 10 ms and more, ours 1 ms with zeros; ONNX
    Runtime failed, ours in int8 was skipped.
    """
    made = Results(path)
    made.machine = {
        "processor": "made up",
        "threads": 2,
        "versions": {"keras": "3.0", "torch": None},
    }
    made.roofline = ROOFLINE
    for group in only:
        for problem in GROUPS[group]():
            cases = [record(problem, case, number) for number, case in enumerate(problem.cases)]
            made.problems[problem.key] = plain(
                {
                    "problem": problem.to_json(),
                    "commit": "abc",
                    "fingerprint": "f",
                    "date": "2000-01-01",
                    "cases": cases,
                }
            )
    return made


def record(problem, case, number):
    fields = problem.to_json()["cases"][number]
    if case.peer == "onnxruntime":
        return {**fields, "failed": "ValueError: no"}
    if case.form == "int8":
        return {**fields, "skipped": "there is none"}
    if problem.mode == "memory":
        counted = 1000 if case.peer == "ours" else 10000
        return {**fields, "counted": counted, "peak": 2 * counted}
    median = 1e-3 if case.peer == "ours" else 1e-2 + 1e-3 * number
    return {
        **fields,
        "median": median,
        "min": median,
        "q1": median,
        "q3": median,
        "calls": 3,
        "rounds": [median],
        "error": 1e-7,
        "others": 0.0,
        "round_trips": [9e-8, None],
    }
