"""adapt=: what is trained of a backbone, what a run keeps of it, what results say of foreign weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from programs import only_run, program
from programs import same as same_bits
from safetensors.torch import save_file

from fewshot.data.sources.cub import CUB
from fewshot.data.sources.omniglot import Omniglot
from fewshot.models.adaptation import FineTuned, Frozen, LoRA, merged_state
from fewshot.models.embedder import Embedder
from fewshot.models.heads import LinearHead, NoHead
from fewshot.models.timm import TimmBackbone
from fewshot.recipes.leakage import identity, leak_label
from fewshot.recipes.model import load_model
from fewshot.training import checkpoint
from fewshot.training.parameter_groups import parameter_groups

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder data set of 12 classes, and a file of weights of timm's test_resnet."""
    folder = tmp_path_factory.mktemp("adapt")
    draw = np.random.default_rng(0)
    for number in range(12):
        part = ("train", "train", "val", "test")[number % 4]
        to = folder / "images" / part / f"class{number}"
        to.mkdir(parents=True)
        for image in range(6):
            pixels = draw.integers(0, 120, (32, 32, 3)) + 10 * number
            Image.fromarray(pixels.astype(np.uint8)).save(to / f"{image}.png")
    torch.manual_seed(0)
    # Where the last norm of each block is zero, as timm begins, no gradient reaches what lies before it.
    save_file(
        timm.create_model("test_resnet", zero_init_last=False).state_dict(), folder / "weights.safetensors"
    )
    return folder


def trained(place: Path, output: Path, *words: str) -> Path:
    given = [
        *("data=folder", f"data.path={place / 'images'}", "data.size=32", "ways=3", "shots=2", "queries=2"),
        *("backbone=timm", "backbone.name=test_resnet", f"backbone.weights={place / 'weights.safetensors'}"),
        *("steps=4", "validation.every=0", "precision=float32", "threads=1", f"output_dir={output}"),
        *("optimizer.lr=0.01", "seed=1", *words),
    ]
    program("train.py", *given, cwd=place)
    return only_run(output)


def backbone_of(run: Path) -> dict[str, Any]:
    return load_model(run / "best.pt", CPU).embedder.backbone.state_dict()


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture(scope="module")
def foreign(place: Path) -> dict[str, Any]:
    """The backbone before any training."""
    return TimmBackbone("test_resnet", weights=str(place / "weights.safetensors")).state_dict()


def test_frozen_trains_the_head_alone_and_caches(
    place: Path, tmp_path: Path, foreign: dict[str, Any]
) -> None:
    runs = {
        cache: trained(
            place, tmp_path / cache, "adapt=frozen", f"adapt.cache={cache}", "head=linear", "head.dim=8"
        )
        for cache in ("true", "false")
    }
    for run in runs.values():
        assert same(backbone_of(run), foreign)  # BatchNorm's statistics included
        assert len(checkpoint.load(run / "last.pt")["optimizer"]["state"]) == 2
    heads = [load_model(run / "best.pt", CPU).embedder.head.state_dict() for run in runs.values()]
    for key in heads[0]:
        torch.testing.assert_close(heads[0][key], heads[1][key], rtol=1e-4, atol=1e-6)
    fresh = trained(place, tmp_path / "one", "adapt=frozen", "head=linear", "head.dim=8", "steps=1")
    assert not same(heads[0], load_model(fresh / "best.pt", CPU).embedder.head.state_dict())


def test_lora_trains_adapters_and_saves_the_sum(place: Path, tmp_path: Path, foreign: dict[str, Any]) -> None:
    pytest.importorskip("peft")
    run = trained(place, tmp_path / "runs", "adapt=lora", "adapt.rank=2", "head=linear", "head.dim=8")
    last = checkpoint.load(run / "last.pt")  # weights_only
    adapters = [key for key in last["objective"] if ".lora_" in key]
    assert adapters and len(last["optimizer"]["state"]) == len(adapters) + 2
    kept = {key: value for key, value in last["objective"].items() if ".base_layer." in key}
    for key, value in kept.items():
        plain = key.removeprefix("embedder.backbone.").replace(".base_layer.", ".")
        assert torch.equal(value, foreign[plain]), key
    found = backbone_of(run)
    assert found.keys() == foreign.keys()
    moved = [key for key in found if not torch.equal(found[key], foreign[key])]
    assert moved and all(key.endswith(".weight") for key in moved) and not any("bn" in key for key in moved)
    assert len(moved) == len(kept)
    done = program(
        "eval.py", f"run={run}", "ways=3", "shots=2", "queries=2", "episodes=20", "threads=1", cwd=place
    )
    assert "foreign weights (unknown images (timm: test_resnet, file weights.safetensors))" in done.stdout


def test_finetune_has_a_lower_rate_for_the_backbone(
    place: Path, tmp_path: Path, foreign: dict[str, Any]
) -> None:
    run = trained(place, tmp_path / "runs", "adapt=finetune", "adapt.lr_scale=0.01", "scheduler=none")
    rates = [group["lr"] for group in checkpoint.load(run / "last.pt")["optimizer"]["param_groups"]]
    assert rates == [0.01, pytest.approx(1e-4)] and not same(backbone_of(run), foreign)


@pytest.mark.parametrize("adapt", ["frozen", "finetune", "lora"])
def test_a_run_that_was_killed_after_its_second_step_ends_with_the_same_bits(
    place: Path, tmp_path: Path, adapt: str
) -> None:
    if adapt == "lora":
        pytest.importorskip("peft")
    saving = ["training.save_every=2", "augment=shift"]
    run = trained(place, tmp_path, f"adapt={adapt}", "head=linear", "head.dim=8", *saving)
    ends = {name: torch.load(run / name) for name in ("last.pt", "best.pt")}
    # What SIGKILL leaves: the state of step 2, no model, and a record that says it runs.
    (run / "last.pt.previous").rename(run / "last.pt")
    (run / "best.pt").unlink()
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "status": "running"}))
    assert torch.load(run / "last.pt")["outcome"]["steps"] == 2
    program("train.py", f"resume={run}", cwd=place)
    for name, end in ends.items():
        assert same_bits(torch.load(run / name), end), name


def test_mistakes(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [
        "data=folder",
        f"data.path={place / 'images'}",
        "data.size=32",
        "ways=3",
        f"output_dir={tmp_path}",
    ]
    small = [*words, "backbone.width=4", "shots=2", "queries=2", "validation.every=0", "threads=1"]
    for given, said in (
        (("adapt=frozen",), "leaves nothing to train"),
        (("adapt=finetune", "adapt.lr_scale=0"), "must be above 0"),
        (("adapt=lora", "adapt.rank=0"), "must be at least 1"),
        (("adapt=lora", "adapt.targets=[qkv]"), "no linear layer or convolution called qkv"),
        (("adapt=lora", "recipe=continual"), "recipe=continual makes no use of it"),
    ):
        if given[0] == "adapt=lora":
            pytest.importorskip("peft")
        done = program("train.py", *small, *given, cwd=place, check=False)
        assert done.returncode == 2 and said in done.stderr.splitlines()[-1], given
    monkeypatch.setitem(sys.modules, "peft", None)
    done = program("train.py", *small, "adapt=lora", cwd=place, check=False)
    assert done.returncode == 2 and "pip install 'fewshot[lora]'" in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_adapters_of_a_vit_merge_to_the_same_embedding() -> None:
    pytest.importorskip("peft")
    torch.manual_seed(0)
    built = [
        Embedder(TimmBackbone("test_vit", resize=32), NoHead, mean=[0.5] * 3, std=[0.2] * 3, size=32)
        for _ in range(2)
    ]
    network, plain = (embedder.eval() for embedder in built)
    images = torch.rand(2, 3, 32, 32)
    before = network.embed(images)
    LoRA(rank=2, targets=("qkv",)).apply(network)
    torch.testing.assert_close(network.embed(images), before)
    for name, parameter in network.named_parameters():
        assert parameter.requires_grad == (".lora_" in name)
        if ".lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    wanted = network.embed(images)
    assert (wanted - before).abs().max() > 0.01
    plain.load_state_dict(merged_state(network))
    torch.testing.assert_close(plain.embed(images), wanted, rtol=1e-4, atol=1e-5)


def test_a_frozen_backbone_stays_in_evaluation_mode() -> None:
    embedder = Embedder(
        TimmBackbone("test_resnet"), lambda dim: LinearHead(dim, 4), mean=[0.5] * 3, std=[0.2] * 3, size=32
    )
    Frozen().apply(embedder)
    embedder.train()
    assert embedder.training and not any(module.training for module in embedder.backbone.modules())
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(embedder(embedder.features(images)), embedder(images))
    FineTuned(0.5).apply(embedder)
    assert len(parameter_groups(embedder, 1.0)) == 1


# name, its side here, mean, what is said of CUB (some of its images are in ImageNet) and Omniglot (none)
FAMILIES = [
    (
        "vit_small_patch14_dinov2.lvd142m",
        28,
        (0.485, 0.456, 0.406),
        "LVD-142M, which contains ImageNet",
        True,
    ),
    (
        "vit_xsmall_patch16_clip_224.tinyclip_yfcc15m",
        32,
        (0.48145466, 0.4578275, 0.40821073),
        "YFCC-15M",
        False,
    ),
    ("vit_base_patch32_clip_224.openai", 32, (0.48145466, 0.4578275, 0.40821073), "WebImageText", False),
    ("vit_base_patch32_clip_224.laion2b_ft_in1k", 32, (0.48145466, 0.4578275, 0.40821073), "LAION-2B", True),
    ("vit_base_patch16_siglip_224.webli", 32, (0.5, 0.5, 0.5), "WebLI", False),
]


@pytest.mark.parametrize(("name", "side", "mean", "data", "imagenet"), FAMILIES, ids=[f[0] for f in FAMILIES])
def test_dinov2_clip_and_siglip(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    side: int,
    mean: Any,
    data: str,
    imagenet: bool,
) -> None:
    """One block of each, in timm's own layout of the weights: the whole would take minutes."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *args, **given: create(*args, **given, depth=1))
    torch.manual_seed(0)
    file = tmp_path / "weights.safetensors"
    saved = timm.create_model(name, img_size=side, num_classes=0)
    save_file(saved.state_dict(), file)
    backbone = TimmBackbone(name, weights=str(file), resize=side)
    assert backbone.normalisation is not None and backbone.normalisation[0] == mean
    assert backbone.preprocessing is not None and backbone.preprocessing.size == side
    assert backbone.preprocessing.bicubic and backbone.preprocessing.fit == "cover"
    embedder = Embedder(backbone, NoHead, mean=(0, 0, 0), std=(1, 1, 1), size=side).eval()
    images = torch.rand(2, 3, side, side)
    std = torch.tensor(backbone.normalisation[1]).view(1, 3, 1, 1)
    wanted = saved.eval()((images - torch.tensor(mean).view(1, 3, 1, 1)) / std)
    torch.testing.assert_close(embedder.embed(images), wanted, rtol=1e-4, atol=1e-5)
    assert data in backbone.weights_origin
    seen = {**identity(Omniglot()), "before": backbone.weights_origin}
    told = leak_label(seen, CUB(), "test")
    assert ("LEAK, ImageNet has bird classes" in told) == imagenet
    assert imagenet or "what they have seen of it is not known" in told
