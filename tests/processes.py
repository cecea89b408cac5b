"""What can be seen of processes, any of which may end while one looks."""

import psutil


def is_alive(process: psutil.Process) -> bool:
    """What is dead and was not yet waited for is not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command_line(process: psutil.Process) -> str:
    """Empty for one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def listening(process: psutil.Process) -> set[tuple[str, int]]:
    """The addresses and ports on which it listens; none for one that has ended."""
    try:
        found = process.net_connections("inet")
    except psutil.Error:
        return set()
    return {(c.laddr.ip, c.laddr.port) for c in found if c.status == psutil.CONN_LISTEN}


def kill(process: psutil.Process) -> None:
    """Kill it, if it lives, and all that it has started."""
    try:
        tree = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for each in tree:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue
