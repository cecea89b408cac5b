"""The `relex` program with all of its commands."""

from relex.cli import app

COMMANDS = {
    "pipeline": "flows.commands:pipeline",
    "sweep": "flows.commands:sweep",
    "fetch": "flows.fetch:fetch",
    "up": "flows.service:up",
    "down": "flows.service:down",
    "clean": "flows.service:clean",
}
"""Those that need Prefect or MLflow."""


def main() -> None:
    app.main(COMMANDS)


if __name__ == "__main__":
    main()
