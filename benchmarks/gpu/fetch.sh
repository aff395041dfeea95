#!/usr/bin/env bash
# For a GPU machine without a package index: download, where there is one, what that machine lacks as wheels into .whl/
# of this checkout (ignored by git), and carry the checkout there.
#
#   bash benchmarks/gpu/fetch.sh 3.12 transformers peft deepspeed lm-eval datasets liger-kernel trl
#   python3 -m pip install --no-index --no-deps --target SITE .whl/*.whl && export PYTHONPATH=SITE      # there
#
# The first argument is that machine's Python; the others are requirements (`transformers==5.23.0`), each without its own
# dependencies, so name those too that are missing there. What is published as source only is built here as a wheel.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=$1 && shift
platforms=()
for glibc in 2_28 2_27 2_17; do platforms+=(--platform "manylinux_${glibc}_x86_64"); done
mkdir -p .whl
for requirement in "$@"; do
    python3 -m pip download --quiet --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
        "${platforms[@]}" --dest .whl "$requirement" 2>/dev/null ||
        DS_BUILD_OPS=0 python3 -m pip wheel --quiet --no-deps --wheel-dir .whl "$requirement"
done
du -cb .whl/*.whl | tail -1
