"""`python -m relex`: the program without the commands that need Prefect and MLflow."""

from relex.cli.app import main

if __name__ == "__main__":
    main()
