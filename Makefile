# Everything a user needs: `make train` and `make test`. The first call builds the environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-for-tests

.PHONY: train test test-slow bench bench-plan bench-kernels lint image clean

train: $(STAMP)
	$(BIN)/spindl train digits --data digits --float32

test: $(TEST_STAMP)
	$(RUN) -m pytest -m "not slow"

test-slow: $(TEST_STAMP)
	$(RUN) -m pytest -m slow

bench: $(STAMP)
	$(RUN) bench/contraction.py
	$(RUN) bench/step.py

bench-plan: $(TEST_STAMP)
	$(RUN) -m bench.plan --chips 1,2,4
	$(RUN) bench/overlays.py

bench-kernels: $(TEST_STAMP)
	$(RUN) bench/kernels.py
	$(RUN) bench/float32_dot.py
	$(RUN) -m bench.convolutions
	$(RUN) -m bench.blocks

# The program of the cores, as one file that a wheel carries.
image: $(TEST_STAMP)
	$(RUN) -m spindl.program.image build/spindl.image

lint: $(TEST_STAMP)
	$(BIN)/ruff check spindl tests bench
	$(BIN)/ruff format --check spindl tests bench
	$(BIN)/mypy

# Versions are pinned in constraints.txt, so that every clone computes with the same libraries.
$(STAMP): pyproject.toml constraints.txt CMakeLists.txt $(shell find native kernels/include kernels/ref kernels/cost kernels/CMakeLists.txt -name '*.cpp' -o -name '*.hpp' -o -name '*.h' -o -name '*.c' -o -name 'CMakeLists.txt')
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip -c constraints.txt
	$(RUN) -m pip install --quiet -c constraints.txt scikit-build-core nanobind cmake ninja
	$(RUN) -m pip install --quiet -c constraints.txt --no-build-isolation --editable ".[train,digits]"
	touch $(STAMP)

$(TEST_STAMP): $(STAMP)
	$(RUN) -m pip install --quiet -c constraints.txt --no-build-isolation --editable ".[train,digits,tensorboard,board,mlperf,plot,report,test]"
	touch $(TEST_STAMP)

clean:
	rm -rf $(VENV) build dist
