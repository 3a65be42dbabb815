"""Keeping personal data out of texts that people and logs see."""

from __future__ import annotations

import re

__all__ = ["looks_personal", "safe_text"]

_AT = re.compile(r"@|\uff20|%40")
_PHONE = re.compile(r"\+?\d[\d\-(). ]{6,}\d")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff]+")
_LONGEST = 200


def safe_text(text: str) -> str:
    """Shorten a foreign text, such as a server's message, and strip what could carry personal data or move a cursor."""
    words = ["<e-mail>" if _AT.search(word) else word for word in _CONTROL.sub(" ", text[: 4 * _LONGEST]).split()]
    if len(text) > 4 * _LONGEST and len(words) > 1:
        words.pop()  # half a word may be half an address
    text = _PHONE.sub("<number>", " ".join(words))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def looks_personal(text: str) -> bool:
    """Whether a text looks like an e-mail address or a phone number, or is too long to tell."""
    return len(text) > _LONGEST or _AT.search(text) is not None or _PHONE.search(text) is not None
