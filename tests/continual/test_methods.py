"""The methods beside PRD: each against its equations, and what all of them must hold."""

from __future__ import annotations

import inspect
import io
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from tiny_streams import (
    CLASSES,
    TASKS,
    accuracy,
    batch,
    embedder,
    learn,
    only,
    optimizer,
    passes,
    pictures,
    train_step,
)
from torch import Tensor

from fewshot.config import check_targets, instantiate
from fewshot.continual.method import Method
from fewshot.continual.methods.der import DERPlusPlus
from fewshot.continual.methods.er import ER
from fewshot.continual.methods.ewc import OnlineEWC
from fewshot.continual.methods.finetune import Finetune
from fewshot.continual.methods.icarl import ICaRL
from fewshot.continual.methods.joint import Joint
from fewshot.continual.methods.lwf import LwF
from fewshot.continual.methods.nearest_mean import NearestMean
from fewshot.continual.methods.supcon import SupConFinetune
from fewshot.data.augmentation import Augmentation, RandomFlip
from fewshot.errors import InputError
from fewshot.losses import SupCon
from fewshot.recipes.continual_result import kept_bytes
from fewshot.targets import resolve_target
from fewshot.training.guard import StepGuard

FOLDER = Path(__file__).resolve().parents[2] / "conf" / "continual"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "none")
every = pytest.mark.parametrize("name", NAMES)
AUGMENT = Augmentation(flip=RandomFlip(0.5))
SMALL_BUFFER = {"er": 20, "der": 20, "icarl": 20}


def build(name: str, seed: int = 0, projector: bool | None = None) -> Method:
    """As a recipe builds it from conf/continual."""
    node = OmegaConf.merge({"seed": seed}, {"continual": OmegaConf.load(FOLDER / f"{name}.yaml")})
    if name in SMALL_BUFFER:
        node.continual.buffer_size = SMALL_BUFFER[name]
    check_targets(node)
    if name == "prd":
        node.continual.prototypes_lr_scale = 10.0  # so few steps are not enough at the rate of the encoder
    metric = name in ("prd", "supcon") if projector is None else projector
    offered = {"classes": CLASSES, "loss": SupCon(), "augment": AUGMENT, "embedder": embedder(metric)}
    made: Method = instantiate(node.continual, offered=offered)
    return made


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ----------------------------------------------------------------------------- what all must hold


@every
def test_configs_name_every_option_at_its_default_and_the_paper(name: str) -> None:
    node = OmegaConf.load(FOLDER / f"{name}.yaml")
    parameters = inspect.signature(resolve_target(node._target_, "")).parameters
    given = {"embedder", "classes", "loss", "augment"}
    assert set(node) - {"_target_"} == set(parameters) - given
    for key in set(node) - {"_target_", "seed", "relation"}:
        assert node[key] == parameters[key].default, key
    first = (FOLDER / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ") and ("arXiv" in first or "Nature" in first)


@every
@pytest.mark.parametrize("projector", [False, True])
def test_it_learns_the_task_at_hand_and_predicts_at_any_time(name: str, projector: bool) -> None:
    made = build(name, projector=projector)
    images, _ = pictures(list(range(CLASSES)), 2)
    before = made.scores(images)  # before any task: a defined result
    assert before.shape == (12, CLASSES) and not before.isnan().any()
    learn(made, steps=100 if name == "prd" else 14, tasks=TASKS[:2])
    scores = made.scores(images)
    assert made.training and scores.shape == (12, CLASSES) and not scores.isnan().any()
    assert scores[:, made.seen].isfinite().all()
    assert accuracy(made, TASKS[1], only(TASKS[1])) >= 0.9
    assert made.candidates().nonzero().flatten().tolist() == [0, 1, 2, 3]
    made.begin_task(torch.tensor(TASKS[2]))
    loss, logs = made(batch(TASKS[2], made.views), draw())
    assert loss.ndim == 0 and loss.isfinite() and all(not value.requires_grad for value in logs.values())
    assert not made.scores(images).isnan().any()


@every
def test_it_goes_on_from_its_state_within_and_between_tasks(name: str) -> None:
    """A fresh one of another seed loads the state; from there on both are the same to the last bit."""
    made = build(name, seed=1)
    learn(made, steps=4, tasks=TASKS[:2])
    made.begin_task(torch.tensor(TASKS[2]))
    train_step(made, optimizer(made), TASKS[2], 50)
    images, _ = pictures(list(range(CLASSES)), 2)
    other = build(name, seed=1)
    for p in other.parameters():
        p.data = p.data + 1 if p.is_floating_point() else p.data
    shapes = {k: v.shape for k, v in other.state_dict().items() if isinstance(v, Tensor)}
    assert shapes == {k: v.shape for k, v in made.state_dict().items() if isinstance(v, Tensor)}
    other.load_state_dict(made.state_dict())
    assert torch.equal(made.scores(images), other.scores(images))
    for one in (made, other):
        steps = optimizer(one)
        for step in range(3):
            train_step(one, steps, TASKS[2], step)
        one.end_task(passes(TASKS[2]))
    for key, value in made.state_dict().items():
        found = other.state_dict()[key]
        assert torch.equal(value, found) if isinstance(value, Tensor) else value == found, key
    assert torch.equal(made.scores(images), other.scores(images))


@every
def test_what_is_kept_does_not_grow_with_the_tasks(name: str) -> None:
    """Rows for all classes, snapshots and the stated memory are there from the start; nothing is added."""
    made = build(name)

    def saved_bytes() -> int:
        file = io.BytesIO()
        torch.save(made.state_dict(), file)
        return len(file.getvalue())

    before, file_before = kept_bytes(made), saved_bytes()
    learn(made, steps=2)
    assert kept_bytes(made) == before
    # Numbers such as that of the task take a byte or two more when they are larger.
    assert abs(saved_bytes() - file_before) <= 64


def test_what_is_kept_is_what_the_methods_say() -> None:
    encoder = 4 * sum(p.numel() for p in embedder(True).parameters())
    statistics = sum(b.numel() * b.element_size() for b in embedder(True).buffers())
    dim, marks = embedder(True).embed_dim, CLASSES * (3 + 8)
    assert kept_bytes(build("prd")) == encoder + statistics + 2 * 4 * CLASSES * dim + marks
    image = embedder().size ** 2
    heads = 4 * CLASSES * (embedder().embed_dim + 1)
    assert kept_bytes(build("er")) == heads + SMALL_BUFFER["er"] * (image + 8) + marks


@every
def test_the_guard_puts_back_a_step_that_was_not_finite(name: str) -> None:
    """Its copies are of buffers only: what a method keeps between steps is none."""
    made = build(name)
    learn(made, steps=2, tasks=TASKS[:1])
    made.begin_task(torch.tensor(TASKS[1]))
    guard = StepGuard(made, 3, torch.device("cpu"))
    largest = max(b.numel() for b in made.buffers())
    assert largest <= 64
    kept = {k: v.clone() for k, v in made.state_dict().items() if isinstance(v, Tensor)}
    steps = optimizer(made)
    guard.remember()
    loss, _ = made(batch(TASKS[1], made.views), draw())
    (loss * torch.nan).backward()
    guard.step(steps, loss * torch.nan, None)
    assert all(torch.equal(made.state_dict()[k], v) for k, v in kept.items())
    assert guard.check(1) == 1


@every
def test_bfloat16_autocast_is_finite(name: str) -> None:
    made = build(name)
    made.train()
    steps = optimizer(made)
    for classes in TASKS[:2]:
        with torch.autocast("cpu", torch.bfloat16):
            made.begin_task(torch.tensor(classes))
        for step in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                loss, _ = made(batch(classes, made.views), draw(step))
            steps.zero_grad(set_to_none=True)
            loss.backward()
            steps.step()
        with torch.autocast("cpu", torch.bfloat16):
            made.end_task(passes(classes))
            scores = made.scores(pictures(classes, 2)[0])
    assert loss.dtype == torch.float32 and loss.isfinite()
    assert scores.dtype == torch.float32 and scores[:, made.seen].isfinite().all()


def test_tasks_mark_their_classes() -> None:
    made = Finetune(embedder(), CLASSES)
    assert made.task == -1 and not made.seen.any()
    made.begin_task(torch.tensor([4, 1]))
    made.begin_task(torch.tensor([0, 1]))  # class 1 returns, as the classes of another domain do
    assert made.task == 1
    assert made.seen.tolist() == [True, True, False, False, True, False]
    assert made.old.tolist() == [False, True, False, False, True, False]
    assert made.current.tolist() == [True, True, False, False, False, False]
    assert made.task_of.tolist() == [1, 0, -1, -1, 0, -1]
    for wrong in ([], [6], [-1], [2, 2]):
        with pytest.raises(ValueError, match="a task needs distinct classes"):
            made.begin_task(torch.tensor(wrong, dtype=torch.int64))


# ----------------------------------------------------------------------------- classifiers


def softmax_loss(logits: list[float], label: int, classes: list[int]) -> float:
    return math.log(sum(math.exp(logits[c]) for c in classes)) - logits[label]


@pytest.mark.parametrize("over", ["current", "seen", "all"])
def test_cross_entropy_is_over_the_classes_it_says(over: str) -> None:
    made = Finetune(embedder(), CLASSES, softmax_over=over)  # type: ignore[arg-type]
    made.begin_task(torch.tensor([0, 1]))
    made.begin_task(torch.tensor([2, 3]))
    given = batch([2, 3])
    loss, _ = made(given, draw())
    logits = made.logits(given.images).double().tolist()
    classes = {"current": [2, 3], "seen": [0, 1, 2, 3], "all": list(range(6))}[over]
    each = [softmax_loss(row, y, classes) for row, y in zip(logits, given.labels.tolist(), strict=True)]
    assert loss.item() == pytest.approx(sum(each) / len(each), rel=1e-5)
    loss.backward()
    weight = made.classifier.weight.grad
    assert weight is not None
    assert (weight.abs().amax(1) > 0).nonzero().flatten().tolist() == classes


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("prd", "alpha", -1.0),
        ("prd", "loss_scale", math.nan),
        ("prd", "prototypes_lr_scale", 0.0),
        ("prd", "prototypes_momentum", -1.0),
        ("prd", "prototypes_weight_decay", -1.0),
        ("lwf", "strength", -1.0),
        ("lwf", "temperature", 0.0),
        ("ewc", "strength", -1.0),
        ("ewc", "decay", 2.0),
        ("ewc", "fisher_batch", 0),
        ("er", "replayed", 0),
        ("der", "replayed", -3),
        ("icarl", "replayed", -3),
        ("er", "buffer_size", 0),
    ],
)
def test_a_number_out_of_its_range_is_called_by_its_key(name: str, key: str, value: float) -> None:
    node = OmegaConf.merge({"seed": 0}, {"continual": OmegaConf.load(FOLDER / f"{name}.yaml")}).continual
    node[key] = value
    offered = {"classes": CLASSES, "loss": SupCon(), "augment": AUGMENT, "embedder": embedder()}
    with pytest.raises(InputError, match=rf"^continual\.{key}={value} must be [^\n]+$"):
        instantiate(node, offered=offered)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Joint(embedder(), CLASSES, "current"),
        lambda: ER(embedder(), CLASSES, AUGMENT, 20, softmax_over="current"),
        lambda: DERPlusPlus(embedder(), CLASSES, AUGMENT, buffer_size=20, softmax_over="current"),
    ],
)
def test_replay_refuses_heads_of_the_current_task(make: Callable[[], Method]) -> None:
    with pytest.raises(InputError, match="trains on images of earlier tasks too"):
        make()


def test_joint_remembers_what_finetuning_forgets() -> None:
    joint, finetune = Joint(embedder(), CLASSES), Finetune(embedder(), CLASSES, "seen")
    for made in (joint, finetune):
        learn(made, steps=15)
    everything = torch.ones(CLASSES, dtype=torch.bool)
    assert joint.cumulative and not finetune.cumulative
    assert accuracy(joint, list(range(CLASSES)), everything) >= 0.9
    assert accuracy(finetune, TASKS[0], everything) <= 0.2


# ----------------------------------------------------------------------------- LwF, EWC


@pytest.mark.parametrize("over", ["current", "seen"])
def test_lwf_is_its_equation(over: str) -> None:
    made = LwF(embedder(), CLASSES, strength=1.5, temperature=2.0, softmax_over=over)  # type: ignore[arg-type]
    learn(made, steps=3, tasks=TASKS[:2])
    old = made.classifier.weight.detach().clone(), made.classifier.bias.detach().clone()
    images = batch(TASKS[2])
    with torch.no_grad():
        made.eval()
        before = made.logits(images.images).double().tolist()  # as the teacher is: in evaluation mode
        made.train()
    made.begin_task(torch.tensor(TASKS[2]))
    steps = optimizer(made)
    for step in range(2):
        train_step(made, steps, TASKS[2], step)
    loss, logs = made(images, draw())
    now = made.logits(images.images).double().tolist()
    heads = [[0, 1], [2, 3]] if over == "current" else [[0, 1, 2, 3]]
    each = []
    for a, b in zip(before, now, strict=True):
        for head in heads:
            p, q = (F.softmax(torch.tensor([x[c] / 2 for c in head]).double(), 0).tolist() for x in (a, b))
            each.append(sum(x * math.log(x / y) for x, y in zip(p, q, strict=True)))
    distillation = 4 * sum(each) / len(now)
    assert distillation > 1e-4
    assert logs["distillation"].item() == pytest.approx(distillation, rel=1e-3)
    assert loss.item() == pytest.approx(logs["cross_entropy"].item() + 1.5 * distillation, rel=1e-4)
    snapshot = made.old_classifier.module
    assert torch.equal(snapshot.weight, old[0]) and torch.equal(snapshot.bias, old[1])  # type: ignore[arg-type]


def test_ewc_is_its_equation() -> None:
    """With b = 1 the Fisher information is the mean squared gradient of single images, exactly."""
    made = OnlineEWC(embedder(), CLASSES, strength=3.0, decay=0.5, fisher_batch=1)
    names = [n for n, _ in made.embedder.named_parameters()] + ["weight", "bias"]
    weights = [*made.embedder.parameters(), *made.classifier.parameters()]
    assert len(names) == len(weights) == len(made.fisher)
    expected = [torch.zeros_like(p) for p in weights]
    for classes in TASKS[:2]:
        learn(made, steps=3, tasks=(classes,))
        made.eval()
        images, labels = pictures(classes, 10)
        total = [torch.zeros_like(p) for p in weights]
        for image, label in zip(images, labels, strict=True):
            made.zero_grad(set_to_none=True)
            logits = made.logits(image[None])[0][made.current]
            F.cross_entropy(logits[None], torch.tensor([classes.index(int(label))])).backward()
            for p, square in zip(weights, total, strict=True):
                square += p.grad.square() if p.grad is not None else 0
        made.train()
        expected = [0.5 * f + t / len(images) for f, t in zip(expected, total, strict=True)]
        for f, e, a, p in zip(made.fisher, expected, made.anchor, weights, strict=True):
            torch.testing.assert_close(f.data, e, rtol=1e-3, atol=1e-9)
            assert torch.equal(a, p)
    made.begin_task(torch.tensor(TASKS[2]))
    steps = optimizer(made)
    for step in range(2):
        train_step(made, steps, TASKS[2], step)
    loss, logs = made(batch(TASKS[2]), draw())
    pairs = zip(expected, weights, made.anchor, strict=True)
    penalty = sum((f * (p - a).square()).double().sum().item() for f, p, a in pairs) / 2
    assert penalty > 0
    assert logs["penalty"].item() == pytest.approx(penalty, rel=1e-3)
    assert loss.item() == pytest.approx(logs["cross_entropy"].item() + 3 * penalty, rel=1e-4)


def test_ewc_takes_blocks_of_any_size_alike() -> None:
    found = []
    for block in (7, 20):
        made = OnlineEWC(embedder(), CLASSES, fisher_batch=1)
        made.begin_task(torch.tensor(TASKS[0]))
        made.end_task(passes(TASKS[0], block=block))
        found.append(torch.cat([f.flatten() for f in made.fisher]))
    torch.testing.assert_close(found[0], found[1])
    assert made.training and all(p.grad is None for p in made.parameters())


def test_ewc_counts_weights_that_rest_when_a_task_ends() -> None:
    """`training.head_only` may outlast a task; the backbone moves later, and its information counts."""
    found = []
    for resting in (False, True):
        made = OnlineEWC(embedder(), CLASSES)
        made.begin_task(torch.tensor(TASKS[0]))
        made.embedder.backbone.requires_grad_(not resting)
        made.end_task(passes(TASKS[0]))
        assert all(p.requires_grad != resting for p in made.embedder.backbone.parameters())
        found.append(torch.cat([f.flatten() for f in made.fisher]))
    assert torch.equal(*found) and found[0].count_nonzero() > len(found[0]) / 2


def test_a_stiff_ewc_holds_the_weights() -> None:
    """Weights that the first task needs move less with the penalty than without."""
    moved = []
    for strength in (0.0, 100.0):
        made = OnlineEWC(embedder(), CLASSES, strength=strength)
        learn(made, steps=10, tasks=TASKS[:1], lr=0.01)
        fisher = [f.clone() for f in made.fisher]
        anchor = [a.clone() for a in made.anchor]
        learn(made, steps=10, tasks=TASKS[1:2], lr=0.01)
        weights = [*made.embedder.parameters(), *made.classifier.parameters()]
        terms = zip(fisher, weights, anchor, strict=True)
        moved.append(sum((f * (p - a).square()).sum().item() for f, p, a in terms))
    assert moved[1] < 0.8 * moved[0]


# ----------------------------------------------------------------------------- replay


def test_er_trains_on_the_batch_and_as_many_images_of_earlier_tasks() -> None:
    made = ER(embedder(), CLASSES, Augmentation(), buffer_size=12)
    learn(made, steps=2, tasks=TASKS[:1])
    assert made.buffer.filled == 12 and set(made.buffer.labels.tolist()) <= {0, 1}
    made.begin_task(torch.tensor(TASKS[1]))
    given = batch(TASKS[1])
    loss, _ = made(given, draw(3))
    rows = made.buffer.draw(8, draw(3))
    images = torch.cat((given.images, made.buffer.images[rows].float() / 255))
    labels = torch.cat((given.labels, made.buffer.labels[rows]))
    assert len(images) == 16
    expected = made.cross_entropy(made.logits(images), labels)
    torch.testing.assert_close(loss, expected)
    assert torch.equal(loss, made(given, draw(3))[0]) and loss != made(given, draw(4))[0]


def test_der_keeps_logits_and_labels() -> None:
    made = DERPlusPlus(embedder(), CLASSES, Augmentation(), alpha=0.7, beta=0.2, buffer_size=50, replayed=5)
    learn(made, steps=2, tasks=TASKS[:1])
    assert made.buffer.filled == 20
    torch.testing.assert_close(made.buffer.logits[:20], made.scores(made.buffer.images[:20]))
    made.begin_task(torch.tensor(TASKS[1]))
    steps = optimizer(made)
    train_step(made, steps, TASKS[1], 0)
    given = batch(TASKS[1])
    loss, logs = made(given, draw(3))
    again = draw(3)
    terms = []
    for _ in range(2):
        rows = made.buffer.draw(5, again)
        terms.append((made.logits(made.buffer.images[rows].float() / 255), rows))
    squared = [
        (a - b) ** 2
        for row, i in zip(terms[0][0].tolist(), terms[0][1].tolist(), strict=True)
        for a, b in zip(row, made.buffer.logits[i].tolist(), strict=True)
    ]
    kept = sum(squared) / len(squared)
    labels = F.cross_entropy(terms[1][0], made.buffer.labels[terms[1][1]]).item()
    plain = F.cross_entropy(made.logits(given.images), given.labels).item()
    assert logs["replayed_logits"].item() == pytest.approx(kept, rel=1e-4)
    assert loss.item() == pytest.approx(plain + 0.7 * kept + 0.2 * labels, rel=1e-4)


@pytest.mark.parametrize("name", ["er", "der", "icarl"])
def test_replay_remembers(name: str) -> None:
    made = build(name)
    learn(made, steps=25)
    assert accuracy(made, list(range(CLASSES)), made.candidates()) >= 0.8


# ----------------------------------------------------------------------------- iCaRL and class means


def test_icarl_is_its_equation() -> None:
    made = ICaRL(embedder(), CLASSES, Augmentation(), buffer_size=12)
    learn(made, steps=3, tasks=TASKS[:1])
    made.begin_task(torch.tensor(TASKS[1]))
    steps = optimizer(made)
    train_step(made, steps, TASKS[1], 0)
    given = batch(TASKS[1])
    loss, _ = made(given, draw(3))
    rows = made.buffer.draw(8, draw(3))
    images = torch.cat((given.images, made.buffer.images[rows].float() / 255))
    labels = torch.cat((given.labels, made.buffer.labels[rows])).tolist()
    now = made.logits(images).double().sigmoid().tolist()
    with torch.no_grad():
        features = made.old_embedder.module.embed(images)  # type: ignore[operator]
        before = made.old_classifier.module.logits(features).double().sigmoid().tolist()  # type: ignore[operator]
    total = 0.0
    for i, label in enumerate(labels):
        for c in (0, 1, 2, 3):
            target = before[i][c] if c in (0, 1) else float(label == c)
            total -= target * math.log(now[i][c]) + (1 - target) * math.log(1 - now[i][c])
    assert loss.item() == pytest.approx(total / len(labels), rel=1e-4)


def test_icarl_learns_classes_that_come_again() -> None:
    """In another domain every class is old; its labels count, or nothing would be learnt there."""
    made = ICaRL(embedder(), CLASSES, Augmentation(), buffer_size=12)
    learn(made, steps=3, tasks=TASKS[:2])
    made.begin_task(torch.tensor(TASKS[0]))
    given = batch(TASKS[0])
    made.buffer.filled = 0  # so that the batch alone is in the loss
    loss, _ = made(given, draw())
    now = made.logits(given.images).double().sigmoid().tolist()
    with torch.no_grad():
        features = made.old_embedder.module.embed(given.images)  # type: ignore[operator]
        before = made.old_classifier.module.logits(features).double().sigmoid().tolist()  # type: ignore[operator]
    total = 0.0
    for i, label in enumerate(given.labels.tolist()):
        for c in (0, 1, 2, 3):
            target = float(label == c) if c in (0, 1) else before[i][c]
            total -= target * math.log(now[i][c]) + (1 - target) * math.log(1 - now[i][c])
    assert loss.item() == pytest.approx(total / len(given.labels), rel=1e-4)


def test_icarl_divides_its_memory_and_keeps_the_first_exemplars() -> None:
    made = ICaRL(embedder(), CLASSES, AUGMENT, buffer_size=14)
    kept: dict[int, Tensor] = {}
    for number, quota in ((0, 7), (1, 3), (2, 2)):
        learn(made, steps=2, tasks=(TASKS[number],))
        labels = made.buffer.labels[: made.buffer.filled]
        expected = [quota if c < 2 * number + 2 else 0 for c in range(CLASSES)]
        assert labels.bincount(minlength=CLASSES).tolist() == expected
        for c in range(2 * number + 2):
            images = made.buffer.images[: made.buffer.filled][labels == c]
            if c in kept:
                assert torch.equal(images, kept[c][:quota])
            kept[c] = images
    # All came from the task's images, none twice.
    for c, images in kept.items():
        own, of = pictures(TASKS[c // 2], 10)
        places = [next(i for i, p in enumerate(own[of == c]) if torch.equal(p, image)) for image in images]
        assert len(set(places)) == len(places)
    with pytest.raises(InputError, match="buffer_size=5 leaves some of the 6 classes without"):
        ICaRL(embedder(), CLASSES, AUGMENT, buffer_size=5)


def test_icarl_predicts_by_the_exemplars_under_the_present_network() -> None:
    made = ICaRL(embedder(), CLASSES, AUGMENT, buffer_size=12)
    learn(made, steps=3, tasks=TASKS[:1])
    made.begin_task(torch.tensor(TASKS[1]))
    images, _ = pictures(TASKS[0], 4, seed=3)
    made.scores(images)  # the means are known now; a step makes them stale
    train_step(made, optimizer(made), TASKS[1], 0)
    scores = made.scores(images)
    assert made.scores(images).equal(scores)
    made.eval()
    with torch.no_grad():
        unit = [F.normalize(made.embedder.embed(x), dim=1) for x in (images, made.buffer.images[:12])]
    for c in (0, 1):
        mean = F.normalize(unit[1][made.buffer.labels[:12] == c].mean(0), dim=0)
        torch.testing.assert_close(scores[:, c], unit[0] @ mean)
    assert (scores[:, 2:] == -torch.inf).all()


@pytest.mark.parametrize("name", ["supcon", "nearest_mean"])
def test_class_means_are_those_of_the_task_s_images_at_its_end(name: str) -> None:
    made = build(name)
    learn(made, steps=3, tasks=TASKS[:1])
    images, labels = pictures(TASKS[0], 10)
    made.eval()
    with torch.no_grad():
        unit = F.normalize(made.embedder.embed(images), dim=1)
    means = torch.stack([F.normalize(unit[labels == c].mean(0), dim=0) for c in (0, 1)])
    torch.testing.assert_close(made.scores(images)[:, :2], unit @ means.mT)
    assert (made.scores(images)[:, 2:] == -torch.inf).all()


@pytest.mark.parametrize("train_first", [True, False])
def test_a_frozen_encoder_stays(train_first: bool) -> None:
    made = NearestMean(embedder(), CLASSES, train_first)
    start = {k: v.clone() for k, v in made.embedder.state_dict().items()}
    learn(made, steps=5, tasks=TASKS[:1])
    first = {k: v.clone() for k, v in made.embedder.state_dict().items()}
    assert all(torch.equal(start[k], v) for k, v in first.items()) == (not train_first)
    steps = optimizer(made)
    for classes in TASKS[1:]:
        made.begin_task(torch.tensor(classes))
        for step in range(4):
            train_step(made, steps, classes, step)
        made.end_task(passes(classes))
    assert all(torch.equal(made.embedder.state_dict()[k], v) for k, v in first.items())
    if train_first:
        assert accuracy(made, list(range(CLASSES)), made.candidates()) >= 0.8


def test_supcon_trains_features_with_its_loss_alone() -> None:
    made = SupConFinetune(embedder(projector=True), CLASSES, SupCon(0.2))
    made.begin_task(torch.tensor(TASKS[0]))
    given = batch(TASKS[0], views=2)
    loss, _ = made(given, draw())
    torch.testing.assert_close(loss, SupCon(0.2)(made.embedder(given.images), given.labels))
