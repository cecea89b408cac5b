"""Reads every weight file of a folder once, in order, and does nothing with it.

python tests/bench/plain_read.py FOLDER
"""

import sys
from pathlib import Path

CHUNK_BYTES = 8 << 20


def main() -> None:
    buffer = bytearray(CHUNK_BYTES)
    for path in sorted(Path(sys.argv[1]).rglob("*.safetensors")):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


if __name__ == "__main__":
    main()
