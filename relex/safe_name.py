"""Names that come from data, made fit for files, keys on S3 and MLflow alike.

A group of questions may be called `https://example.org/p`, `..` or 300 letters long. What is plain,
in any script, stays as it is; what is not keeps what can be read of it and gets a digest of the
whole. Two names never become one: a plain name that ends as with a digest gets one of its own.
"""

import re
import unicodedata

from relex.digests import sha256_bytes

DIGEST_CHARACTERS = 10
LONGEST_PART, LONGEST_PATH = 80, 200
"""MLflow takes 250 characters of a metric."""

LONGEST_BYTES = 240
"""Most disks take 255 of a file's name."""

PLAIN = re.compile(r"\w(?:[\w. -]*[\w-])?")
ENDS_AS_DIGEST = re.compile(rf"-[0-9a-f]{{{DIGEST_CHARACTERS}}}\Z")


def safe_name(text: str) -> str:
    """The name of a file, of one part of a key, and of whatever MLflow has names for.

    At most 80 letters, digits, spaces and `_ . -`, with a letter, digit or `_` in front, and no
    space or dot at the end.
    """
    return text if _is_plain(text) else _with_digest(text)


def safe_path(text: str) -> str:
    """As `safe_name`, for names of parts with `/` between them, such as `accuracy/validation`."""
    is_plain = len(text) <= LONGEST_PATH and all(map(_is_plain, text.split("/")))
    return text if is_plain else _with_digest(text)


def _is_plain(text: str) -> bool:
    """Also for a disk that composes letters from their parts, so that two would fall together."""
    return bool(
        PLAIN.fullmatch(text)
        and not ENDS_AS_DIGEST.search(text)
        and unicodedata.is_normalized("NFC", text)
        and len(text) <= LONGEST_PART
        and len(text.encode()) <= LONGEST_BYTES
    )


def _with_digest(text: str) -> str:
    """The readable part is for people; the digest alone tells names apart."""
    digest = sha256_bytes(text.encode("utf-8", "surrogatepass"))[:DIGEST_CHARACTERS]
    readable = re.sub(r"\W+", "_", unicodedata.normalize("NFC", text)).strip("_")
    room = LONGEST_PART - DIGEST_CHARACTERS - 1
    short = readable.encode()[: LONGEST_BYTES - LONGEST_PART].decode(errors="ignore")[:room]
    return f"{short or 'name'}-{digest}"
