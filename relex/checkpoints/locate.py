"""Finds the base: the toy's, a folder, or a repository on the Hub."""

from pathlib import Path

from relex.card import CARD, TERMS
from relex.checkpoints.reader import Checkpoint
from relex.doors.plugins import REMOTE_CODE, VARIABLE, remote_code_is_allowed
from relex.errors import CheckpointError

TOY_BASE = Path(__file__).parent.parent / "toy" / "base"
WEIGHTS_AND_COMPANIONS = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken"]
HUB_FILES = [*WEIGHTS_AND_COMPANIONS, CARD, *TERMS]
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


def locate_base(base: str, revision: str = "main", trust_remote_code: bool = False) -> Path:
    """A local folder with a base that can be trained and asked; as `find_base`.

    Raises CheckpointError too when it lacks a config or a tokenizer, or would run code of its own
    where that is not allowed.
    """
    if trust_remote_code and not remote_code_is_allowed():
        raise CheckpointError(
            f"base.trust_remote_code: a recipe may not run the code of a model here; leave it out, "
            f"or let whoever runs the worker add {REMOTE_CODE} to {VARIABLE}"
        )
    folder = find_base(base, revision, with_code=trust_remote_code)
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder}: has no config.json; give a Hugging Face checkpoint")
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise CheckpointError(
            f"{folder}: has no tokenizer ({', '.join(TOKENIZER_FILES)}); "
            "save it there with tokenizer.save_pretrained"
        )
    return folder


def find_base(base: str, revision: str = "main", *, with_code: bool = False) -> Path:
    """The local folder of `toy`, of a folder, or of a repository on the Hub, which is downloaded
    when it is not here yet.

    Raises CheckpointError when it cannot be found.
    """
    if base == "toy":
        return TOY_BASE
    if Path(base).is_dir():
        return Path(base).resolve()
    # Imported here because it takes half a second, which every command would pay.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    patterns = [*HUB_FILES, "*.py"] if with_code else HUB_FILES
    try:
        return Path(snapshot_download(base, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"base {base!r}: neither a local folder nor a readable repository on the Hub ({reason})"
        ) from error


def base_here(address: str, trust_remote_code: bool = False) -> Path:
    """As `locate_base` for a base as a person names it: a folder, `toy` or `NAME@REVISION`."""
    return locate_base(*_name_and_revision(address), trust_remote_code)


def check_digest(base: Path, digest: str) -> None:
    """Raise CheckpointError unless `base` has this digest: a node of a cluster may have another
    one under the name of the run's."""
    found = Checkpoint(base).digest()
    if found != digest:
        raise CheckpointError(
            f"{base}: is another base than the run's: digest {found[:12]}, expected {digest[:12]}; "
            "put the same one on every node, or name a commit of the Hub"
        )


def open_base(base: str) -> Checkpoint:
    """The checkpoint of a base as a person names it: as `find_base`, or `NAME@REVISION` on the Hub.

    Raises CheckpointError when it cannot be found or read.
    """
    return Checkpoint(find_base(*_name_and_revision(base)))


def _name_and_revision(base: str) -> tuple[str, str]:
    name, _, revision = (base, "", "") if Path(base).is_dir() else base.partition("@")
    return name, revision or "main"
