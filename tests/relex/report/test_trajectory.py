"""Pictures and words about trajectories of many shapes."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread
from rich.console import Console

from relex.errors import InputError
from relex.extrapolation import Factors, FactorsTable, Look, diagnose
from relex.extrapolation.fit_table import describe_tensor
from relex.extrapolation.subspace import leading_subspace
from relex.report import concerns, settled, tensor_table, verdict, write_trajectory_pictures
from relex.report.heat_map import heat_map_picture, layer_grid
from relex.report.style import layer_of, module_of, new_figure, png_bytes, shorten
from relex.terminal import open_terminal

PICTURES = ["coefficients.png", "heatmap.png", "spectrum.png"]
TWO_LAYERS = [
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.1.self_attn.q_proj.weight",
    "model.norm.weight",
]


@dataclass
class Shape:
    """What a trajectory may look like."""

    names: Sequence[str]
    steps: Sequence[int]
    rank: int = 1
    scale: float = 1.0


SHAPES = {
    "usual": Shape(TWO_LAYERS, range(1, 13)),
    "two steps": Shape(TWO_LAYERS, [1, 2]),
    "three steps, rank 2": Shape(TWO_LAYERS, [5, 6, 20], rank=2),
    "long": Shape(TWO_LAYERS, range(1, 76)),
    "no layers": Shape(["weight", "bias"], range(1, 9)),
    "only layers": Shape(["h.0.w", "h.1.w"], range(1, 9)),
    "one tensor": Shape(["w"], range(1, 9)),
    "nothing moved": Shape(TWO_LAYERS, range(1, 9), scale=0.0),
    "experts": Shape(
        [f"model.layers.{n}.mlp.experts.{e}.up_proj.weight" for n in range(3) for e in range(4)],
        range(1, 9),
    ),
    "many layers and long names": Shape(
        [
            f"model.layers.{n}.self_attn.a_module_with_a_name_that_is_very_long_{m}.weight"
            for n in range(48)
            for m in range(9)
        ],
        range(1, 9),
    ),
}


def factors_of(shape: Shape) -> Factors:
    """Factors whose directions nobody reads."""
    random = np.random.default_rng(0)
    tensors = {}
    for name in shape.names:
        towards_N = random.normal(size=30)
        updates_SN = random.normal(size=(len(shape.steps), 30)) + 0.5 * towards_N
        walk_SN = torch.from_numpy(shape.scale * np.cumsum(updates_SN, axis=0))
        gram_SS = walk_SN @ walk_SN.T
        subspace = leading_subspace(gram_SS, shape.rank)
        tensors[name] = describe_tensor(shape.steps, subspace, gram_SS)
    table = FactorsTable(
        base_digest="base", steps=tuple(shape.steps), rank=shape.rank, tensors=tensors
    )
    return Factors(Path("nowhere"), table, None)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_pictures_are_drawn_for_every_trajectory(shape, tmp_path) -> None:
    factors = factors_of(shape)
    write_trajectory_pictures(factors, diagnose(factors.table), tmp_path / "pictures")
    found = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert found == PICTURES
    for name in PICTURES:
        height, width, _ = imread(tmp_path / "pictures" / name).shape
        assert width == 1800
        assert height < 2400


def test_no_picture_is_blank(tmp_path) -> None:
    """Its colours are more than those of text on white."""
    factors = factors_of(SHAPES["usual"])
    write_trajectory_pictures(factors, diagnose(factors.table), tmp_path / "pictures")
    for name in PICTURES:
        pixels = imread(tmp_path / "pictures" / name)[..., :3]
        spread = pixels.max(axis=2) - pixels.min(axis=2)
        assert (spread > 0.2).mean() > 0.005, name


def test_pictures_need_a_new_folder(tmp_path) -> None:
    factors = factors_of(SHAPES["usual"])
    with pytest.raises(InputError):
        write_trajectory_pictures(factors, diagnose(factors.table), tmp_path)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_table_fits_80_columns_and_says_every_number(shape) -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(tensor_table(diagnose(factors_of(shape).table)))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.count("…") <= 1 for line in lines)


def test_the_verdict_says_what_the_skill_means() -> None:
    diagnostics = diagnose(factors_of(SHAPES["usual"]).table)
    skill = diagnostics.overall.forecast_skill
    better = skill.model_copy(update={"over_staying": 0.42})
    worse = skill.model_copy(update={"over_staying": -0.1})
    said = [
        verdict(
            diagnostics.model_copy(
                update={"overall": diagnostics.overall.model_copy(update={"forecast_skill": one})}
            )
        )
        for one in (better, worse)
    ]
    assert "removes 42 % of the error that staying at step 9 makes on steps 10 to 12" in said[0]
    assert "forecasts steps 10 to 12 no better than staying at step 9" in said[1]


@pytest.mark.parametrize(
    ("name", "words"),
    [("two steps", "too short"), ("nothing moved", "No weight moved")],
)
def test_the_verdict_says_what_cannot_be_known(name, words) -> None:
    assert words in verdict(diagnose(factors_of(SHAPES[name]).table))


def test_it_is_said_whether_a_longer_window_would_say_more() -> None:
    short, long = (diagnose(factors_of(SHAPES[name]).table) for name in ("two steps", "long"))
    look = Look(step=75, skill=0.5, half_cosine=0.9, parts={"0.mlp": 0.9})
    turned = look.model_copy(update={"skill": -0.5})
    straight = long.model_copy(update={"looks": (look,) * 3})
    wanders = long.model_copy(update={"looks": (look, look, turned)})
    assert settled(short) == ""
    assert settled(wanders).startswith("The window is not settled: at steps 75, 75, 75 the secant")
    assert settled(straight).startswith("The window is settled: at steps 75, 75, 75 the secant's ")
    assert settled(straight, 75).startswith("The window is settled: ")
    assert "step 75 of at most 100, because the window was settled: at" in settled(straight, 100)
    assert "not settled, so training went on to step 75, the last: at" in settled(wanders, 75)


def test_a_wandering_trajectory_is_warned_of() -> None:
    diagnostics = diagnose(factors_of(SHAPES["usual"]).table)
    wandering = diagnostics.overall.model_copy(update={"half_cosine": 0.1, "persistence": 0.01})
    found = concerns(diagnostics.model_copy(update={"overall": wandering}))
    assert len(found) == 2
    assert "goes another way than the first (cosine 0.10)" in found[0]
    assert "have little in common (cosine 0.01)" in found[1]


def test_cells_of_the_heat_map_are_where_their_names_say() -> None:
    values = {
        "model.layers.10.mlp.down_proj.weight": 0.1,
        "model.layers.2.self_attn.q_proj.weight": 0.2,
        "model.layers.2.self_attn.q_proj.bias": 0.3,
        "model.layers.10.mlp.experts.0.w.weight": 0.4,
        "model.layers.10.mlp.experts.1.w.weight": 0.6,
        "model.layers.2.input_layernorm.weight": None,
        "lm_head.weight": 0.7,
    }
    grid = layer_grid(values)
    assert grid.layers == ("2", "10", "-")
    assert grid.modules == (
        "input_layernorm",
        "q_proj",
        "down_proj",
        "q_proj.bias",
        "experts.w",
        "lm_head",
    )
    expected = np.full((3, 6), np.nan)
    expected[0, 1], expected[0, 3], expected[1, 2], expected[1, 4] = 0.2, 0.3, 0.1, 0.5
    expected[2, 5] = 0.7
    np.testing.assert_allclose(grid.value_LM, expected)


def test_the_same_diagnostics_give_the_same_picture() -> None:
    diagnostics = diagnose(factors_of(SHAPES["usual"]).table)
    first, second = heat_map_picture(diagnostics), heat_map_picture(diagnostics)
    assert first == second
    assert imread(BytesIO(first)).size


def test_names_are_taken_apart() -> None:
    name = "model.layers.12.self_attn.k_norm.weight"
    assert (layer_of(name), module_of(name)) == (12, "k_norm")
    assert (layer_of("model.norm.weight"), module_of("model.norm.weight")) == (None, "norm")
    assert shorten("model.layers.12.post_attention_layernorm.weight", 20) == "layers.12…layernorm"


HOSTILE_NAMES = [
    "a$b",
    "$x$",
    r"$\frac{",
    r"$\notacommand$ w",
    r"\$",
    "a[/x]b",
    "[bold]w[/bold]",
    "[link=file:///etc/passwd]w",
    ":smile:",
    "_hidden",
    "代数.0.w",
    "😀",
    "x" * 300,
    "a\nb",
    "\x1b[31mred",
    "\u202eabc",
    "\x00",
    " ",
    "",
    "%s {0} {name}",
    "model.layers.0.$a$.weight",
    "model.layers.1.[/x].weight",
    "model.layers.99999999999999999999.w",
    "h.-1.w",
]


# With one more, as many as a picture shows at once.
FIVES = [HOSTILE_NAMES[start : start + 5] for start in range(0, len(HOSTILE_NAMES), 5)]


@pytest.mark.parametrize("names", FIVES, ids=ascii)
def test_tensors_of_any_name_are_drawn(names: list[str], tmp_path) -> None:
    factors = factors_of(Shape([*names, "model.layers.0.up.weight"], range(1, 9)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_trajectory_pictures(factors, diagnose(factors.table), tmp_path / "pictures")


def test_all_of_them_stand_in_one_table_of_eighty_columns() -> None:
    console = open_terminal()
    console.file, console.width = io.StringIO(), 80
    diagnostics = diagnose(factors_of(Shape(HOSTILE_NAMES, range(1, 9))).table)
    for names in FIVES:
        some = {name: diagnostics.tensors[name] for name in names}
        console.print(tensor_table(diagnostics.model_copy(update={"tensors": some})))
    shown = console.file.getvalue()
    assert "a[/x]b" in shown
    assert "[bold]w[/bold]" in shown
    assert ":smile:" in shown
    assert r"\x1b[31mred" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_dollars_are_drawn_and_the_setting_of_others_stays() -> None:
    drawn = {}
    for words in ("$x$", "x"):
        figure = new_figure(2.0, words)
        figure.add_subplot().set_title(words)
        drawn[words] = png_bytes(figure)
    assert drawn["$x$"] != drawn["x"]
    assert Figure().text(0, 0, "$x$").get_parse_math()
