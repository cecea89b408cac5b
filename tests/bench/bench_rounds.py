"""What it does to the test that several rounds choose on the same validation questions.

    python tests/bench/bench_rounds.py [--paths 1000]

Paths on which nothing is ever better than the last step: in each round the last step and its rivals
come from the round's base by changes of the same law, so that no rival is better on average, but
each on some questions. A rival that passes is the next base, with its luck on the questions that
chose it. Against it stand paths that ask new questions in every round.

Q questions, K samples per question.
"""

import argparse

import numpy as np
from bench_search import show_share

from relex.config import SelectionConfig
from relex.selection import paired_tests

NUM_ROUNDS, NUM_RIVALS, NUM_QUESTIONS, NUM_SAMPLES = 3, 8, 200, 4
CHANGE = 0.5
"""Standard deviation of what a round's training or jump changes in a question's log odds."""

CONFIG = SelectionConfig(num_resamples=1000)


def replaced(seed: int, is_reused: bool) -> list[bool]:
    """Whether a rival replaced the last step, in each round of a path."""
    rng, found = np.random.default_rng(seed), []
    odds_Q = rng.normal(0.3, 1.5, NUM_QUESTIONS)
    for number in range(NUM_ROUNDS):
        if number and not is_reused:
            spread = np.hypot(1.5, CHANGE * np.sqrt(number))
            odds_Q = rng.normal(0.3, spread, NUM_QUESTIONS)
        last_Q, *rivals = odds_Q + rng.normal(0, CHANGE, (1 + NUM_RIVALS, NUM_QUESTIONS))
        answers = [_answers(rng, one_Q) for one_Q in (last_Q, *rivals)]
        tests = paired_tests([(rival_QK, answers[0]) for rival_QK in answers[1:]], CONFIG, 0)
        passing = [row for row, test in enumerate(tests) if test.p_value <= 1 - CONFIG.confidence]
        best = max(passing, key=lambda row: answers[1 + row].mean(), default=None)
        odds_Q = last_Q if best is None else rivals[best]
        found.append(best is not None)
    return found


def _answers(rng: np.random.Generator, odds_Q: np.ndarray) -> np.ndarray:
    return rng.random((NUM_QUESTIONS, NUM_SAMPLES)) < 1 / (1 + np.exp(-odds_Q[:, None]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=1000)
    num_paths = parser.parse_args().paths
    for is_reused in (True, False):
        paths = np.array([replaced(seed, is_reused) for seed in range(num_paths)])
        by_round = ", ".join(show_share(flags) for flags in paths.T)
        anywhere = show_share(paths.any(axis=1))
        print(f"{'the same' if is_reused else 'new'} questions: {by_round}; anywhere {anywhere}")


if __name__ == "__main__":
    main()
