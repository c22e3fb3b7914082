# make demo: a language model trained sparse, swapped, exported and measured, in about a minute
# make test: the quick test suite
# Both make their own .venv first and install this package into it, with its native library if there is a C++17 compiler.

PYTHON ?= python3
SOURCES := $(shell find keras_sparse_rnn -name '*.py' -o -name '*.cc' -o -name '*.h' -o -name '*.inc')

.PHONY: demo announcement test clean

demo: announcement .venv/installed
	.venv/bin/python examples/char_lm.py --quick

announcement:
	@echo "A small LSTM learns to write like Python's manual, dense and pruned to 90 % in blocks; then its layers are swapped, exported to LiteRT and"
	@echo "measured. It takes about a minute, and so short a training shows that everything works, not how accurate it is."

test: .venv/installed
	.venv/bin/pytest -n auto

.venv/made:
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	touch $@

.venv/installed: .venv/made setup.py setup.cfg pyproject.toml MANIFEST.in $(SOURCES)
	@echo "Installing keras_sparse_rnn and what it needs into .venv (a minute or two the first time)"
	rm -rf build
	.venv/bin/python -m pip install --quiet ".[test,examples]"
	touch $@

clean:
	rm -rf .venv build *.egg-info
