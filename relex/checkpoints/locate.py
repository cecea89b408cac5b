"""Finds the base: the toy's, a folder, or a repository on the Hub."""

from pathlib import Path

from relex.config.recipe import BaseConfig
from relex.errors import CheckpointError
from relex.plugins import REMOTE_CODE, VARIABLE, remote_code_is_allowed

TOY_BASE = Path(__file__).parent.parent / "toy" / "base"
HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken"]
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


def locate_base(base: BaseConfig) -> Path:
    """A local folder with the base checkpoint; downloads it from the Hub when it is not local.

    Raises CheckpointError when it cannot be found, lacks a config or a tokenizer, or would run code
    of its own where that is not allowed.
    """
    if base.trust_remote_code and not remote_code_is_allowed():
        raise CheckpointError(
            f"base.trust_remote_code: a recipe may not run the code of a model here; leave it out, "
            f"or let whoever runs the worker add {REMOTE_CODE} to {VARIABLE}"
        )
    folder = _folder(base)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder}: has no config.json; give a Hugging Face checkpoint")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise CheckpointError(
            f"{folder}: has no tokenizer ({', '.join(TOKENIZER_FILES)}); "
            "save it there with tokenizer.save_pretrained"
        )
    return folder


def _folder(base: BaseConfig) -> Path:
    if base.path == "toy":
        return TOY_BASE
    if Path(base.path).is_dir():
        return Path(base.path).resolve()
    # Imported here because it takes half a second, which every command would pay.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = [*HUB_FILES, "*.py"] if base.trust_remote_code else HUB_FILES
    try:
        return Path(snapshot_download(base.path, revision=base.revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"base.path {base.path!r}: neither a local folder nor a readable repository on the Hub "
            f"({reason})"
        ) from error
