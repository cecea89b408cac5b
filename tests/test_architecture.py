"""The house rules that a machine can check."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = ("relex", "tasks", "flows")
LONGEST_FILE_LINES = 300
MOST_FLOORS = 10
SOURCES = [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]


def imported_modules(path: Path) -> set[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules.add(node.module)
    return modules


def importers_of(package: str) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in SOURCES
        if any(module.split(".")[0] == package for module in imported_modules(path))
    }


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_go_one_way(layer: str) -> None:
    above = LAYERS[LAYERS.index(layer) + 1 :]
    offenders = {
        (path.relative_to(ROOT).as_posix(), module)
        for path in SOURCES
        if path.is_relative_to(ROOT / layer)
        for module in imported_modules(path)
        if module.split(".")[0] in above
    }
    assert offenders == set()


def test_only_the_tracking_tasks_import_mlflow() -> None:
    importers = importers_of("mlflow")
    assert "tasks/tracking.py" in importers
    assert all(path.startswith("tasks/tracking") for path in importers)


def test_only_the_training_imports_trl() -> None:
    assert importers_of("trl") == {"relex/training/grpo.py", "relex/training/vllm_rollouts.py"}


def test_only_the_driver_and_what_it_starts_on_nodes_import_ray() -> None:
    names = ("driver", "group", "slot")
    assert importers_of("ray") == {f"relex/cluster/{name}.py" for name in names}


def test_without_a_cluster_ray_is_not_imported() -> None:
    program = "import sys, relex.run, flows.pipeline; sys.exit('ray' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_choice_knows_numbers_and_no_engine_or_reward() -> None:
    allowed = {"candidates", "config", "errors", "selection", "strict"}
    modules = {
        module
        for path in (ROOT / "relex" / "selection").glob("*.py")
        for module in imported_modules(path)
    }
    assert {module.split(".")[1] for module in modules if module.startswith("relex.")} <= allowed


@pytest.mark.parametrize("room", ["storage", "checkpoints"])
def test_files_and_tensors_know_no_recipe(room: str) -> None:
    modules = {
        module for path in (ROOT / "relex" / room).glob("*.py") for module in imported_modules(path)
    }
    assert [module for module in modules if module.startswith("relex.config")] == []


def test_the_library_does_not_know_prefect() -> None:
    assert not any(path.startswith("relex/") for path in importers_of("prefect"))


def room_of(module: str) -> str:
    """`relex.window` of `relex.window.codec`, `tasks` of `tasks.page`."""
    layer, *rooms = module.split(".")
    return ".".join([layer, *rooms[: layer == "relex"]])


def test_the_house_has_ten_floors_and_no_circle() -> None:
    rooms: dict[str, set[str]] = {}
    for path in SOURCES:
        room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        others = {
            room_of(module)
            for module in imported_modules(path)
            if module.partition(".")[0] in LAYERS
        }
        rooms.setdefault(room, set()).update(others - {room})
    floors: dict[str, int] = {}
    # Raises CycleError where there is a circle.
    for room in TopologicalSorter(rooms).static_order():
        floors[room] = 1 + max((floors[below] for below in rooms.get(room, ())), default=0)
    assert max(floors.values()) <= MOST_FLOORS, sorted(floors.items(), key=lambda item: item[1])


def test_a_file_holds_one_idea() -> None:
    num_lines = {path: len(path.read_text().splitlines()) for path in SOURCES}
    assert [path for path, number in num_lines.items() if number > LONGEST_FILE_LINES] == []


def test_test_folders_do_not_shadow_the_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []
