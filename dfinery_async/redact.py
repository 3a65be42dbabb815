"""Keeping personal data and secrets out of texts that people and logs see."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

__all__ = ["looks_personal", "safe_name", "safe_text"]

_AT = re.compile(r"[@\uff20\ufe6b]|%40")
_DASHES = "\\-\u2010-\u2015\u2212\ufe58\ufe63\uff0d"
_PHONE = re.compile(rf"\+?\d[\d{_DASHES}(). /_,]{{6,}}\d")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]+")
_LONGEST = 200
_SHORT = 8  # characters of a token, such as a test's, that may be a part of other words


def safe_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Shorten a foreign text, such as a server's message, and strip what could carry personal data or move a cursor.

    Args:
        text: any text.
        secrets: what must not be shown either, such as tokens; a server may repeat them.
    """
    for secret in secrets:
        found = f"{re.escape(secret)}|{re.escape(quote(secret, ''))}"
        if len(secret) < _SHORT:
            found = rf"(?<!\w)(?:{found})(?!\w)"
        text = re.sub(found, "<token>", text, flags=re.IGNORECASE)
    words = ["<e-mail>" if _AT.search(word) else word for word in _CONTROL.sub(" ", text[: 4 * _LONGEST]).split()]
    if len(text) > 4 * _LONGEST and len(words) > 1:
        words.pop()  # half a word may be half an address
    text = _PHONE.sub("<number>", " ".join(words))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def safe_name(name: str) -> str:
    """Return a name as it is, or made safe where it looks like personal data."""
    return safe_text(name) if looks_personal(name) else name


def looks_personal(text: str) -> bool:
    """Whether a text looks like an e-mail address or a phone number, or is too long to tell."""
    return len(text) > _LONGEST or _AT.search(text) is not None or _PHONE.search(text) is not None
