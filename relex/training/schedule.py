"""The order of the training questions, fixed before training starts.

TRL's own sampler starts its first permutation again after a restart. Here all rows of the run are
laid out beforehand as one epoch for the trainer, so a resumed run only skips rows and meets the
same questions as one that was never interrupted.
"""

import random


def question_order(num_problems: int, num_rows: int, seed: int) -> list[int]:
    """Indices of the problems for `num_rows` rows: seeded shuffles of all problems, end to end."""
    rng = random.Random(seed)
    order: list[int] = []
    while len(order) < num_rows:
        epoch = list(range(num_problems))
        rng.shuffle(epoch)
        order += epoch
    return order[:num_rows]
