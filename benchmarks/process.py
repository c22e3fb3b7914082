"""The parent's end of a worker process."""

import json
import os
import pathlib
import queue
import subprocess
import sys
import tempfile
import threading

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "KERAS_SPARSE_RNN_THREADS",
)
PATIENCE = 300.0  # seconds for one answer


class Failed(Exception):
    """A worker could not do something, and why."""


class Skipped(Exception):
    """A worker says that something cannot be had here."""


class Worker:
    """A `benchmarks.worker` process, started when it is first asked for something and again after
    it died.

    Args:
        peer: a key of `benchmarks.peers.PEERS`.
        threads: how many it may compute with.
        folder: an existing folder, for what it writes to standard error.
        patience: seconds to wait for an answer before it is ended.
        command: what to run.
    """

    def __init__(
        self,
        peer,
        threads,
        folder,
        patience=PATIENCE,
        command=(sys.executable, "-m", "benchmarks.worker"),
    ):
        self.peer, self.threads, self.patience, self.command = peer, threads, patience, command
        self.log = pathlib.Path(folder, f"{peer}.log")
        self.process = None
        self.missing = None

    def ask(self, command, **fields):
        """The answer to a command, a dict.

        Raises:
            Skipped, Failed: see there.
        """
        self.start()
        try:
            self.process.stdin.write(json.dumps({"command": command, **fields}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it died: then no answer comes either
        return self._answer()

    def tell(self, command):
        """Asks it something, if it is alive, of which the answer does not matter."""
        if self.process is not None:
            try:
                self.ask(command)
            except (Failed, Skipped):
                pass

    def close(self):
        """Ends the process; by force, if it does not end by itself."""
        process, self.process = self.process, None
        if process is None:
            return
        process.stdin.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.reader.join()
        process.stdout.close()

    def start(self):
        """Starts the process, unless it runs.

        Raises:
            Skipped: its peer is not installed. Failed: it ended at once.
        """
        if self.missing:
            raise Skipped(self.missing)
        if self.process is not None:
            return
        variables = {name: str(self.threads) for name in THREAD_VARIABLES}
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [*self.command, self.peer, "--threads", str(self.threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=tempfile.gettempdir(),
                env={
                    **os.environ,
                    **variables,
                    **quiet,
                    "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
                },
            )
        self.answers = queue.Queue()
        self.reader = threading.Thread(
            target=_read, args=(self.process.stdout, self.answers), daemon=True
        )
        self.reader.start()
        try:
            self._answer()
        except Skipped as error:
            self.missing = str(error)  # it stays so
            self.close()
            raise
        except Failed:
            self.close()
            raise

    def _answer(self):
        try:
            line = self.answers.get(timeout=self.patience)
        except queue.Empty:
            self.process.kill()
            line, reason = "", f"no answer in {self.patience:g} seconds"
        else:
            reason = "the process ended"
        if not line:
            self.close()
            raise Failed(f"{reason}. The last lines it wrote: {self.last_words()}")
        answer = json.loads(line)
        if "skipped" in answer:
            raise Skipped(answer["skipped"])
        if "failed" in answer:
            raise Failed(answer["failed"])
        return answer

    def last_words(self, lines=3):
        """The end of what it wrote to standard error."""
        return (
            " | ".join(self.log.read_text(errors="replace").strip().splitlines()[-lines:]) or "none"
        )


def _read(stream, answers):
    """Passes lines on, and an empty one at the end."""
    for line in stream:
        answers.put(line)
    answers.put("")


class Team:
    """The workers of a run, by peer. A context manager: at its end all of them are closed."""

    def __init__(self, threads, only=None, patience=PATIENCE):
        self.threads, self.only, self.patience = threads, only, patience
        self.workers = {}

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="benchmarks-")
        return self

    def __exit__(self, *error):
        for worker in self.workers.values():
            worker.close()
        self.folder.cleanup()

    def __getitem__(self, peer):
        """The worker of a peer.

        Raises:
            Skipped: the run is to do without it.
        """
        if self.only is not None and peer not in (*self.only, "reference"):
            raise Skipped("left out by --peers")
        if peer not in self.workers:
            self.workers[peer] = Worker(peer, self.threads, self.folder.name, self.patience)
        return self.workers[peer]

    def fresh(self, peer):
        """A worker of a peer that has computed nothing yet. The caller closes it."""
        self[peer]
        return Worker(peer, self.threads, self.folder.name, self.patience)

    def drop(self):
        """All workers forget their cases."""
        for worker in self.workers.values():
            worker.tell("drop")
