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

# Where pip looks for packages: uv reads none of pip's settings.
pip_sources() {
    .venv/bin/python -m pip config list |
        sed -n "s/\\\\n/ /g; s/^[^.]*\.\(index-url\|extra-index-url\|find-links\)='\(.*\)'$/\1 \2/p" |
        while read -r option places; do
            for place in $places; do printf -- '--%s %s ' "$option" "$place"; done
        done
}

uv_install() {
    # shellcheck disable=SC2046  # one word for each option and place
    .venv/bin/uv pip install --quiet --python .venv/bin/python --constraint constraints.txt \
        --index-strategy unsafe-best-match --system-certs $(pip_sources) "$@"
}

# uv takes less than half of pip's time; where it does not get through, pip may.
install_packages() { uv_install "$@" 2>/dev/null || pip_install "$@"; }

# This machine's own sources first; where they lack the CPU build, it comes from PyTorch.
install_cpu_torch() {
    torch="torch==$(sed -n 's/^torch==//p' constraints.txt)+cpu"
    install_packages "$torch" 2>/dev/null || install_packages "$torch" --extra-index-url "$TORCH_CPU_WHEELS"
}

extra=$(detect_extra)
say "installing the $extra build into .venv (about 5 GB, a few minutes; only this once)"
[ -x .venv/bin/python ] || "$(find_python)" -m venv .venv
pip_install uv || say "installing with pip, as uv cannot be had"

if [ "$extra" = cpu ] && [ "$(uname -s)" = Linux ]; then
    install_cpu_torch
fi
if ! install_packages --editable ".[$extra,dev]"; then
    say "vLLM cannot be installed here; installing without it (the transformers engine takes its place)"
    install_packages --editable ".[dev]"
fi
install_packages --editable ".[gym]" 2>/dev/null ||
    say "reasoning-gym cannot be installed here (pycosat needs a C compiler); its tasks are refused"
if [ "$extra" = cpu ]; then
    # Installing brings CUDA builds of these three beside the CPU build of torch, and then vLLM fails to
    # import with "operator torchvision::nms does not exist". Nothing here needs them.
    .venv/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
fi
say "installed"
