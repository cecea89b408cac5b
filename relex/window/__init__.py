"""Windows: the snapshots that the line is fitted on."""

from relex.window.adapter_window import AdapterWindow
from relex.window.check import check_window
from relex.window.layout import Precision, read_window_manifest
from relex.window.low_rank import LowRank, joined
from relex.window.open import open_manifest, open_stored_window, open_window, source_to_pack
from relex.window.pack import pack
from relex.window.remove import (
    orphans,
    remove_orphans,
    remove_window,
    strangers,
    window_keys,
)
from relex.window.sources import Source, open_source
from relex.window.stored import StoredWindow
from relex.window.unpack import unpack
from relex.window.window import Window
from relex.window.writer import WindowWriter, open_writer
