"""Measures every road from a sparse Keras model to a device, side by side.

    python -m benchmarks.deploy [--onnx-python PATH]
        # everything, some ten minutes on two cores
    python -m benchmarks.deploy --only lstm-512 gru-96
        # some cases; what the file of results has of others stays
    python -m benchmarks.deploy --draw
        # measures nothing: draws the charts and writes the tables of the documents

A case is one LSTM or GRU with half as many inputs as units, batch 1, one frame at a time, dense or
with 90 % of its blocks of (16, 16) zero. Each road runs it in a process of its own, and all
processes take turns of a tenth of a second:

- LiteRT with its built-in operators: dense, dense in int8 (TensorFlow's converter), our sparse
  files in float32 and in int8;
- LiteRT with our operators: float32, bfloat16, int8 times int8;
- ONNX Runtime: its LSTM or GRU operator, and its dynamic int8 quantisation. It needs `onnx` and
  `onnxruntime`, here or in the Python that `--onnx-python` names;
- the C program that `export_c` writes, and `ksr_runtime`: float32, int8 times int8.

Of each: the bytes of its file; milliseconds from the file to the first output; microseconds of a
step; how far the resident memory of the process rose over what it was before it opened the file,
mapped pages included; and the largest difference from Keras over a sequence, relative to Keras's
largest output. Times are the best of the rounds, and within a turn the best of stretches of two
milliseconds. A step is one call of the runtime, without what the host does to carry states from
call to call; C and `ksr_runtime` carry their own.

`files` exports, `onnx_files` builds ONNX's graphs, `worker` and `program.c` are the processes,
`turns` asks them, `tables` and `picture` show what came out. Writes deploy.json, the charts
docs/pictures/deploy-*.png, and the tables of README.md and docs/deployment.md."""
