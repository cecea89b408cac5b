"""The recipe: everything that a run depends on, in one frozen object."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from relex.config.addresses import NO_CREDENTIALS, without_credentials
from relex.config.exam import GREEDY, VALIDATION, Exam, Sampling
from relex.config.extrapolation import ExtrapolationConfig
from relex.config.names import KnownTo, one_of
from relex.config.problems import ProblemsConfig, QuestionsConfig
from relex.config.rewards import GraderName, RewardTerm
from relex.config.selection import SelectionConfig
from relex.config.storage import StorageConfig, TrackingConfig
from relex.config.strict import MOST_ENTRIES, MOST_SAMPLES, MOST_TOKENS, Section, Seed, Steps
from relex.config.training import TrainingConfig
from relex.config.window import WindowConfig
from relex.digests import sha256_json
from relex.doors import ENGINE

DIGEST_CHARACTERS = 8
EngineName = Annotated[str, KnownTo(ENGINE), one_of(ENGINE.built_in)]
Stage = Literal["pack", "train", "fit", "validation", "guard", "test", "publish", "report"]
"""The stages of a run, in their order; a run packs a window or trains one."""

LONGEST_MINUTES = 1_000_000.0
"""Of a stage: two years."""

LONGEST_REWARD_SECONDS = 1e6
"""Eleven days."""


class BaseConfig(Section):
    """The untouched model, step 0."""

    path: str = Field(min_length=1, json_schema_extra={"pattern": NO_CREDENTIALS})
    """`toy`, a folder with a Hugging Face checkpoint, or a repository on the Hub."""

    revision: str = "main"
    """Branch, tag or commit on the Hub."""

    trust_remote_code: bool = False
    """Run Python code that comes with the model. Off unless you have read that code; on a worker
    also where RELEX_PLUGINS does not allow it."""


class EvaluationConfig(Sampling):
    """How candidates answer questions and how the answers are graded."""

    engine: EngineName = "auto"
    """What generates answers; `auto` takes vLLM where it is installed, and your own is
    `module:name`, which is code that the worker runs, where its RELEX_PLUGINS allows it."""

    grader: GraderName = "math_equality"
    """The reward whose value 1.0 means correct: `math_equality`, where the last `\\boxed{}` is
    mathematically equal to the gold answer; `exact_match`, where the whole completion is its text;
    or your own as `module:function`, which is code that the worker runs, where its RELEX_PLUGINS
    allows it."""

    correct_from: float = Field(default=1.0, gt=0, le=1)
    """Least value of the grader that counts as correct, where it gives partial ones; above 1
    nothing is. A reward in training keeps its partial values."""

    samples_per_question: int = Field(default=4, ge=1, le=MOST_SAMPLES)
    """Answers drawn for every question and candidate."""

    max_context_tokens: int = Field(default=4096, ge=2, le=MOST_TOKENS)
    """Prompt plus answer never exceed this. Every answer may have `max_completion_tokens`, so a
    longer prompt than the rest is refused, not given a shorter answer."""

    observed_steps: Steps = ()
    """Steps of the window to measure beside the last one, which is always measured."""

    denoised_steps: Steps = ()
    """Steps of the window to measure denoised too: at the point of the fitted line. A search tries
    the last step so by itself."""

    gpu_memory_fraction: float = Field(default=0.85, gt=0, lt=1)
    """Share of each GPU that vLLM takes."""

    tensor_parallel_size: int = Field(default=1, ge=1, le=1024)
    """GPUs that one vLLM engine is spread over, for a base that does not fit on one. An engine runs
    on every group of so many GPUs, and the questions are split between them."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.max_completion_tokens >= self.max_context_tokens:
            raise ValueError(
                f"max_context_tokens: {self.max_context_tokens} leaves no room for a prompt beside "
                f"max_completion_tokens: {self.max_completion_tokens}"
            )
        if self.tensor_parallel_size > 1 and self.engine == "transformers":
            raise ValueError(
                f"tensor_parallel_size: {self.tensor_parallel_size} is for vLLM; transformers "
                "takes one GPU for each engine: remove it, or choose engine: vllm"
            )
        return self


class RunRecipe(Section):
    """What every run depends on, wherever its window comes from."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)
    """Name of the run: lower case, digits and dashes."""

    seed: Seed = 0
    """Seed of training, sampling and resampling."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes the GPU where there is one; `cuda` refuses to start without one."""

    base: BaseConfig
    """The model to train."""

    problems: QuestionsConfig
    """Questions for choice and report."""

    rewards: tuple[RewardTerm, ...] = Field(default=(), max_length=MOST_ENTRIES)
    """Terms of the reward of the training; a format reward among them raises red flags."""

    extrapolation: ExtrapolationConfig
    """The line beyond it."""

    evaluation: EvaluationConfig = EvaluationConfig()
    """How candidates are measured."""

    selection: SelectionConfig = SelectionConfig()
    """How one is chosen."""

    storage: StorageConfig = StorageConfig()
    """Where the run is kept."""

    tracking: TrackingConfig = TrackingConfig()
    """Where the run is recorded."""

    limits_minutes: dict[Stage, Annotated[float, Field(gt=0, le=LONGEST_MINUTES)]] = Field(
        default_factory=dict
    )
    """Longest time of a stage in minutes, counted anew at every start; a stage that is not named
    has no limit. One that takes longer fails, its processes end, and what it has done is kept: the
    same recipe with a higher limit goes on from there."""

    reward_seconds: float = Field(default=300.0, ge=0, le=LONGEST_REWARD_SECONDS)
    """Longest time for a reward or grader of your own, in seconds: for its import, and for every
    100 completions (begun) that it is given at once; 0 sets no limit. One that takes longer is
    ended, and the stage fails."""

    # A recipe is stored with its run and shown on pages.
    _no_credentials = model_validator(mode="before")(without_credentials)

    @property
    def deciding(self) -> dict[str, Any]:
        """All that can change a result; where it is kept and recorded, and how long it may take,
        cannot."""
        without = {"storage", "tracking", "limits_minutes", "reward_seconds"}
        return self.model_dump(mode="json", exclude=without)

    @property
    def digest(self) -> str:
        """sha256 of all that can change a result."""
        return sha256_json(self.deciding)

    @property
    def run_id(self) -> str:
        """Name of the run's folder: the same recipe always continues the same run."""
        return f"{self.name}-{self.digest[:DIGEST_CHARACTERS]}"

    def exam(self, benchmark: str) -> Exam:
        """How `validation` or a test benchmark is asked and graded: by its own fields, and by
        `evaluation` where it has none."""
        if benchmark == GREEDY:
            return self.exam(VALIDATION).greedy
        entries = {entry.name: entry for entry in self.problems.benchmarks}
        own = entries[benchmark].model_dump(exclude_none=True) if benchmark in entries else {}
        stated = self.evaluation.model_dump() | own
        return Exam(
            prompt=stated.get("prompt", self.problems.prompt),
            samples_per_question=stated["samples_per_question"],
            sampling=Sampling(**{field: stated[field] for field in Sampling.model_fields}),
            grader=stated["grader"],
            correct_from=stated["correct_from"],
        )

    def check_steps(self, kept: Sequence[int]) -> None:
        """Raise ValueError unless targets and observed steps suit a window of the ascending steps
        `kept`."""
        last = kept[-1]
        targets = self.extrapolation.listed_targets
        inside = [target for target in targets if target <= last]
        if inside:
            raise ValueError(
                f"extrapolation.targets: {inside[0]} is not beyond the window, which ends at step "
                f"{last}; choose targets above {last}"
            )
        twice = sorted({target for target in targets if targets.count(target) > 1})
        if twice:
            raise ValueError(
                f"extrapolation.targets: {twice[0]} is listed twice; list each target once"
            )
        for field in ("observed_steps", "denoised_steps"):
            missing = [step for step in getattr(self.evaluation, field) if step not in kept]
            if missing:
                raise ValueError(
                    f"evaluation.{field}: {missing[0]} is not kept in the window; choose from "
                    f"its {len(kept)} steps between {kept[0]} and {last}"
                )


class Recipe(RunRecipe):
    """A pipeline run: a short training, and the line through its window."""

    problems: ProblemsConfig
    """Questions for training, choice and report."""

    rewards: tuple[RewardTerm, ...] = Field(min_length=1, max_length=MOST_ENTRIES)
    """Terms of the reward; their weighted sum is what training maximises."""

    training: TrainingConfig
    """The short run."""

    rounds: int = Field(default=1, ge=1, le=MOST_ENTRIES)
    """Rounds of training, extrapolation and choice. Each is a run of its own, with all that a run
    has, whose base is the model that the round before chose."""

    @property
    def before(self) -> Self | None:
        """The recipe of the round before this one; None of the first."""
        return self.model_copy(update={"rounds": self.rounds - 1}) if self.rounds > 1 else None

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.check_steps(self.training.kept_steps)
        return self


class WindowRecipe(RunRecipe):
    """A run on a window that is there already: nothing is trained."""

    window: WindowConfig
    """Where the snapshots are."""


AnyRecipe = Recipe | WindowRecipe
"""What a run is made from."""
