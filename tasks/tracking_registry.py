"""MLflow's model registry: versions whose weights stay on S3, and the aliases that point at them.

`champion` is the best version, `challenger` the newest that is not, `previous` the champion before.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from relex.errors import TrackingError
from tasks.tracking_client import mlflow_errors

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
VERSIONS_TAG = "mlflow.modelVersions"
ABSENT = "RESOURCE_DOES_NOT_EXIST"
WHAT_IT_IS = (
    "The best model of one base on one set of questions. `champion` is the best version, "
    "`challenger` the newest that is not, `previous` the champion before; the tag "
    "relex.champion_decision of a version says why."
)


@dataclass(frozen=True)
class Version:
    """A version as it is registered."""

    model: str
    number: str
    source: str = field(compare=False)
    """Address of the checkpoint."""

    tags: Mapping[str, str] = field(compare=False)

    @property
    def name(self) -> str:
        """`version 3 of toy`."""
        return f"version {self.number} of {self.model}"


class Registry:
    """The registry behind a client; every method raises TrackingError when MLflow refuses."""

    def __init__(self, client: MlflowClient, uri: str) -> None:
        self._client, self.uri = client, uri

    def register(
        self, model: str, source: str, run: str, logged: str, tags: Mapping[str, str]
    ) -> Version:
        """The version that `run`, an MLflow run id, made of the model with the id `logged`;
        registering it twice gives the first."""
        with mlflow_errors(self.uri):
            try:
                self._client.create_registered_model(model, description=WHAT_IT_IS)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            found = self._client.search_model_versions(f"name = '{model}' and run_id = '{run}'")
            version = (
                found[0]
                if found
                else self._client.create_model_version(
                    model, source, run_id=run, model_id=logged, tags=dict(tags)
                )
            )
            # A server does that by itself; a database has nobody who would.
            listed = json.dumps([{"name": model, "version": int(version.version)}])
            self._client.set_logged_model_tags(logged, {VERSIONS_TAG: listed})
            return _version(version)

    def versions(self, model: str) -> list[Version]:
        """All versions, the oldest first; raises TrackingError when there is no such model."""
        self._aliases(model)
        with mlflow_errors(self.uri):
            found = self._client.search_model_versions(f"name = '{model}'")
        return sorted(map(_version, found), key=lambda version: int(version.number))

    def at_alias(self, model: str, alias: str) -> Version | None:
        """The version that an alias of an existing model points at, or None."""
        number = self._aliases(model).get(alias)
        return None if number is None else self.at_number(model, number)

    def at_number(self, model: str, number: str) -> Version:
        """Raises TrackingError, naming the versions that there are, when it is none of them."""
        versions = {version.number: version for version in self.versions(model)}
        if number in versions:
            return versions[number]
        numbers = ", ".join(versions) or "none"
        raise TrackingError(
            f"MLflow at {self.uri}: {model} has no version {number}; it has {numbers}"
        )

    def resolve(self, address: str) -> Version:
        """The version at `models:/NAME@ALIAS` or `models:/NAME/VERSION`."""
        path = address.removeprefix("models:/")
        model, at, alias = path.partition("@")
        if not at:
            model, _, number = path.rpartition("/")
        if path == address or not model or "/" in model or not (alias or (not at and number)):
            raise TrackingError(
                f"{address}: is no address of a model; write models:/NAME@champion or "
                "models:/NAME/VERSION"
            )
        if not at:
            return self.at_number(model, number)
        version = self.at_alias(model, alias)
        if version is not None:
            return version
        known = ", ".join(sorted(self._aliases(model))) or "none"
        raise TrackingError(
            f"MLflow at {self.uri}: {model} has no alias {alias}; it has {known}. A version can "
            f"also be named: models:/{model}/1"
        )

    def point(self, alias: str, version: Version) -> None:
        """Move an alias."""
        with mlflow_errors(self.uri):
            self._client.set_registered_model_alias(version.model, alias, version.number)

    def release(self, alias: str, version: Version) -> None:
        """Remove an alias if it points at this version."""
        with mlflow_errors(self.uri):
            if self._aliases(version.model).get(alias) == version.number:
                self._client.delete_registered_model_alias(version.model, alias)

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        with mlflow_errors(self.uri):
            for name, value in tags.items():
                self._client.set_model_version_tag(version.model, version.number, name, value)

    def describe(self, version: Version, text: str) -> None:
        """What the page of the version says first."""
        with mlflow_errors(self.uri):
            self._client.update_model_version(version.model, version.number, text)

    def _aliases(self, model: str) -> dict[str, str]:
        """Version number by alias."""
        try:
            found = self._client.get_registered_model(model)
        except MlflowException as error:
            if error.error_code != ABSENT:
                raise TrackingError(f"MLflow at {self.uri}: {error.message}") from error
            known = ", ".join(m.name for m in self._client.search_registered_models()) or "none"
            raise TrackingError(
                f"MLflow at {self.uri}: no model is registered as {model}; there is {known}"
            ) from error
        return {alias: str(number) for alias, number in found.aliases.items()}


def _version(found: ModelVersion) -> Version:
    return Version(found.name, str(found.version), found.source, dict(found.tags))
