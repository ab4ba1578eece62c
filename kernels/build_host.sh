#!/bin/sh
# Builds the host's module spindl/_kernels*.so again after a kernel has changed: sh kernels/build_host.sh [PYTHON]
set -e
cd "$(dirname "$0")/.."
python=${1:-.venv/bin/python}
[ -f build/cmake/build.ninja ] || cmake -G Ninja -S . -B build/cmake -DPython_EXECUTABLE="$python" > /dev/null
ninja -C build/cmake _kernels
for module in build/cmake/kernels/_kernels*.so; do
    cp "$module" spindl/.new-kernels
    mv spindl/.new-kernels "spindl/$(basename "$module")"
done
