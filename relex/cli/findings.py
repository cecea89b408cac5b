"""Warnings about a trajectory, on standard error."""

import typer

from relex.extrapolation import FactorsTable, anomalies_of


def warn_of_anomalies(table: FactorsTable) -> None:
    """One line for each repeated snapshot, jump or restart; none for a part of the tensors."""
    if table.part is None:
        for anomaly in anomalies_of(table):
            typer.echo(f"relex: warning: {anomaly.message}", err=True)
