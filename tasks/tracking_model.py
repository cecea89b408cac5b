"""A checkpoint as a model of MLflow.

`MLmodel` beside the weights is all that `mlflow.transformers` and `mlflow.pyfunc` need to load them
from where they lie: the folder stays the Hugging Face checkpoint that it is, and nothing is copied
into MLflow's own artifacts.
"""

import json
import platform
from pathlib import Path
from typing import Any

from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from transformers import AutoTokenizer

from relex.config import RunRecipe
from relex.evaluation import Dtype

TASK, PIPELINE = "text-generation", "TextGenerationPipeline"
LOADER = "mlflow.transformers"
"""By name: importing it takes seconds and prints warnings."""

TOKENIZER_FOLDER = "components/tokenizer"
"""The only place in which MLflow looks for it."""


def write_mlmodel(recipe: RunRecipe, dtype: Dtype, folder: Path) -> None:
    """Make a model of MLflow of the checkpoint in `folder`, which was measured in `dtype`.

    It takes prompts as they are asked, chat templates and all. `predict` of pyfunc answers greedily
    with at most as many tokens as in the evaluation; its `params` change both.
    """
    trusted = recipe.base.trust_remote_code
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trusted)
    tokenizer.save_pretrained(folder / TOKENIZER_FOLDER)
    config = json.loads((folder / "config.json").read_bytes())
    settings = [
        ParamSpec("max_new_tokens", DataType.long, recipe.evaluation.max_completion_tokens),
        ParamSpec("do_sample", DataType.boolean, False),
        ParamSpec("return_full_text", DataType.boolean, False),
    ]
    text = Schema([ColSpec(DataType.string)])
    model: Any = Model(signature=ModelSignature(text, text, ParamSchema(settings)))
    model.add_flavor(
        "transformers",
        task=TASK,
        instance_type=PIPELINE,
        torch_dtype=f"torch.{dtype}",
        pipeline_model_type=config["architectures"][0],
        model_binary=".",
        components=["tokenizer"],
        tokenizer_type="AutoTokenizer",
    )
    model.add_flavor(
        "python_function", loader_module=LOADER, python_version=platform.python_version()
    )
    model.save(str(folder / MLMODEL_FILE_NAME))
