"""One step at a time through the C library of prepared cells, in microseconds, on one thread.

    python -m benchmarks.steps [--rnnoise CLONE]
        # every case, as a table and as benchmarks/results/steps.json
    python -m benchmarks.steps --cell gru --units 384 --block 4 8 --weights int8 \
        --activations int8 --density 0.1 --steps 1 --json -
        # one case, printed as one JSON object

Small programs measure, with no Python and no TensorFlow in the process: `ours.c` through ksr.h,
`ops.cc` through the kernels that the TensorFlow ops call, and with a clone of xiph/rnnoise (0.2 or
later) `rnnoise.c`, its sparse GRU. CMake builds them into build/steps. They take turns, some rounds
long, and each figure is the median over rounds of medians of some hundred repetitions.

`attainable` is the time in which one core reads the live weights, from the cache that they fit
into, at the bandwidth that benchmarks.roofline measures in the same run: no step can be faster."""
