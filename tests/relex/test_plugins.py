"""What the text of a recipe may run, and that nothing else is even imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import relex
from relex.checkpoints import locate_base
from relex.config import RewardTerm
from relex.errors import CheckpointError, RewardError
from relex.rewards import build_reward

REWARD = "def reward(completions, answers, **_):\n    return [1.0 for _ in completions]\n"
TRAP = "from pathlib import Path\nPath({mark!r}).touch()\n"
BUILD = """
import json, sys
from relex.config import RewardTerm
from relex.errors import RewardError
from relex.rewards import build_reward
told = {}
for reference in sys.argv[1:]:
    before, said = set(sys.modules), "built"
    try:
        build_reward(RewardTerm(reward=reference))
    except RewardError as error:
        said = str(error)
    told[reference] = [said, sorted(set(sys.modules) - before)]
print(json.dumps(told))
"""


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def worker(tmp_path):
    """Builds a reward in a process whose working folder is `here`; `elsewhere` is on its path."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    trap = TRAP.format(mark=str(tmp_path / "ran"))
    write(
        here,
        {
            "mine.py": "from os import system\nfrom functools import partial\nimport os\n"
            "from away import reward as lent\n"
            f"{REWARD}short = partial(reward, longest=3)\nran = partial(os.system)\n"
            "class Judge:\n    def __call__(self, completions, answers, **_):\n"
            "        return [0.0 for _ in completions]\njudge = Judge()\n",
            "pack/__init__.py": "",
            "pack/inner.py": REWARD,
            "loose/deep/inner.py": REWARD,
            "venv/lib/site-packages/__init__.py": trap,
            "venv/lib/site-packages/inner.py": trap + REWARD,
            "this.py": trap + REWARD,
            "home/s3/relex/evil.py": trap + REWARD,
        },
    )
    write(elsewhere, {"away.py": REWARD, "trapped.py": trap + REWARD, "bag/__init__.py": trap})
    write(elsewhere, {"bag/inner.py": trap + REWARD, "split/a.py": trap + REWARD})
    write(here, {"split/b.py": REWARD})
    (here / "link.py").symlink_to(elsewhere / "trapped.py")

    def build(plugins: str | None, *references: str) -> dict[str, tuple[str, list[str]]]:
        """What is said about each, and the modules that were imported for it."""
        environment = {key: value for key, value in os.environ.items() if key != "RELEX_PLUGINS"}
        paths = [here, Path(relex.__file__).parents[1], elsewhere, here / "venv/lib/site-packages"]
        environment |= {"PYTHONPATH": os.pathsep.join(map(str, paths)), "RELEX_HOME": "home"}
        environment |= {} if plugins is None else {"RELEX_PLUGINS": plugins}
        done = subprocess.run(
            [sys.executable, "-c", BUILD, *references],
            cwd=here,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert not (tmp_path / "ran").exists(), "code of what is refused was run"
        return {reference: tuple(told) for reference, told in json.loads(done.stdout).items()}

    return build


REFUSAL = "is not among what a recipe may run here"
FOUND_HERE = (
    "mine:reward",
    "mine:short",
    "mine:judge",
    "pack.inner:reward",
    "loose.deep.inner:reward",
    "relex.toy.rewards:chatty",
)


def test_what_lies_in_the_working_folder_and_what_is_ours_is_run(worker):
    told = worker(".", *FOUND_HERE)
    assert {reference: said for reference, (said, _) in told.items()} == dict.fromkeys(
        FOUND_HERE, "built"
    )


NEVER = (
    "torch.hub:load",
    "os:system",
    "posix:system",
    "os.path:join",
    "nt:system",
    "subprocess:run",
    "subprocess:Popen",
    "builtins:eval",
    "builtins:exec",
    "importlib:import_module",
    "runpy:run_path",
    "pickle:loads",
    "code:interact",
    "pdb:run",
    "sys:exit",
    "ctypes:CDLL",
    "transformers:AutoModel",
    "numpy:load",
    "yaml:load",
    "pandas:read_pickle",
    "away:reward",
    "trapped:reward",
    "link:reward",
    "bag:reward",
    "bag.inner:reward",
    "split.a:reward",
    "split.b:reward",
    "inner:reward",
    "venv.lib.site-packages.inner:reward",
    "this:reward",
    "home.s3.relex.evil:reward",
    "__main__:reward",
    "site:main",
    "mine.os:system",
    "mine.torch.hub:load",
    "relexx:reward",
    "relex_evil:reward",
    ".mine:reward",
    "..here.mine:reward",
    "mine.:reward",
    "pack..inner:reward",
    " mine:reward",
    "./mine:reward",
    "loose:reward",
    "loose.deep:reward",
    "no_such_module:reward",
    ":reward",
)


def test_everything_else_is_refused_before_anything_is_imported(worker):
    for reference, (said, imported) in worker(".", *NEVER).items():
        assert said.startswith(f"reward {reference}: "), reference
        assert REFUSAL in said, reference
        assert "RELEX_PLUGINS" in said, reference
        assert imported == [], reference


def test_what_a_module_only_imports_is_not_its_own(worker):
    names = ("system", "ran", "lent", "partial", "__class__", "__init__", "__getattribute__")
    for reference, (said, _) in worker(".", *(f"mine:{name}" for name in names)).items():
        assert REFUSAL in said, reference


def test_a_way_through_a_module_is_no_function_of_it(worker):
    names = ("os.system", "os.path.join", "__dict__", "__builtins__", "__loader__", "os")
    for reference, (said, _) in worker(".", *(f"mine:{name}" for name in names)).items():
        assert "has no function" in said, reference


@pytest.mark.parametrize(
    ("plugins", "runs", "refuses"),
    [
        ("away", "away:reward", "mine:reward"),
        (" other, away ,.", "mine:lent", "trapped:reward"),
        ("pack.inner", "pack.inner:reward", "mine:reward"),
        ("pack", "pack.inner:reward", "away:reward"),
        ("pack.inn", "relex.toy.rewards:chatty", "pack.inner:reward"),
        ("", "relex.toy.rewards:chatty", "mine:reward"),
        ("trust_remote_code", "relex.toy.rewards:chatty", "mine:reward"),
    ],
)
def test_the_operator_lists_what_may_be_run(worker, plugins, runs, refuses):
    told = worker(plugins, refuses, runs)
    assert told[runs][0] == "built"
    assert REFUSAL in told[refuses][0]


@pytest.mark.parametrize("plugins", [None, "*", "mine,*"])
def test_in_a_terminal_of_ones_own_a_reward_is_anywhere_on_the_python_path(worker, plugins):
    told = worker(plugins, "away:reward", "mine:lent", "pack.inner:reward")
    assert {said for said, _ in told.values()} == {"built"}


def test_a_model_runs_code_of_its_own_only_where_the_operator_allows_it(monkeypatch, tmp_path):
    assert locate_base("toy", trust_remote_code=True).is_dir()
    for plugins in ("*", "trust_remote_code", ".,trust_remote_code"):
        monkeypatch.setenv("RELEX_PLUGINS", plugins)
        assert locate_base("toy", trust_remote_code=True).is_dir()
    for plugins in ("", ".", "my_rewards"):
        monkeypatch.setenv("RELEX_PLUGINS", plugins)
        with pytest.raises(CheckpointError, match=r"base\.trust_remote_code: .*RELEX_PLUGINS"):
            locate_base("toy", trust_remote_code=True)
        assert locate_base("toy").is_dir()


def test_a_refusal_is_one_line(monkeypatch):
    monkeypatch.setenv("RELEX_PLUGINS", ".")
    with pytest.raises(RewardError) as caught:
        build_reward(RewardTerm(reward="os:system"))
    assert len(str(caught.value).splitlines()) == 1
