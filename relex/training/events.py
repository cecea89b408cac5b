"""What a training process reports while it runs."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from relex.child_output import Event
from relex.child_side import emit
from relex.strict import Strict


class StepTrained(Strict):
    """The measurements of one optimizer step, over all of its completions."""

    event: Literal["step"] = "step"

    step: int
    """The optimizer step, from 1."""

    num_steps: int
    """Steps that the run will have."""

    reward_mean: float
    """Mean of the weighted sum of the rewards."""

    reward_spread: float
    """Standard deviation of the weighted sum of the rewards."""

    reward_means: dict[str, float]
    """Mean of each reward by its name, without its weight."""

    accuracy: float | None = None
    """Share of the completions that are correct by the grader of the evaluation, whatever the
    reward is; None where the problems have no gold answers of their own."""

    accuracy_spread: float | None = None
    """Standard deviation of the groups' own accuracies (their squares divided by the number of
    groups)."""

    zero_spread_fraction: float
    """Share of groups whose completions all have one reward; they teach nothing."""

    clipped_fraction: float
    """Share of completions that were cut at the longest length."""

    mean_completion_tokens: float
    """Mean length of a completion in tokens."""

    loss: float
    """The GRPO loss. Values around zero are normal."""

    grad_norm: float
    """Norm of the gradient before clipping."""

    learning_rate: float
    """Learning rate of this step."""

    step_seconds: float
    """Wall time since the step before: rollouts, rewards, update, and waiting for uploads."""

    rollout_seconds: float | None = None
    """Of these, what the completions and their rewards took."""

    kl: float | None = None
    """KL divergence from the base per token; only with `kl_beta`."""

    importance_ratio: float | None = None
    """Mean ratio of the trainer's and vLLM's probabilities of the completions; ideally 1."""

    importance_beyond_fraction: float | None = None
    """Share of the completions, or with `token_` of the tokens, whose ratio was beyond the clips:
    left out of the loss with `mask`, cut with `truncate`."""

    @property
    def words(self) -> str:
        """The step in a line."""
        accuracy = "" if self.accuracy is None else f"accuracy {self.accuracy:.3f}, "
        return (
            f"step {self.step}/{self.num_steps}: reward {self.reward_mean:.3f}, {accuracy}"
            f"loss {self.loss:.3g}, "
            f"groups without spread {100 * self.zero_spread_fraction:.0f} %, "
            f"clipped {100 * self.clipped_fraction:.0f} %, "
            f"{self.mean_completion_tokens:.1f} tokens, {self.step_seconds:.1f} s"
        )

    @property
    def metrics(self) -> dict[str, float]:
        """The measurements by name, each reward's mean as `reward/<name>`; what was not taken is
        left out."""
        values = self.model_dump(exclude={"event", "step", "num_steps", "reward_means"})
        rewards = {f"reward/{name}": mean for name, mean in self.reward_means.items()}
        return {name: value for name, value in values.items() if value is not None} | rewards


class RolloutsChosen(Strict):
    """What generates the completions, with all that it was not told by the recipe."""

    event: Literal["rollouts"] = "rollouts"

    engine: str
    """Name, with a version where it is vLLM in this process."""

    arguments: dict[str, str | int | float | bool]
    """TRL's and vLLM's, by their names; none for transformers."""

    @property
    def words(self) -> str:
        """All of it in a line."""
        told = ", ".join(f"{name} {value}" for name, value in self.arguments.items())
        return f"rollouts by {self.engine}{': ' if told else ''}{told}"


class SnapshotStored(Strict):
    """The snapshot of `step` is safe in the window."""

    event: Literal["snapshot"] = "snapshot"
    step: int
    size_bytes: int


class WindowLooked(Strict):
    """What the window shows so far, by which training with `steps: auto` stops or goes on."""

    event: Literal["looked"] = "looked"
    step: int

    skill: float | None
    """Of the secant, on the steps that the look held out."""

    half_cosine: float | None
    """Between the directions of the window's halves."""

    same_order: float | None
    """Correlation of the order of the parts with that of two looks ago; None before that."""

    is_settled: bool
    """Whether training stops."""

    @property
    def words(self) -> str:
        """The look in a line."""
        found = {"skill": self.skill, "cosine": self.half_cosine, "same order": self.same_order}
        told = ", ".join(f"{name} {x:.2f}" for name, x in found.items() if x is not None)
        if self.is_settled:
            return f"training stops at step {self.step}: the window is settled ({told})"
        return f"step {self.step}: the window is not settled ({told})"


class TrainingResumed(Strict):
    """Training goes on from the rolling checkpoint of `step`."""

    event: Literal["resumed"] = "resumed"
    step: int


class TrainingWarning(Strict):
    """Something that the user should look at, in words."""

    event: Literal["warning"] = "warning"
    message: str


TrainingEvent = (
    RolloutsChosen | StepTrained | SnapshotStored | WindowLooked | TrainingResumed | TrainingWarning
)

_EVENTS: TypeAdapter[TrainingEvent] = TypeAdapter(
    Annotated[TrainingEvent, Field(discriminator="event")]
)


def send(event: TrainingEvent) -> None:
    """Called in the training process: report to the parent."""
    emit(**event.model_dump(mode="json"))


def parse_event(event: Event) -> TrainingEvent:
    """The typed event of what the parent received."""
    return _EVENTS.validate_python(event)
