"""A model in the registry: where its checkpoint and its run lie, and how it answered.

The tags of a version say all that is needed to find and check it from anywhere:

| tag (relex. before it) | holds |
|---|---|
| run_id, recipe_digest | the run, and the digest of its recipe |
| base, base_digest, window_digest, factors_digest, window_steps | what it was made from |
| candidate | key of the chosen candidate |
| manifest_digest | digest of the checkpoint's manifest, which has the digest of every file |
| benchmark, accuracy, scores_digest | its test: questions, result, digest of the answers |
| dtype | what the answers were computed in |
| questions_digest | questions, prompt, sampling, grader, engine and dtype: equal means comparable |
| endpoint_url, region, folder | how its S3 server is reached; `folder` for an embedded one |
| champion_decision | why it is champion or why not |
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from relex.card import MODEL_KIND
from relex.config import RunRecipe, StorageConfig
from relex.digests import sha256_json
from relex.errors import StorageError
from relex.evaluation import ANSWERS_FILE, Answer, Score, read_answers
from relex.run.measure import KIND as SCORE_KIND
from relex.run.places import Run
from relex.storage import Store, open_store
from relex.storage.atomic import new_folder
from relex.storage.folder import FolderStore
from relex.storage.manifest import Manifest, fetch_folder, read_manifest
from tasks.tracking_registry import Version

S3 = "s3://"


def place_tags(run: Run) -> dict[str, str]:
    """How the S3 server of a run is reached by others; an embedded one only through its files."""
    storage = run.recipe.storage
    if storage.uri == "embedded":
        return {"relex.folder": str(run.home.s3)}
    tags = {"relex.endpoint_url": storage.endpoint_url, "relex.region": storage.region}
    return {name: value for name, value in tags.items() if value}


def run_store(version: Version, profile: str = "") -> Store:
    """The folder of the run that made the version; `profile` is one of the AWS configuration.

    Raises StorageError when it lies in a folder that this machine does not have.
    """
    uri = version.source.rstrip("/").removesuffix("/model")
    folder = version.tags.get("relex.folder")
    if folder is None:
        storage = StorageConfig(
            endpoint_url=version.tags.get("relex.endpoint_url", ""),
            region=version.tags.get("relex.region", ""),
            profile=profile,
        )
        return open_store(uri, storage.connection)
    path = Path(folder) / uri.removeprefix(S3)
    if not path.is_dir():
        raise StorageError(
            f"{version.name}: was kept in the folder {path}, which is not on this machine; go "
            "where it is, or let runs be kept on an S3 server (storage.uri)"
        )
    return FolderStore(path)


def model_manifest(version: Version, profile: str = "") -> Manifest:
    """The manifest of the checkpoint.

    Raises StorageError when there is none, or it is not the one that was registered.
    """
    store = run_store(version, profile).child("model")
    manifest = read_manifest(store, MODEL_KIND)
    if manifest is None:
        raise StorageError(f"{store.uri}: the checkpoint of {version.name} is not there any more")
    expected = version.tags.get("relex.manifest_digest")
    found = manifest_digest(manifest)
    if expected not in (None, found):
        raise StorageError(
            f"{store.uri}: is not the checkpoint that was registered as {version.name}: its "
            f"manifest has the digest {found}, registered was {expected}"
        )
    return manifest


def manifest_digest(manifest: Manifest) -> str:
    return sha256_json(manifest.model_dump(mode="json"))


def fetch_model(version: Version, out: Path, profile: str = "") -> None:
    """The checkpoint in the new folder `out`, which appears whole, every file checked.

    Raises StorageError when it is missing, damaged or not the one that was registered, InputError
    when `out` exists.
    """
    model_manifest(version, profile)
    with new_folder(out) as partial:
        fetch_folder(run_store(version, profile).child("model"), partial, MODEL_KIND)


def read_scored(store: Store, benchmark: str, candidate: str) -> list[Answer]:
    """The answers of a candidate, by its key, that the run at `store` keeps."""
    with TemporaryDirectory() as folder:
        fetch_folder(store.child(f"scores/{benchmark}/{candidate}"), Path(folder), SCORE_KIND)
        return read_answers(Path(folder) / ANSWERS_FILE)


def questions_digest(recipe: RunRecipe, problems: str, score: Score) -> str:
    """What two scores must agree in to be compared; `problems` is the digest of the questions.

    Seeds may differ: the test pairs questions, and draws are independent in any case.
    """
    return sha256_json(
        {
            "problems": problems,
            "exam": recipe.exam(score.benchmark).model_dump(mode="json"),
            "max_context_tokens": recipe.evaluation.max_context_tokens,
            "grader": score.grader,
            "engine": score.engine,
            "dtype": score.dtype,
        }
    )
