"""How candidates are measured: engines, weights swapped in place, graded answers."""

from relex.evaluation.checksums import LayerSums
from relex.evaluation.draws import draw_all
from relex.evaluation.dtype import Dtype, choose_dtype, own_dtype, parse_dtype
from relex.evaluation.engine import Completion, Engine, EngineConfig, Request
from relex.evaluation.engine_places import engine_places
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
from relex.evaluation.session import Asked, EvaluationSession
from relex.evaluation.stored import StoredScores, read_stored_scores
from relex.evaluation.weights import candidate_weights, widened
