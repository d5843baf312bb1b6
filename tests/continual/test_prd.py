"""PRD: the value of its loss, what each term's gradient reaches, the snapshot, resuming."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from naive_distillation import naive_relation
from naive_losses import cosine
from naive_metric_losses import Given, supcon
from tiny_streams import CLASSES, TASKS, batch, embedder, learn, optimizer, passes, train_step
from torch import Tensor

from fewshot.continual.methods.prd import PRD
from fewshot.continual.snapshot import Snapshot
from fewshot.errors import InputError
from fewshot.losses import Contrastive, PrototypicalCrossEntropy, RelationDistillation, SupCon

OFFICIAL = ("classes", "snapshot_current", "projection", "sum")
PAPER = ("samples", "current_snapshot", "cosine", "sum")


def prd(form: tuple[str, ...] = PAPER, temperature: float = 0.1, **options: Any) -> PRD:
    relation = RelationDistillation(temperature, *form)  # type: ignore[arg-type]
    loss = options.pop("loss", SupCon(0.1))
    return PRD(embedder(projector=True), CLASSES, loss, relation, **options)


def in_second_task(made: PRD) -> PRD:
    """After a few steps of two tasks, so that the snapshot differs from the encoder."""
    learn(made, steps=3, tasks=TASKS[:1])
    made.begin_task(torch.tensor(TASKS[1]))
    steps = optimizer(made)
    for step in range(3):
        train_step(made, steps, TASKS[1], step)
    made.zero_grad(set_to_none=True)
    return made


@pytest.mark.parametrize("official", [False, True])
def test_loss_is_the_equation(official: bool) -> None:
    options: dict[str, Any] = {"alpha": 1.5, "beta": 3.0}
    if official:
        options |= {"loss_scale": 0.1 / 0.07, "snapshot_statistics": "batch"}
    form, temperature = (OFFICIAL, 1.0) if official else (PAPER, 0.2)
    made = in_second_task(prd(form, temperature, **options))
    given = batch(TASKS[1], views=2, seed=5)
    loss, logs = made(given, torch.Generator())

    features, projected = made.represent(given.images)
    assert made.old_embedder.batch_statistics == official
    old_features = made.old_embedder.module.embed(given.images)
    prototypes, old_prototypes = made.prototypes.weight, made.old_prototypes.module.weight
    labels = given.labels.tolist()
    points = projected.double().tolist()
    contrastive = supcon(Given(points, labels, points, labels, list(range(len(labels)))), 0.1, "anchors")
    cosines = [
        cosine(prototypes[y].double().tolist(), z.double().tolist())
        for y, z in zip(labels, features, strict=True)
    ]
    relation = naive_relation(
        [t.double() for t in (features, prototypes, old_features, old_prototypes)],
        torch.tensor([0, 0, -1, -1, -1, -1]),
        temperature,
        form,
    )
    assert relation > 1e-3
    assert logs["contrastive"].item() == pytest.approx(contrastive, rel=1e-4)
    assert logs["attraction"].item() == pytest.approx(-sum(cosines) / len(cosines), rel=1e-4)
    assert logs["relation"].item() == pytest.approx(relation, rel=1e-3)
    scale = 0.1 / 0.07 if official else 1.0
    whole = scale * contrastive - 1.5 * sum(cosines) / len(cosines) + 3.0 * relation
    assert loss.item() == pytest.approx(whole, rel=1e-4)


def gradients_of(made: PRD) -> PRD:
    made.zero_grad(set_to_none=True)
    made(batch(TASKS[1], views=2, seed=5), torch.Generator())[0].backward()
    return made


@pytest.mark.parametrize("form", [PAPER, OFFICIAL])
@pytest.mark.parametrize("term", ["contrastive", "attraction", "relation"])
def test_gradient_reaches_what_the_paper_says(term: str, form: tuple[str, ...]) -> None:
    made = in_second_task(prd(form))
    made.loss_scale = float(term == "contrastive")
    made.alpha = float(term == "attraction")
    made.beta = float(term == "relation")
    gradients_of(made)
    encoder = [p.grad for p in made.embedder.backbone.parameters()]
    projector = [p.grad for p in made.embedder.head.parameters()]
    rows = made.prototypes.weight.grad
    assert rows is not None

    def moved(gradients: list[Tensor | None]) -> bool:
        return any(g is not None and float(g.abs().max()) > 1e-8 for g in gradients)

    assert moved(encoder) == (term in ("contrastive", "relation"))
    assert moved(projector) == (term == "contrastive")
    expected = {"contrastive": [], "attraction": TASKS[1], "relation": TASKS[0]}[term]
    assert (rows.abs().amax(1) > 1e-9).nonzero().flatten().tolist() == expected
    for snapshot in (made.old_embedder, made.old_prototypes):
        assert all(p.grad is None and not p.requires_grad for p in snapshot.parameters())


def test_the_first_task_has_no_relations_and_any_loss_on_batches_will_do() -> None:
    made = prd(loss=Contrastive())
    made.begin_task(torch.tensor(TASKS[0]))
    _, logs = made(batch(TASKS[0], views=2), torch.Generator())
    assert set(logs) == {"contrastive", "attraction"}
    made.begin_task(torch.tensor(TASKS[1]))
    loss, logs = made(batch(TASKS[1], views=2), torch.Generator())
    assert set(logs) == {"contrastive", "attraction", "relation"} and loss.isfinite()
    with pytest.raises(InputError, match="use a loss on batches, such as loss=supcon"):
        prd(loss=PrototypicalCrossEntropy())
    with pytest.raises(InputError, match=r"^continual\.beta=-1 must be a finite number, at least 0$"):
        prd(beta=-1)


def test_the_snapshot_is_the_model_of_the_task_before_and_stays() -> None:
    made = prd()
    learn(made, steps=2, tasks=TASKS[:2])
    learnt = made.prototypes.weight.detach().clone()
    made.begin_task(torch.tensor(TASKS[2]))
    assert torch.equal(made.old_prototypes.module.weight, learnt)  # type: ignore[arg-type]
    images = batch(TASKS[2]).images
    with torch.no_grad():
        before = made.old_embedder.module.embed(images)
        made.eval()
        torch.testing.assert_close(made.embedder.embed(images), before)
        made.train()
    kept = {k: v.clone() for k, v in made.state_dict().items() if k.startswith("old_") and v is not None}
    steps = optimizer(made)
    for step in range(3):
        train_step(made, steps, TASKS[2], step)
    assert all(torch.equal(made.state_dict()[k], v) for k, v in kept.items())
    with torch.no_grad():
        assert torch.equal(made.old_embedder.module.embed(images), before)
        assert not torch.allclose(made.embedder.embed(images), before, atol=1e-3)


def test_a_snapshot_with_batch_statistics_is_a_copy_in_training_mode() -> None:
    source = embedder()
    images = batch(TASKS[0]).images
    made = Snapshot(source, batch_statistics=True)
    source(images + 1)  # moves the running statistics of the source alone
    made.take(source)
    kept = {k: v.clone() for k, v in made.state_dict().items()}
    with torch.no_grad():
        for mode in (True, False):
            made.train(mode)
            torch.testing.assert_close(made.module(images), source.train()(images))
    assert all(torch.equal(made.state_dict()[k], v) for k, v in kept.items())


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_it_goes_on_from_its_state(statistics: str) -> None:
    """Within a task; the fresh one stands elsewhere in everything before it loads."""
    made = in_second_task(prd(snapshot_statistics=statistics, seed=1))
    other = prd(snapshot_statistics=statistics, seed=2)
    assert other.state_dict().keys() == made.state_dict().keys()
    other.load_state_dict(made.state_dict())
    assert other.task == 1
    losses = []
    for one in (made, other):
        steps = optimizer(one)
        losses.append([train_step(one, steps, TASKS[1], step) for step in range(3)])
        one.end_task(passes(TASKS[1]))
        one.begin_task(torch.tensor(TASKS[2]))
        losses[-1].append(train_step(one, steps, TASKS[2], 9))
    assert all(torch.equal(a, b) for a, b in zip(*losses, strict=True))
    for name, value in made.state_dict().items():
        found = other.state_dict()[name]
        assert torch.equal(value, found) if isinstance(value, Tensor) else value == found


def test_prediction() -> None:
    made = prd()
    learn(made, steps=10)
    images = batch(TASKS[0]).images
    scores = made.scores(images)
    assert made.training and scores.shape == (len(images), CLASSES)
    assert scores.abs().max() <= 1 + 1e-6 and not scores.requires_grad
    made.eval()
    torch.testing.assert_close(scores, made.scores(images))
    assert made.candidates().all()
    fresh, public = prd(), prd(cil_candidates="all")
    for one in (fresh, public):
        one.begin_task(torch.tensor([4, 1]))
    assert fresh.candidates().nonzero().flatten().tolist() == [1, 4]
    assert public.candidates().all()
