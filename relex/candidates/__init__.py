"""Candidates: their descriptions, and the weights that a description stands for."""

from relex.candidates.candidate import (
    BASE,
    DENOISED,
    LINE,
    Candidate,
    denoised,
    parse_candidate,
)
from relex.candidates.weights import CandidateWeights, WeightSource, open_weights

__all__ = [
    "BASE",
    "DENOISED",
    "LINE",
    "Candidate",
    "CandidateWeights",
    "WeightSource",
    "denoised",
    "open_weights",
    "parse_candidate",
]
