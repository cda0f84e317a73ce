"""What a disturbed stream has lost or said twice, and what it was billed, beside an undisturbed one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher


@dataclass(frozen=True)
class Words:
    lost: int
    doubled: int  # said beside what should have been
    changed: int  # another word in the place of one


def words(wanted: Sequence[str], heard: Sequence[str]) -> Words:
    """By the words alone: neither case nor punctuation counts."""
    lost = doubled = changed = 0
    matcher = SequenceMatcher(None, _bare(wanted), _bare(heard), autojunk=False)
    for what, first, after, other_first, other_after in matcher.get_opcodes():
        ours, theirs = after - first, other_after - other_first
        if what != "equal":
            changed += min(ours, theirs)
            lost += max(0, ours - theirs)
            doubled += max(0, theirs - ours)
    return Words(lost, doubled, changed)


def double_billed_ms(ranges: Iterable[tuple[int, int]], charged_ms: int, sent_ms: int) -> int:
    """Milliseconds that the usage record has twice, or that are charged beyond what was sent. `ranges` are
    those of the usage record, `charged_ms` is what the ledger has of the stream."""
    twice = reached = total = 0
    for start, end in sorted(ranges):
        twice += max(0, min(reached, end) - start)
        reached = max(reached, end)
        total += end - start
    return max(twice, charged_ms - sent_ms, total - sent_ms, 0)


def _bare(texts: Sequence[str]) -> list[str]:
    bare = ("".join(letter for letter in text.lower() if letter.isalnum()) for text in texts)
    return [text for text in bare if text]
