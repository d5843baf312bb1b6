"""Two and three processes compute what one computes: gradients, state, evaluation, and what they agree on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from launching import Place
from shared_work import OBJECTIVES, embedder, everything, pictures, tables
from torch.testing import assert_close

from fewshot import losses
from fewshot.distributed import ALONE, Processes
from fewshot.errors import InputError
from fewshot.mixup.metrix import Metrix
from fewshot.objectives.mixed import Mixed
from fewshot.objectives.mixed_episodic import MixedEpisodic
from fewshot.recipes.objective import require_shareable
from fewshot.sampling.episodes import EpisodeSampler
from fewshot.sampling.shuffled import ShuffledBatches

Found = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Found:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = dict(everything(ALONE, tmp_path_factory.mktemp("alone")))
    torch.set_num_threads(threads)
    return found


@pytest.fixture(scope="module", params=[2, 3])
def together(request: pytest.FixtureRequest, place: Place) -> list[Found]:
    """What each of some processes found."""
    count = request.param
    return [torch.load(place.folder / f"{count}.{rank}.pt", weights_only=True) for rank in range(count)]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_training_is_that_of_one_process(name: str, together: list[Found], alone: Found) -> None:
    one, first = alone[name], together[0][name]
    for step in range(3):
        key = f"own images {step}"
        assert torch.equal(torch.cat([found[name][key] for found in together]), one[key])
    assert one.keys() == first.keys()
    for key in one:
        if not key.startswith("own"):
            for found in together:
                assert torch.equal(found[name][key], first[key]), key
            assert_close(
                first[key], one[key], rtol=2e-4, atol=2e-5, msg=lambda text, key=key: f"{key}: {text}"
            )
    assert any(key.startswith("gradient embedder.backbone") for key in one)
    assert all(value.abs().sum() > 0 for key, value in one.items() if key.startswith("gradient embedder"))


def test_gathered_rows_have_the_gradient_of_all(together: list[Found], alone: Found) -> None:
    for found in together:
        assert torch.equal(found["gathered"]["rows"], alone["gathered"]["rows"])
    assert_close(
        torch.cat([found["gathered"]["gradient"] for found in together]),
        alone["gathered"]["gradient"],
        rtol=1e-12,
        atol=1e-14,
    )


def test_evaluation_is_that_of_one_process_to_the_bit(together: list[Found], alone: Found) -> None:
    for found in together:
        for key, value in alone["evaluated"].items():
            assert torch.equal(found["evaluated"][key], value), key


def test_a_resting_backbone_has_no_gradient(together: list[Found], alone: Found) -> None:
    assert not alone["rested"]["with gradient 0"].all() and alone["rested"]["with gradient 1"].all()
    for found in together:
        for key, value in alone["rested"].items():
            assert torch.equal(found["rested"][key], value), key


def test_all_skip_the_same_step_and_log_and_validate_alike(together: list[Found], alone: Found) -> None:
    first = together[0]["looped"]
    assert first["skipped"] == alone["looped"]["skipped"] == 1
    assert first["train/loss 3"].isnan() and first["train/gradient_norm 3"].isfinite()
    assert "validated backbone.stages.block1.norm.running_mean" in first
    assert first.keys() == alone["looped"].keys()
    for found in together:
        for key, value in first.items():
            assert torch.equal(found["looped"][key], value) or value.isnan(), key


def test_they_agree(together: list[Found]) -> None:
    said = [found["agreement"] for found in together]
    assert all(one["highest"] == 15 and one["told"] == "by 0" for one in said)


def test_what_cannot_be_shared() -> None:
    table = tables(pictures())
    episodes = EpisodeSampler(table, 3, 1, 2, 0, "train", episodes=2)
    batches = ShuffledBatches(table, 2, 0, "train")
    plain = OBJECTIVES["contrastive"]()
    by_pair = MixedEpisodic(embedder(), losses.PrototypicalCrossEntropy(), Metrix("embedding", draw="pair"))
    two, three = Processes(0, 2), Processes(0, 3)
    for objective, sampler, processes, message in (
        (
            plain,
            episodes,
            three,
            "sampler.episodes=2 cannot be shared by 3 processes: set sampler.episodes=3",
        ),
        (plain, batches, three, "a batch of 2 images cannot be shared by 3"),
        (
            Mixed(embedder(), losses.Contrastive(), Metrix("feature")),
            batches,
            two,
            "mixup.where=feature mixes",
        ),
        (by_pair, episodes, two, "mixup.draw=pair"),
    ):
        require_shareable(objective, sampler, ALONE)
        with pytest.raises(InputError, match=message):
            require_shareable(objective, sampler, processes)
    with pytest.raises(InputError, match="recipe=continual runs in one process, not in 2"):
        two.require_one("recipe=continual")
