# make demo: examples/char_lm.py, a language model trained sparse, swapped, exported and measured, in about a minute
# make test: the quick test suite
# Both make their own .venv first and install this package into it, with its native library if there is a C++17 compiler.
#
# make test-versions: the quick suite on the versions of tests/versions/, oldest and middle, and on the newest, in a .venv of their own each
# make test-litert-versions: files of streams, and one of our operator, in every version of LiteRT's runtime that pip has, from 1.2 on, in a .venv of its own each; some minutes
# make test-oldest: a short test of every part, on the oldest of them; Python 3.10 to 3.12
# make test-native: the C++ tests of the core, on every instruction set that this machine has; half a minute
# make sanitize-address: the same with AddressSanitizer and UBSan; one or two minutes
# make sanitize: the same with AddressSanitizer and UBSan, and with ThreadSanitizer; some three minutes on two cores
# make sanitize-ops: the random tests of the TensorFlow ops, with AddressSanitizer in our library, in TensorFlow's process; some three minutes
# make test-aarch64: the same for aarch64, cross-compiled and run under qemu; some two minutes
# make test-other-machines: programs of export_c for aarch64 and armv7, cross-compiled and run under qemu; half a minute
# make libksr: the C library, build/libksr/libksr.a with ksr.h and ksr_model.h, see docs/c_library.md
# These build under build/ and take CMake; the sanitizers come with g++ and clang++.

PYTHON ?= python3
SOURCES := $(shell find keras_sparse_rnn ksr_runtime -name '*.py' -o -name '*.cc' -o -name '*.h' -o -name '*.inc')

.PHONY: demo announcement test test-processes test-versions test-litert-versions test-oldest libksr test-native sanitize sanitize-address \
	sanitize-ops test-aarch64 test-other-machines clean

demo: announcement .venv/installed
	.venv/bin/python examples/char_lm.py --quick

announcement:
	@echo "A small LSTM learns to write like Python's manual, dense and pruned to 90 % in blocks; then its layers are swapped, exported to LiteRT and"
	@echo "measured. It takes about a minute, and so short a training shows that everything works, not how accurate it is."

test: .venv/installed
	.venv/bin/ruff format --check --quiet . && .venv/bin/ruff check --quiet .
	.venv/bin/mypy --no-error-summary
	.venv/bin/pytest -n auto --dist worksteal

VENVS := $(patsubst tests/versions/%.txt,.venv-%,$(wildcard tests/versions/*.txt)) .venv

# Tests that start several processes, the examples, and the code of a guide: four minutes. Slow tests of the quick suite, so it can be quick.
test-processes: .venv/installed
	.venv/bin/pytest -m slow tests/multi_worker tests/examples tests/test_your_model_guide.py

test-versions: $(VENVS:%=%/installed)
	set -e; for venv in $(VENVS); do $$venv/bin/pytest -n auto --dist worksteal; $$venv/bin/pytest -m slow tests/test_your_model_guide.py; done

LITERT_VERSIONS := 1.2.0 1.3.0 1.4.0 2.0.2 2.0.3 2.1.0 2.1.1 2.1.2 2.1.3 2.1.4 2.1.5 2.1.6 2.2.0 2.3.0

# Each line of JSON says for one version what differs how much from Keras. The runtime's own log goes to build/litert/.
test-litert-versions: .venv/installed $(LITERT_VERSIONS:%=.venv-litert-%/installed)
	rm -rf build/litert
	.venv/bin/python tests/export/stream_files.py build/litert > /dev/null 2>&1
	.venv/bin/python tests/export/own_files.py build/litert/own > /dev/null 2>&1
	@set -e; for version in $(LITERT_VERSIONS); do \
	.venv-litert-$$version/bin/python tests/export/runtimes.py build/litert 2> build/litert/$$version.log || { cat build/litert/$$version.log; exit 1; }; \
	.venv-litert-$$version/bin/python tests/export/other_runtime.py build/litert/own 2> build/litert/$$version.log || { cat build/litert/$$version.log; exit 1; }; done

test-oldest: .venv-oldest/installed
	.venv-oldest/bin/pytest tests/test_whole_road.py tests/test_slots.py tests/layers/test_adapters.py

comma := ,
NATIVE_TESTS := keras_sparse_rnn/native/tests
JOBS := $(shell nproc 2>/dev/null || echo 2)
AARCH64 := aarch64-linux-gnu-g++ qemu-aarch64-static

# $(call native,folder under build/,options of CMake): builds the C++ tests there and runs them.
define native
@command -v cmake >/dev/null || { echo "make $@ needs CMake 3.16 or later, for example: apt install cmake"; exit 1; }
@mkdir -p build
@cmake -S $(NATIVE_TESTS) -B build/$(1) $(2) > build/$(1).log 2>&1 && cmake --build build/$(1) --parallel $(JOBS) >> build/$(1).log 2>&1 || { cat build/$(1).log; exit 1; }
@ctest --test-dir build/$(1) --parallel $(JOBS) --output-on-failure --no-tests=error > build/$(1).log 2>&1 || { cat build/$(1).log; exit 1; }
@sed -n "s/^.* - \(.*\) (Skipped)/$@: skipped \1, which this machine cannot run/p" build/$(1).log
@echo "$@: every test that this machine can run has passed, in build/$(1)"
endef

libksr:
	@command -v cmake >/dev/null || { echo "make $@ needs CMake 3.16 or later, for example: apt install cmake"; exit 1; }
	@mkdir -p build
	@cmake -S keras_sparse_rnn/native/core/prepared -B build/libksr > build/libksr.log 2>&1 && cmake --build build/libksr --parallel $(JOBS) >> build/libksr.log 2>&1 || { cat build/libksr.log; exit 1; }
	@echo "$@: build/libksr/libksr.a, build/libksr/ksr.h and build/libksr/ksr_model.h"

test-native:
	$(call native,native)

sanitize-address:
	$(call native,sanitize-address,-DSANITIZE=address$(comma)undefined -DPROBLEMS=100)

sanitize: sanitize-address
	$(call native,sanitize-thread,-DSANITIZE=thread -DPROBLEMS=100)

# TensorFlow itself knows nothing of the sanitizer, so its libraries come first, libstdc++ too because it throws. Leaks would be TensorFlow's.
sanitize-ops: .venv/installed
	@rm -rf build/asan && mkdir -p build
	@CXX="g++ -fsanitize=address -g1" .venv/bin/python -m pip install --quiet --no-deps --target build/asan . > build/asan.log 2>&1 || { cat build/asan.log; exit 1; }
	@cd build/asan && LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 \
	../../.venv/bin/python -m pytest -q -p no:cacheprovider -c ../../setup.cfg --rootdir ../.. ../../tests/ops/test_fuzz*.py > ../asan.log 2>&1 || \
	{ cat ../asan.log; exit 1; }
	@echo "$@: all tests passed"

test-aarch64:
	@for tool in $(AARCH64); do command -v $$tool >/dev/null || { \
	echo "make test-aarch64 needs $$tool, for example: apt install g++-aarch64-linux-gnu qemu-user-static"; exit 1; }; done
	$(call native,aarch64,-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc \
	-DCMAKE_EXE_LINKER_FLAGS=-static -DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64-static -DPROBLEMS=30)

test-other-machines: .venv/installed
	.venv/bin/pytest -m slow tests/export/test_export_c_other_machines.py

.venv/made:
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --upgrade pip
	touch $@

.venv/installed: .venv/made setup.py setup.cfg pyproject.toml MANIFEST.in $(SOURCES)
	@echo "Installing keras_sparse_rnn and what it needs into .venv (a minute or two the first time)"
	rm -rf build
	.venv/bin/python -m pip install --quiet ".[test,examples]"
	touch $@

# 2.1.6 imports ml_dtypes and does not require it.
.venv-litert-%/installed:
	$(PYTHON) -m venv .venv-litert-$*
	.venv-litert-$*/bin/python -m pip install --quiet ai-edge-litert==$* ml_dtypes
	touch $@

.venv-%/installed: tests/versions/%.txt setup.py setup.cfg pyproject.toml MANIFEST.in $(SOURCES)
	@echo "Installing keras_sparse_rnn and what it needs into .venv-$* (a minute or two the first time)"
	$(PYTHON) -m venv .venv-$*
	rm -rf build
	.venv-$*/bin/python -m pip install --quiet --constraint $< ".[test,examples]"
	touch $@

clean:
	rm -rf .venv .venv-* build *.egg-info
