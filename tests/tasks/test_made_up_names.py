"""A name that a user typed is kept; one that Prefect made up gives way to the run's own."""

import pytest
from prefect.utilities.names import generate_slug

from tasks.made_up_names import is_made_up

# As Prefect's form of version 3.7 had them.
OF_THE_FORM = (
    "omega6-satake-void",
    "omega510-velara-sector",
    "alpha-centauri",
    "mu2-canis-majoris",
)


def test_what_prefect_makes_up_is_told():
    names = [*OF_THE_FORM, *(generate_slug(2) for _ in range(100))]
    assert [name for name in names if not is_made_up(name)] == []


@pytest.mark.parametrize("name", ["my-run", "baseline", "lr-1e-5", "toy-28291f1b", "Beta test", ""])
def test_what_a_user_types_is_kept(name):
    assert not is_made_up(name)
