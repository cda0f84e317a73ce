from __future__ import annotations

from dataclasses import dataclass

import pytest

from regions.drain import Progress, progress


@dataclass(frozen=True)
class Gateway:
    label: str
    streams: int
    version: int = 5
    silent_s: float = 0.3

    @property
    def heard(self) -> bool:
        return self.silent_s < 4


@pytest.mark.parametrize(
    ("gateways", "expected"),
    [
        (
            [Gateway("a:1", 2), Gateway("b:1", 0), Gateway("c:1", 1)],
            Progress(3, False, "3 streams left; a:1 2, c:1 1"),
        ),
        ([Gateway("a:1", 1)], Progress(1, False, "1 stream left; a:1 1")),
        # Nothing is left, but one may still let somebody in.
        ([Gateway("a:1", 0, version=4)], Progress(0, False, "0 streams left; not yet told: a:1")),
        ([Gateway("a:1", 0), Gateway("b:1", 0)], Progress(0, True, "0 streams left")),
        # One that cannot reach the database has its streams all the same, and may not have heard of it.
        (
            [Gateway("a:1", 2), Gateway("b:1", 7, silent_s=9.4)],
            Progress(9, False, "9 streams left; a:1 2; silent: b:1 for 9 s (it had 7)"),
        ),
        (
            [Gateway("a:1", 0, version=4, silent_s=9.4)],
            Progress(0, False, "0 streams left; silent: a:1 for 9 s (it had 0); no gateway of it reports"),
        ),
        ([Gateway("a:1", 0), Gateway("b:1", 0, silent_s=9.4)], Progress(0, True, "0 streams left")),
        # Nobody waits for the dead.
        ([Gateway("a:1", 0), Gateway("b:1", 7, silent_s=70.0)], Progress(0, True, "0 streams left")),
        ([], Progress(0, True, "0 streams left; no gateway of it reports")),
    ],
)
def test_how_far_it_is(gateways: list[Gateway], expected: Progress) -> None:
    assert progress(gateways, 5) == expected
