from __future__ import annotations

from inference_worker.places import place


def test_an_error_is_shown_by_kind_and_place_never_by_its_sentence() -> None:
    try:
        "Ünsagbar".encode("ascii")
    except UnicodeEncodeError as error:
        shown = place(error)
    assert shown.startswith("UnicodeEncodeError < test_an_error")
    assert "nsagbar" not in shown
