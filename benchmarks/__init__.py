"""Measures keras_sparse_rnn beside its peers, in one run, in turns, on equal threads.

    pip install ".[benchmark]"      # torch, ONNX Runtime, scipy; matplotlib for the charts
    python -m benchmarks
        # everything, about half an hour on two cores
    python -m benchmarks --only targets
        # one group
    python -m benchmarks --quick
        # tiny sizes, a minute: does it run here?
    python -m benchmarks --draw FILE --table
        # charts and tables of docs/benchmarks.md, from a file

How it goes, each step in a module of its own: `groups` lists the problems, `data` makes their
weights from seeds, `process` keeps one `worker` process for each of the `peers`, `measure` lets
them take turns, `roofline` measures what the machine can do, `results` keeps the file, `tables` and
`charts` show it, `docs` puts them into docs/benchmarks.md, which
says what is measured and what came out."""
