"""The terminal: words are shown as they are, wherever they come from."""

from rich.console import Console


def open_terminal(*, stderr: bool = False) -> Console:
    """A console for which brackets and colons, as in `[/INST]` or `:key:`, are no mark-up, in lines
    and in the cells of tables alike."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
