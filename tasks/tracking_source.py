"""What MLflow's pages show of where a run came from: who started it, and the code that ran."""

import getpass
from pathlib import Path

from mlflow.utils.git_utils import get_git_commit
from mlflow.utils.mlflow_tags import (
    MLFLOW_GIT_COMMIT,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)


def source_tags() -> dict[str, str]:
    """User, source, and the commit of the clone in which the run works, where it is in one.

    A worker works in its clone, a terminal where its user is: there the code of rewards lies too.
    """
    tags = {MLFLOW_SOURCE_NAME: "relex", MLFLOW_SOURCE_TYPE: "LOCAL", MLFLOW_USER: _user()}
    commit = get_git_commit(str(Path.cwd()))
    return tags | ({MLFLOW_GIT_COMMIT: commit} if commit else {})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return "unknown"
