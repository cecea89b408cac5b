"""`make ui`: the Prefect and MLflow pages with the runs of this machine, on 127.0.0.1 only."""

import signal
import sys

from relex.errors import RelexError
from relex.home import Home, open_home
from tasks.background import Background
from tasks.services import HOST, MLFLOW_PAGE_PORT, PREFECT_PAGE_PORT, mlflow_server, prefect_server


def main() -> None:
    try:
        serve(open_home())
    except RelexError as error:
        sys.exit(f"error: {error}")


def serve(home: Home) -> None:
    """Serve until Ctrl-C; where `make up` serves them already, say so."""
    if ports := Background(home).running:
        print("`make up` serves the pages of this home already; `make down` ends it.")
        for name in ("prefect", "mlflow"):
            print(f"{name:8} http://{HOST}:{ports[name]}" if name in ports else f"{name:8} is down")
        return
    print("Starting the pages, about 20 seconds ...", flush=True)
    try:
        with (
            prefect_server(home, PREFECT_PAGE_PORT) as prefect,
            mlflow_server(home, MLFLOW_PAGE_PORT) as mlflow,
        ):
            print(f"Prefect  {prefect}\nMLflow   {mlflow}\nCtrl-C ends both.", flush=True)
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            signal.pause()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
