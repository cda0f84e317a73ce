from __future__ import annotations

from inference_worker.engines.credit import Credit


def test_it_is_earned_with_time_up_to_a_limit() -> None:
    credit = Credit(share=0.5, now=0.0)
    assert not credit.left
    credit.earn(0.2)
    assert credit.seconds == 0.1
    credit.earn(100.0)
    assert credit.seconds == credit.most


def test_what_is_overspent_must_be_earned_back_but_not_for_ever() -> None:
    credit = Credit(share=1.0, now=0.0)
    credit.spend(100.0)
    assert credit.seconds == -credit.debt
    credit.earn(credit.debt + 0.1)
    assert credit.left
