"""Many at once over SQLite: every submit is taken, and the log names no lock."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

AT_ONCE = 24


def test_a_busy_server_takes_every_submit(prefect_settings):
    api = prefect_settings["PREFECT_API_URL"]

    def ask(path: str, **body: Any) -> Any:
        sent = urllib.request.Request(
            f"{api}/{path}", json.dumps(body).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(sent) as answer:
            return json.load(answer)

    def submit(number: int) -> str:
        run = ask(f"deployments/{deployment}/create_flow_run", name=str(number))["id"]
        return str(ask(f"flow_runs/{run}/set_state", state={"type": "PENDING"})["status"])

    flow = ask("flows/", name="busy")["id"]
    deployment = ask("deployments/", name="busy", flow_id=flow, entrypoint="a.py:b")["id"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        taken = list(pool.map(submit, range(2 * AT_ONCE)))
    assert taken == ["ACCEPT"] * 2 * AT_ONCE
    runs = ask("flow_runs/count", deployments={"id": {"any_": [deployment]}})
    assert runs == 2 * AT_ONCE
