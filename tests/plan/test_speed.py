import pytest

from gan_blocks.plan import Plan, measure_seconds_per_step


@pytest.mark.slow
@pytest.mark.every_backend
@pytest.mark.parametrize("num_classes", [None, 2])
def test_the_time_of_a_step_is_measured(num_classes):
    plan = Plan((8, 8, 1), num_classes, base_filters=4, batch_size=4)
    assert 0 < measure_seconds_per_step(plan) < 2
