"""Candidates: their descriptions, and the weights that a description stands for."""

from relex.candidates.candidate import BASE, Candidate, denoised
from relex.candidates.weights import CandidateWeights, WeightSource, open_weights

__all__ = ["BASE", "Candidate", "CandidateWeights", "WeightSource", "denoised", "open_weights"]
