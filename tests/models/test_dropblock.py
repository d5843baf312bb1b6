"""DropBlock: what falls, how much, and when."""

from __future__ import annotations

import pytest
import torch

from fewshot.models.dropblock import DropBlock, drop_blocks


def test_zeroes_are_whole_blocks_and_the_rest_is_scaled_alike() -> None:
    torch.manual_seed(0)
    dropped = drop_blocks(torch.ones(8, 4, 12, 12), 0.1, block_size=3)
    fallen = (dropped == 0).float()
    assert 0 < fallen.mean() < 1
    # Every fallen position lies in some 3 x 3 block that fell as a whole.
    whole = -torch.nn.functional.max_pool2d(-fallen, 3, stride=1)
    covered = torch.nn.functional.max_pool2d(torch.nn.functional.pad(whole, (2, 2, 2, 2)), 3, stride=1)
    assert torch.equal(covered, fallen)
    left = dropped[dropped != 0]
    torch.testing.assert_close(left, left[:1].expand_as(left))
    torch.testing.assert_close(dropped.mean(), torch.tensor(1.0))


def test_the_share_that_falls_is_about_the_rate() -> None:
    torch.manual_seed(0)
    fallen = (drop_blocks(torch.ones(64, 64, 21, 21), 0.05, block_size=5) == 0).float().mean()
    # Blocks overlap, so a little less than the rate.
    assert 0.042 < fallen < 0.05


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_block_larger_than_the_map_drops_whole_channels(size: int) -> None:
    torch.manual_seed(0)
    dropped = drop_blocks(torch.ones(200, 50, size, size), 0.3, block_size=5)
    fallen = (dropped == 0).float()
    assert torch.equal(fallen.amax((2, 3)), fallen.amin((2, 3)))
    assert fallen.mean().item() == pytest.approx(0.3, abs=0.02)


def test_everything_falling_is_finite() -> None:
    assert torch.equal(drop_blocks(torch.ones(2, 3, 5, 5), 1.0, block_size=5), torch.zeros(2, 3, 5, 5))


def test_the_rate_rises_with_the_forwards_of_training_alone() -> None:
    torch.manual_seed(0)
    block = DropBlock(0.5, block_size=1, warmup=4)
    ones = torch.ones(100, 10, 10, 10)
    shares = []
    for _ in range(6):
        shares.append((block(ones) == 0).float().mean().item())
        block.eval()
        assert torch.equal(block(ones), ones)
        block.train()
    assert shares == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5], abs=0.01)
    assert block.state_dict()["count"] == 6


def test_the_seed_of_torch_decides() -> None:
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(drop_blocks(torch.ones(4, 4, 8, 8), 0.2, block_size=3))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
