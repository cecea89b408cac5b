"""What lies beside a published model, for those who meet it without its run."""

from relex.config import RunRecipe
from relex.evaluation import Score
from relex.report.page import plain
from relex.selection.decision import Decision


def model_card(recipe: RunRecipe, decision: Decision, test: Score) -> str:
    """README.md of the model; `test` is its score on the first test benchmark."""
    return f"""# {plain(recipe.run_id)}: {decision.chosen.key}

Made by relex from the base {plain(recipe.base.path)}. {plain(decision.reason)}

Its accuracy on {test.num_questions} test questions ({test.benchmark}, {test.samples_per_question}
answers each) is {test.accuracy:.3f}, measured with {test.engine} in {test.dtype}. In another dtype
sums are rounded otherwise and answers differ, so serve it in the same:

    vllm serve MODEL --dtype {test.dtype}

With the CPU build of vLLM that is `python -m vllm.entrypoints.openai.api_server --model MODEL
--dtype {test.dtype}`.
"""
