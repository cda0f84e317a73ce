import pytest

from inference_worker.engines.nemo import buckets


@pytest.mark.parametrize("most", [1, 2, 3, 7, 64, 100, 512])
def test_any_number_of_rows_finds_room(most: int) -> None:
    for few in (True, False):
        sizes = buckets.sizes(most, few=few, one=False)
        assert sizes[-1] == most
        for rows in range(1, most + 1):
            assert rows <= buckets.fit(sizes, rows) <= max(2 * rows, 1)


def test_few_sizes_waste_little() -> None:
    assert buckets.sizes(512, few=True, one=False) == (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512)
    assert buckets.to_warm_up(buckets.sizes(512, few=True, one=False)) == {
        1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512
    }  # fmt: skip


def test_every_size_is_too_many_to_warm_up() -> None:
    assert buckets.to_warm_up(buckets.sizes(100, few=False, one=False)) == {1, 100}


def test_one_size_is_one_size() -> None:
    sizes = buckets.sizes(64, few=True, one=True)
    assert {buckets.fit(sizes, rows) for rows in (1, 7, 64)} == {64}
