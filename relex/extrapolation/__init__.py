"""Extrapolation of a window: fit factors once, predict any number of targets by any method."""

from relex.extrapolation.adapter_writer import Compression, write_adapter
from relex.extrapolation.anomalies import Anomaly
from relex.extrapolation.diagnostics import (
    Diagnosis,
    Diagnostics,
    Quality,
    anomalies_of,
    diagnose,
    hold_out_last,
    quality,
    random_walk_gram,
)
from relex.extrapolation.factors import (
    KIND,
    DirectionFit,
    Factors,
    FactorsTable,
    TensorFit,
    open_factors,
)
from relex.extrapolation.fit import fit_factors, fit_inputs
from relex.extrapolation.forecast import ForecastSkill, HeldOut
from relex.extrapolation.line_fit import Line
from relex.extrapolation.method import BUILT_IN, Method, find_method, find_methods
from relex.extrapolation.parts import merge_factors
from relex.extrapolation.piece_fit import OnProgress
from relex.extrapolation.predict import (
    LINE,
    predict_displacement,
    predict_tensors,
    write_predictions,
)

__all__ = [
    "BUILT_IN",
    "KIND",
    "LINE",
    "Anomaly",
    "Compression",
    "Diagnosis",
    "Diagnostics",
    "DirectionFit",
    "Factors",
    "FactorsTable",
    "ForecastSkill",
    "HeldOut",
    "Line",
    "Method",
    "OnProgress",
    "Quality",
    "TensorFit",
    "anomalies_of",
    "diagnose",
    "find_method",
    "find_methods",
    "fit_factors",
    "fit_inputs",
    "hold_out_last",
    "merge_factors",
    "open_factors",
    "predict_displacement",
    "predict_tensors",
    "quality",
    "random_walk_gram",
    "write_adapter",
    "write_predictions",
]
