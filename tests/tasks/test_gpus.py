"""How the GPUs of a machine are shared out to runs."""

import os
from pathlib import Path

import pytest

from relex.errors import InputError
from tasks.services import gpu_slots, visible_gpus


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch) -> Path:
    """A program of this name, first on the PATH."""
    program = tmp_path / "nvidia-smi"
    program.write_text('#!/bin/sh\necho "GPU 0: H100 (UUID: a)"\necho "GPU 1: H100 (UUID: b)"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program


def test_the_gpus_are_those_that_the_driver_lists(nvidia_smi):
    assert visible_gpus() == ["0", "1"]


def test_a_driver_that_does_not_work_is_no_gpu(nvidia_smi):
    nvidia_smi.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert visible_gpus() == []


@pytest.mark.parametrize(
    ("stated", "gpus"), [("3, 1", ["3", "1"]), ("", []), ("-1", []), ("GPU-ab", ["GPU-ab"])]
)
def test_what_the_environment_states_goes_before_the_driver(nvidia_smi, monkeypatch, stated, gpus):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", stated)
    assert visible_gpus() == gpus


def test_each_run_gets_one_gpu_or_as_many_as_are_asked_for(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    monkeypatch.delenv("RELEX_GPUS_PER_RUN", raising=False)
    assert gpu_slots() == ["0", "1", "2", "3"]
    monkeypatch.setenv("RELEX_GPUS_PER_RUN", "2")
    assert gpu_slots() == ["0,1", "2,3"]


@pytest.mark.parametrize("stated", ["3", "0", "two"])
def test_groups_that_do_not_come_out_even_are_refused(monkeypatch, stated):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    monkeypatch.setenv("RELEX_GPUS_PER_RUN", stated)
    with pytest.raises(InputError, match=f"RELEX_GPUS_PER_RUN: '{stated}' does not divide the 4"):
        gpu_slots()
