from relex.training.schedule import question_order


def test_every_epoch_holds_every_problem_once() -> None:
    order = question_order(num_problems=7, num_rows=21, seed=3)
    epochs = [order[start : start + 7] for start in (0, 7, 14)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_longer_run_begins_with_the_questions_of_a_shorter_one() -> None:
    assert question_order(10, 35, seed=0)[:20] == question_order(10, 20, seed=0)


def test_the_seed_decides_the_order() -> None:
    assert question_order(50, 50, seed=1) == question_order(50, 50, seed=1)
    assert question_order(50, 50, seed=1) != question_order(50, 50, seed=2)
