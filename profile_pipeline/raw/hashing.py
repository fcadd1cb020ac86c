"""Addresses and telephone numbers of people as sha256: written in one way first, so that a load and who asks later find the same.

Not here: which columns are hashed (`readers.read`), or whose hash it is (`cleaned.identities`).
"""

import hashlib


def is_sha256(text: str) -> bool:
    """Say whether a text is a sha256 in hexadecimal digits."""
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)


def hashed(value: str, *, is_email: bool) -> str:
    """Return the sha256 of a normalised e-mail address or phone number; what is a hash already stays."""
    folded = value.strip().casefold()
    if is_sha256(folded):
        return folded
    normal = folded if is_email else "".join(c for c in folded if c.isdigit())
    return hashlib.sha256(normal.encode()).hexdigest()
