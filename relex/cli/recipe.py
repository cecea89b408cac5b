"""`relex recipe`: a recipe to start from, what is wrong with one, and what may stand in it."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter

from relex.checkpoints import TOY_BASE
from relex.cli.screen import shown
from relex.config import AnyRecipe, Recipe, load_run_recipe, parse_recipe
from relex.errors import InputError
from relex.memory import check_memory, planned_machine, read_model
from relex.run.places import open_run
from relex.run.preflight import validate
from relex.run.rounds import rounds_of
from relex.terminal import open_terminal

recipe_app = typer.Typer(no_args_is_help=True, help="Start a recipe, and check one.")
TEMPLATE = "template.yaml"


@recipe_app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Name of the run: lower case, digits and dashes.")],
    out: Annotated[
        Path | None, typer.Option(help="File for the recipe; default: NAME.yaml.")
    ] = None,
) -> None:
    """Write a recipe with a comment to every field that is usually set."""
    path = out or Path(f"{name}.yaml")
    template = files("relex.config").joinpath(TEMPLATE).read_text(encoding="utf-8")
    text = template.replace("NAME", name)
    parse_recipe(text, "recipe new")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise InputError(f"{path}: exists already; give another name or --out") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); give --out") from error
    typer.echo(f"{path}: fill it in, then: relex recipe check {path}")


@recipe_app.command("check")
def check(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe of the run.")],
    gpu: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="GB",
            help="Plan for GPUs with so much memory in place of this machine, from the base's "
            "config alone: 24, 80, 141 ...",
        ),
    ] = None,
) -> None:
    """Look for everything that can be refused before GPU time is spent."""
    chosen = load_run_recipe(recipe)
    if gpu is not None:
        _plan_for(chosen, gpu)
        typer.echo(f"{recipe}: fits")
        return
    first, _ = rounds_of(chosen)[0]
    with shown(open_terminal()) as screen, open_run(first, [screen]) as run:
        validate(run)
    typer.echo(f"{recipe}: can be run; its run is {chosen.run_id}")


def _plan_for(recipe: AnyRecipe, card_gb: float) -> None:
    """The memory plan on as many such GPUs as the recipe takes."""
    num_gpus = recipe.training.num_gpus if isinstance(recipe, Recipe) else 1
    path = str(TOY_BASE) if recipe.base.path == "toy" else recipe.base.path
    model = read_model(path, recipe.base.revision)
    check_memory(recipe, model, planned_machine(card_gb, num_gpus), typer.echo)


@recipe_app.command("schema")
def schema() -> None:
    """Print the JSON schema of recipes, for editors and other programs."""
    typer.echo(json.dumps(TypeAdapter(AnyRecipe).json_schema(), indent=1))
