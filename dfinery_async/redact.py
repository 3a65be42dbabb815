"""Keeping personal data out of texts that people and logs see."""

from __future__ import annotations

import re

__all__ = ["looks_personal", "safe_text"]

_EMAIL = re.compile(r"[^\s@\"'<>]+@[^\s@\"'<>]+")
_PHONE = re.compile(r"\+?\d[\d\-(). ]{6,}\d")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]+")
_LONGEST = 200


def safe_text(text: str) -> str:
    """Shorten a foreign text, such as a server's message, and strip what could carry personal data or move a cursor."""
    text = _CONTROL.sub(" ", text[: 4 * _LONGEST])
    text = _PHONE.sub("<number>", _EMAIL.sub("<e-mail>", text)).strip()
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def looks_personal(text: str) -> bool:
    """Whether a text looks like an e-mail address or a phone number."""
    return _EMAIL.search(text) is not None or _PHONE.search(text) is not None
