"""Windows: the snapshots that the line is fitted on."""

from relex.window.check import check_window
from relex.window.layout import WindowFacts, WindowManifest, read_window_manifest
from relex.window.open import open_stored_window, open_window
from relex.window.stored import StoredWindow
from relex.window.unpack import unpack
from relex.window.window import SparseWindow, Window
from relex.window.writer import WindowWriter, open_writer

__all__ = [
    "SparseWindow",
    "StoredWindow",
    "Window",
    "WindowFacts",
    "WindowManifest",
    "WindowWriter",
    "check_window",
    "open_stored_window",
    "open_window",
    "open_writer",
    "read_window_manifest",
    "unpack",
]
