"""Extrapolation of a window: fit factors once, predict any number of targets by any method."""

from relex.extrapolation.adapter_writer import write_adapter
from relex.extrapolation.anomalies import Anomaly
from relex.extrapolation.diagnostics import (
    Diagnosis,
    Diagnostics,
    anomalies_of,
    diagnose,
    hold_out_last,
    quality,
    random_walk_gram,
)
from relex.extrapolation.factors import KIND, DirectionFit, Factors, FactorsTable, open_factors
from relex.extrapolation.fit import fit_factors, fit_inputs
from relex.extrapolation.fit_process import FitJob, run_fit
from relex.extrapolation.method import BUILT_IN, Method, find_method, find_methods
from relex.extrapolation.parts import merge_factors
from relex.extrapolation.piece_fit import OnProgress
from relex.extrapolation.predict import predict_tensors, write_predictions
from relex.extrapolation.settling import Look, are_settled
