"""Ending a service that never ran."""

from relex.home import Home
from tasks.background import Background


def test_ending_nothing_is_no_error_where_no_home_can_be(tmp_path):
    (tmp_path / "file").touch()
    Background(Home(tmp_path / "file" / "home")).stop()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
