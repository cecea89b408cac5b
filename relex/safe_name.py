"""Names that come from data, made fit for files, keys on S3 and MLflow alike.

A group of questions may be called `https://example.org/p`, `..`, `难` or nothing that a file can be
called. What is plain stays as it is; what is not keeps what can be read of it and gets a digest of
the whole. Two names never become one: a plain name that ends as with a digest gets one of its own.
"""

import re

from relex.digests import sha256_bytes

DIGEST_CHARACTERS = 10
LONGEST_PART, LONGEST_NAME = 80, 200
"""MLflow takes 250 characters of a metric, most disks 255 bytes of a file's name."""

PLAIN = re.compile(rf"(?=\S.{{0,{LONGEST_PART - 1}}}\Z)[A-Za-z0-9_. -]*[A-Za-z0-9_-]")
ENDS_AS_DIGEST = re.compile(rf"-[0-9a-f]{{{DIGEST_CHARACTERS}}}\Z")
REST = re.compile(r"[^A-Za-z0-9_]+")


def safe_name(text: str) -> str:
    """The name of a file, of one part of a key, and of whatever MLflow has names for.

    At most 80 letters, digits, spaces and `_ . -`, with a letter, digit, `_` or `-` at the end and
    no space or dot in front.
    """
    return text if _is_plain(text) else _with_digest(text)


def safe_path(text: str) -> str:
    """As `safe_name`, for names of parts with `/` between them, such as `accuracy/validation`."""
    is_plain = len(text) <= LONGEST_NAME and all(map(_is_plain, text.split("/")))
    return text if is_plain else _with_digest(text)


def _is_plain(text: str) -> bool:
    return bool(
        PLAIN.fullmatch(text) and not text.startswith(".") and not ENDS_AS_DIGEST.search(text)
    )


def _with_digest(text: str) -> str:
    digest = sha256_bytes(text.encode("utf-8", "surrogatepass"))[:DIGEST_CHARACTERS]
    readable = REST.sub("_", text)[: LONGEST_PART - DIGEST_CHARACTERS - 1].strip("_")
    return f"{readable or 'name'}-{digest}"
