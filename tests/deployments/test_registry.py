"""What the file says and what the server has are compared key by key."""

import pytest
import yaml

from deployments.registry import REGISTRY, differences, read_registry
from relex.errors import InputError

FOUND = {
    "tags": ["b", "a"],
    "work_pool": {"name": "relex", "work_queue_name": "gpu"},
    "schedules": [{"slug": "nightly", "cron": "0 22 * * *", "active": False}],
    "pull": [{"step": {"directory": "here"}}],
}


def test_what_came_back_as_it_was_written_is_no_difference():
    written = {**FOUND, "tags": ["a", "b"], "schedules": [{"slug": "nightly", "active": False}]}
    assert list(differences(written, FOUND, "file")) == []


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (
            {"work_pool": {"work_queue": "gpu"}},
            "file.work_pool.work_queue: Prefect does not know this key and drops it; "
            "correct or remove it",
        ),
        ({"tags": ["a"]}, "file.tags: the file says ['a'], the server has ['b', 'a']"),
        (
            {"pull": [{"step": {"directory": "there"}}]},
            "file.pull[0].step.directory: the file says 'there', the server has 'here'",
        ),
        (
            {"schedules": [{"slug": "nightly", "active": True}]},
            "file.schedules.nightly.active: the file says True, the server has False",
        ),
        ({"schedules": []}, "file.schedules.nightly: is on the server and not in the file"),
    ],
)
def test_each_difference_is_told_with_its_place(written, line):
    assert list(differences(written, FOUND, "file")) == [line]


def test_a_section_that_prefect_would_pass_over_is_refused(tmp_path):
    path = tmp_path / "prefect.yaml"
    path.write_text(yaml.safe_dump({"deployment": []}))
    with pytest.raises(InputError, match=r"prefect.yaml: deployment: unknown section; known are"):
        read_registry(path)


def test_without_a_pull_step_the_file_is_refused(tmp_path):
    registry = yaml.safe_load(REGISTRY.read_text())
    del registry["pull"]
    path = tmp_path / "prefect.yaml"
    path.write_text(yaml.safe_dump(registry))
    with pytest.raises(InputError, match=r"prefect.yaml: pull: is missing; without it runs start"):
        read_registry(path)


def test_every_schedule_has_a_slug_by_which_it_is_found_again():
    for entry in read_registry()["deployments"]:
        assert all(schedule["slug"] for schedule in entry.get("schedules", []))
