"""Papers put to the test: what their methods bring in networks that are trained here, with every
figure kept.

    pip install ".[examples]"
    python -m experiments.text.char_lm --quick

`text`, `speech`, `navigation` and `geometry` each hold their programs, the results of these and a
README; `common` holds what the programs share. Programs to copy from stand in
`examples/`.
"""
