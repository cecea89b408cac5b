"""A checkpoint goes to the Hub of Hugging Face."""

from pathlib import Path

from relex.card import REPOSITORY
from relex.errors import InputError, UploadError
from relex.visible import one_line

REPLACED = ["*.safetensors", "*.safetensors.index.json"]
REASON_CHARACTERS = 300


def check_repository(name: str) -> None:
    """Raise InputError unless `name` can be that of a repository."""
    if not REPOSITORY.fullmatch(name):
        raise InputError(f"--push-to-hub {name}: is no repository; write OWNER/NAME")


def push_to_hub(folder: Path, repository: str, *, private: bool) -> str:
    """Upload all files of `folder` in one commit to the repository, which is made, private where it
    is asked for, unless it is there. Weights that are there and not in `folder` are removed.

    Returns the address of the commit. Who one is says `hf auth login`, or HF_TOKEN. Raises
    UploadError when the Hub refuses or cannot be reached.
    """
    # Imported here because it takes half a second that most commands do not need.
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message="Published by relex",
            delete_patterns=REPLACED,
        )
    # Its client raises errors of HTTP, of the name, and of what carries large files.
    except Exception as error:
        raise UploadError(
            f"{repository}: the Hub refuses it ({one_line(str(error), REASON_CHARACTERS)}); log in "
            f"with `hf auth login` or set HF_TOKEN, and try again: the checkpoint is in {folder}"
        ) from error
    return str(commit.commit_url)
