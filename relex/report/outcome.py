"""What the choice came to: whether the test questions confirm it, and what it leaves open."""

from relex.candidates import BASE
from relex.extrapolation import Diagnostics
from relex.report.costs import cost_line
from relex.report.page import ALARM
from relex.report.summary import BenchmarkResult, RunSummary
from relex.selection.wording import show_accuracy, show_difference

NUM_LAST_STEPS = 3
FAR_ABOVE = 0.1


def outcome_lines(summary: RunSummary) -> list[str]:
    """What belongs under the reason of a choice: one sentence each, none when the last observed
    step is kept and no worse than the base."""
    lines = [_test_line(summary, name) for name in summary.benchmark_names]
    lines += [_harm_line(summary, name) for name in summary.benchmark_names]
    lines += [_trained_otherwise_line(summary), sharpness_line(summary)]
    return [line for line in (*lines, _farther_line(summary), _round_line(summary)) if line]


def cost_words(summary: RunSummary) -> str:
    """What was used and saved; empty where it is not known."""
    return cost_line(summary.costs, summary.search) if summary.costs else ""


def is_confirmed(result: BenchmarkResult) -> bool:
    """Whether the test questions alone say that it is better than the last observed step."""
    return result.to_last_observed is not None and result.to_last_observed.interval.low > 0


def reconciled(summary: RunSummary, diagnostics: Diagnostics) -> str:
    """How a candidate beyond the window can be chosen although the line forecasts badly; empty
    where there is nothing to reconcile."""
    decision, skill = summary.decision, diagnostics.overall.forecast_skill.over_staying
    test = decision.result(decision.chosen).to_last_observed
    if not decision.chosen.is_beyond or test is None or skill is None or skill > 0:
        return ""
    return (
        f"{decision.chosen.key} is chosen all the same, and the two do not contradict each "
        "other. The forecast is about weights, much of whose motion changes no answer; the choice "
        "is about answers, and rests on nothing else: "
        f"{show_difference(test)} on the validation questions. So the forecast speaks against "
        "every target that was not measured, and what was measured speaks for this one only."
    )


def _test_line(summary: RunSummary, benchmark: str) -> str:
    result = summary.benchmark_result(benchmark, summary.decision.chosen)
    test = result and result.to_last_observed
    if not result or not test:
        return ""
    label, last = result.candidate.key, summary.decision.last_observed.key
    found = f"{show_difference(test)} against {last} (p = {test.p_value:.2g})"
    reached = show_accuracy(result.accuracy, result.interval)
    opening = f"On the test questions of {benchmark} {label} reaches {reached}, {found}: "
    if is_confirmed(result):
        return f"{opening}they confirm that it is better."
    if test.interval.high < 0:
        return f"{opening}there it is worse, so validation misled the choice."
    return f"{opening}the interval includes zero, so they do not confirm that it is better."


def _round_line(summary: RunSummary) -> str:
    """That a later round would better not have been."""
    if not summary.earlier:
        return ""
    *_, before, this = summary.rounds
    began, ended = this.accuracy(BASE)[0], this.accuracy(this.chosen)[0]
    if ended >= began:
        return ""
    return (
        f"Round {len(summary.rounds)} ends lower on the test questions, at {ended:.3f}, than it "
        f"began, at {began:.3f}: the model of the round before, {before.run_id}, may be the better "
        "one, and is kept."
    )


def _trained_otherwise_line(summary: RunSummary) -> str:
    """That the answers in training were far better than those that the last step gave when it was
    measured, so that what is gained over it may be no gain over what was trained."""
    rates = {
        step.step: step.metrics["accuracy"]
        for step in summary.training[-NUM_LAST_STEPS:]
        if "accuracy" in step.metrics
    }
    last = summary.decision.result(summary.decision.last_observed)
    if len(rates) < NUM_LAST_STEPS or min(rates.values()) < last.interval.high + FAR_ABOVE:
        return ""
    return (
        f"{ALARM}In training, at steps {min(rates)} to {max(rates)}, {min(rates.values()):.3f} or "
        f"more of the answers were right, of {last.candidate.key}'s on validation "
        f"{show_accuracy(last.accuracy, last.interval)}. Either the validation questions are "
        "harder, or it was not measured as it was trained: another prompt, limit or temperature, "
        "or its weights, in the dtype of the base, have lost to rounding what training moved: a "
        "base in float32 keeps it."
    )


def sharpness_line(summary: RunSummary) -> str:
    """That greedy answers of the base, or of the last step, are as good as the sampled ones of what
    was chosen; empty where they are not."""
    decision = summary.decision
    chosen, itself = decision.result(decision.chosen), summary.greedy_result(decision.chosen)
    for candidate in (BASE, decision.last_observed):
        greedy = summary.greedy_result(candidate)
        if candidate == decision.chosen or greedy is None or itself is None:
            continue
        sampled = decision.result(candidate).accuracy
        is_gain = sampled < min(chosen.accuracy, greedy.accuracy)
        if is_gain and greedy.accuracy >= chosen.interval.low:
            what = "training and the choice add" if candidate.is_base else "the choice adds"
            return (
                f"{ALARM}{candidate.key} already reaches {greedy.accuracy:.3f} on validation when "
                f"it answers greedily: what {what} in sampled answers ({sampled:.3f} to "
                f"{chosen.accuracy:.3f}) is sharpness, which temperature 0 gives for nothing. "
                f"{decision.chosen.key} reaches {itself.accuracy:.3f} so."
            )
    return ""


def _harm_line(summary: RunSummary, benchmark: str) -> str:
    """That what is kept is worse than the base where validation did not see it."""
    base = summary.benchmark_result(benchmark, BASE)
    if base is None or not is_confirmed(base) or summary.decision.verdict != "kept":
        return ""
    assert base.to_last_observed is not None
    return (
        f"On the test questions of {benchmark} base, the model before training, reaches "
        f"{show_accuracy(base.accuracy, base.interval)}, {show_difference(base.to_last_observed)} "
        f"against {summary.decision.last_observed.key}: there training made the model worse."
    )


def _farther_line(summary: RunSummary) -> str:
    """That the search or the list ended too early, as far as one can see."""
    decision, chosen = summary.decision, summary.decision.chosen
    gains = {
        r.candidate: r.to_last_observed.difference
        for r in decision.results
        if r.candidate.is_beyond and r.to_last_observed
    }
    on_its_way = [each for each in gains if each == chosen.model_copy(update={"step": each.step})]
    if chosen not in gains or chosen.step < max(each.step for each in on_its_way):
        return ""
    nearer = [gains[each] for each in on_its_way if each != chosen]
    if gains[chosen] <= (nearer[-1] if nearer else 0.0):
        return ""
    return (
        f"{chosen.key} is the farthest target that was tried, and accuracy still rises there: "
        "farther targets were not tried, which the recipe may allow."
    )
