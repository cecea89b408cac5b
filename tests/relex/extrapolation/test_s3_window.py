"""A window on a real S3 server gives the factors of the same window in a folder."""

from pathlib import Path

import torch

from relex.extrapolation import fit_factors
from relex.extrapolation.factors import BASIS_FILE, TABLE_FILE
from relex.storage import open_store
from relex.storage.embedded import embedded_s3
from relex.window import open_window, open_writer
from tests.snapshots import TensorsAtHand

STEPS = (1, 3, 4)
NUM_ELEMENTS = 200_000


def test_factors_from_s3_are_equal_bit_for_bit(lab, tmp_path: Path) -> None:
    start = {"w": torch.randn(NUM_ELEMENTS, generator=torch.Generator().manual_seed(0))}
    base = lab.base(start)
    with embedded_s3(tmp_path / "s3", "bucket") as connection:
        addresses = [str(tmp_path / "window"), "s3://bucket/window"]
        fits = []
        for number, address in enumerate(addresses):
            writer = open_writer(open_store(address, connection), base, "float32", STEPS)
            for step in STEPS:
                moved = {"w": start["w"] + step * start["w"].sin()}
                writer.append(step, TensorsAtHand(moved))
            window = open_window(address, connection, base)
            fits.append(
                fit_factors(
                    window, base, tmp_path / str(number), memory_bytes=1_000_000, device="cpu"
                )
            )
    on_disk, on_s3 = (
        [(fit.folder / name).read_bytes() for name in (TABLE_FILE, BASIS_FILE)] for fit in fits
    )
    assert on_disk == on_s3
