"""How candidates are measured: one engine, weights swapped in place, graded answers."""

from relex.evaluation.draws import draw_all
from relex.evaluation.dtype import Dtype, choose_dtype, own_dtype, parse_dtype
from relex.evaluation.measured import measured_from
from relex.evaluation.results import (
    ANSWERS_FILE,
    SCORE_FILE,
    Answer,
    Score,
    correct_matrix,
    join_scores,
    part_name,
    read_answers,
    write_answers,
)
from relex.evaluation.session import EvaluationSession
