#!/bin/sh
# Creates .venv and installs relex with the pinned set. Run by make; safe to run again.
# RELEX_EXTRA=cpu or gpu overrides the detection of a GPU.
set -eu
cd "$(dirname "$0")/.."

TORCH_CPU_WHEELS=https://download.pytorch.org/whl/cpu

say() { printf '%s\n' "relex: $*"; }

find_python() {
    for name in python3.11 python3.12 python3.13 python3; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    say "needs Python 3.11 or later; install it and try again" >&2
    exit 1
}

detect_extra() {
    if [ -n "${RELEX_EXTRA:-}" ]; then echo "$RELEX_EXTRA"
    elif nvidia-smi -L >/dev/null 2>&1; then echo gpu
    else echo cpu
    fi
}

pip_install() { .venv/bin/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt "$@"; }

# pip's own sources first; a machine whose sources lack the CPU build gets it from PyTorch.
install_cpu_torch() {
    torch="torch==$(sed -n 's/^torch==//p' constraints.txt)+cpu"
    pip_install "$torch" 2>/dev/null || pip_install "$torch" --extra-index-url "$TORCH_CPU_WHEELS"
}

extra=$(detect_extra)
say "installing the $extra build into .venv (about 5 GB, a few minutes; only this once)"
[ -x .venv/bin/python ] || "$(find_python)" -m venv .venv

if [ "$extra" = cpu ] && [ "$(uname -s)" = Linux ]; then
    install_cpu_torch
fi
if ! pip_install --editable ".[$extra,dev]"; then
    say "vLLM cannot be installed here; installing without it (the transformers engine takes its place)"
    pip_install --editable ".[dev]"
fi
if [ "$extra" = cpu ]; then
    # pip brings CUDA builds of these three beside the CPU build of torch, and then vLLM fails to
    # import with "operator torchvision::nms does not exist". Nothing here needs them.
    .venv/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
fi
say "installed"
