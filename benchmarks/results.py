"""The file of results: JSON, replaced whole after each problem, so that a run that is cut off goes
on where it stopped.
"""

import datetime
import json
import os
import pathlib
import tempfile

from benchmarks import machine
from benchmarks.problems import Problem, case_from_json

FORMAT = 1


class Results:
    """The results of one machine and thread count.

    Attributes:
        machine: what `machine.describe` said when the file was last written.
        roofline: what `roofline.measure` found, or None.
        problems: dict of a problem's key to its record: `problem`, `commit`, `fingerprint`, `date`
            and the `cases`.
    """

    def __init__(self, path=None):
        self.path = path and pathlib.Path(path)
        self.machine, self.roofline, self.problems = None, None, {}
        if self.path and self.path.exists():
            self._read()

    def _read(self):
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"of format {content['format']}")
            self.machine, self.roofline, self.problems = (
                content["machine"],
                content["roofline"],
                content["problems"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"`--out` must be a file of results, of format {FORMAT}, or a new one. Received: "
                f"{self.path}, {error!r}"
            ) from error

    def belongs_to(self, description):
        """Takes over a new description of the machine.

        Raises:
            ValueError: the file has results of another machine or of another number of threads.
        """
        for name in ("processor", "threads"):
            if self.machine and self.machine[name] != description[name]:
                raise ValueError(
                    f"`--out` must not mix machines: {self.path} has results of "
                    f"{name}={self.machine[name]!r}. Received: {name}={description[name]!r}"
                )
        self.machine = description

    def has(self, problem):
        """Whether this very problem has been measured with this very package and peers."""
        record = self.problems.get(problem.key)
        return (
            bool(record)
            and record["problem"] == plain(problem.to_json())
            and record["fingerprint"] == machine.fingerprint()
        )

    def add(self, problem, cases):
        self.problems[problem.key] = {
            "problem": plain(problem.to_json()),
            "commit": machine.commit(),
            "fingerprint": machine.fingerprint(),
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "cases": plain(cases),
        }
        self.save()

    def save(self):
        """Writes the file whole or not at all."""
        content = {
            "format": FORMAT,
            "machine": self.machine,
            "roofline": self.roofline,
            "problems": self.problems,
        }
        text = json.dumps(content, indent=1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        number, draft = tempfile.mkstemp(dir=self.path.parent, prefix=".", suffix=".json")
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            os.chmod(draft, 0o644)
            os.replace(draft, self.path)
        except BaseException:
            os.unlink(draft)
            raise

    def of_group(self, group):
        """Pairs of a `Problem` and a dict of its `Case`s to their records."""
        for record in self.problems.values():
            problem = Problem.from_json(record["problem"])
            if problem.group == group:
                yield problem, {case_from_json(case): case for case in record["cases"]}


def plain(value):
    """What JSON would read back: tuples become lists, NumPy's numbers Python's."""
    return json.loads(json.dumps(value, default=float))


def fastest_dense(cases):
    """The fastest dense peer that was measured: its series and median in seconds, or `(None,
    None)`.
    """
    from benchmarks.problems import DENSE

    times = [
        (record["median"], case.series)
        for case, record in cases.items()
        if case.series in DENSE and "median" in record
    ]
    median, series = min(times, default=(None, None))
    return series, median
