"""Export: what comes back is the model, every program computes the same, and nothing half-written stays."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from fewshot.cli.verbs import main
from fewshot.data.reading import Reading
from fewshot.data.sources.cub import CUB
from fewshot.recipes import programs
from fewshot.recipes.leakage import identity, origin
from fewshot.recipes.model import Architecture, card, load_model, model_file, start_from
from fewshot.training import checkpoint

CPU = torch.device("cpu")
CONV4 = {"_target_": "fewshot.models.conv4.Conv4", "width": 8, "depth": 4, "pool": "average"}
TEST_RESNET = {"_target_": "fewshot.models.timm.TimmBackbone", "name": "test_resnet", "weights": "/gone.pth"}
LINEAR = {"_target_": "fewshot.models.heads.LinearHead", "dim": 7, "training_only": True}
OS, OTHER = {"_target_": "os.system"}, {"_target_": "torch.nn.Identity"}
SOURCE = CUB(size=32, resize=40)


def images(count: int = 4) -> Tensor:
    draw = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=draw)


def saved(folder: Path, backbone: dict[str, Any] = CONV4, before: Any = "none") -> Path:
    """The checkpoint of a model of CUB with moved running statistics."""
    torch.manual_seed(3)
    unloaded = {**backbone, "weights": None} if "weights" in backbone else backbone
    built = Architecture(unloaded, LINEAR, SOURCE.mean, SOURCE.std, 32, 3).build().train()
    built(images())
    architecture = Architecture(backbone, LINEAR, SOURCE.mean, SOURCE.std, 32, 3)
    trained_on = {**identity(SOURCE), "before": before}
    content = card(architecture, trained_on, "last weights", ("Ä", "B"), torch.arange(24.0), source=SOURCE)
    folder.mkdir()
    checkpoint.save(folder / "best.pt", {**content, "embedder": built.state_dict(), "step": 17})
    return folder / "best.pt"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder `run`, and `out` with every format."""
    folder = tmp_path_factory.mktemp("export")
    saved(folder / "run", TEST_RESNET, "ImageNet-1k (timm: test_resnet.r160_in1k)")
    formats = "formats=[safetensors,torch,onnx]"
    pytest.importorskip("onnxscript")
    assert main(["export", f"run={folder / 'run'}", f"to={folder / 'out'}", formats]) == 0
    return folder


def mistake(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_an_exported_model_is_the_model(exported: Path) -> None:
    before, after = (load_model(model_file(exported / name), CPU) for name in ("run", "out"))
    assert torch.equal(before.embedder.embed(images()), after.embedder.embed(images()))
    assert torch.equal(before.embedder(images()), after.embedder(images()))  # the head for training, too
    for key in ("trained_on", "selection", "classes", "step", "terms"):
        assert getattr(before, key) == getattr(after, key)
    assert after.reading == before.reading == Reading(32, 3, 40, "cover")
    assert before.train_mean is not None and torch.equal(before.train_mean, after.train_mean)  # type: ignore[arg-type]
    assert model_file(exported / "out/model.safetensors") == exported / "out/model.json"
    other = Architecture(TEST_RESNET | {"weights": None}, LINEAR, SOURCE.mean, SOURCE.std, 32, 3).build()
    assert start_from(other, exported / "out/model.json", CPU) == before.trained_on
    wanted = before.embedder.backbone.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in other.backbone.state_dict().items())


def test_the_card_says_what_it_is(exported: Path) -> None:
    told = json.loads((exported / "out/model.json").read_text(encoding="utf-8"))
    assert told["kind"] == "fewshot model" and told["format"] == 1 and told["version"]
    assert told["architecture"]["backbone"]["name"] == "test_resnet"
    assert told["architecture"]["backbone"]["weights"] is None
    assert (told["network"]["size"], told["dim"]) == (32, 96) and len(told["network"]["mean"]) == 3
    assert told["reading"]["resize"] == 40 and told["terms"] == CUB.terms
    assert told["classes"] == ["Ä", "B"] and told["selection"] == "last weights"
    foreign = "before that foreign weights (ImageNet-1k (timm: test_resnet.r160_in1k))"
    assert told["seen"] == f"cub (closerlook); {foreign}"
    assert told["programs"]["onnx"]["max_difference"] <= 1e-4 * told["programs"]["onnx"]["scale"]
    assert origin({"data": "a", "split": "b", "before": {"data": "c", "split": "d", "before": "none"}}) == (
        "a (b); before that c (d), from scratch"
    )
    assert {"mean", "train_mean"} <= set(load_file(exported / "out/model.safetensors"))


@pytest.mark.parametrize("count", [1, 3])
def test_programs_run_without_this_package(exported: Path, count: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    embedder = load_model(exported / "run/best.pt", CPU).embedder
    draw = torch.Generator().manual_seed(count)
    given = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=draw)
    wanted = embedder.embed(given).detach()
    file = str(exported / "out/model.onnx")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [(i.name, i.type) for i in session.get_inputs()] == [("images", "tensor(uint8)")]
    (made,) = session.run(["embeddings"], {"images": given.numpy()})
    torch.testing.assert_close(torch.from_numpy(made), wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))
    program = torch.export.load(exported / "out/model.pt2").module()
    torch.testing.assert_close(program(given), wanted, rtol=0, atol=1e-5 * float(wanted.abs().max()))


def test_files_tell_nothing_of_this_machine(exported: Path) -> None:
    for path in (exported / "out").iterdir():
        assert b"site-packages" not in path.read_bytes() and b"/gone" not in path.read_bytes(), path
    assert {path.name for path in (exported / "out").iterdir()} == {
        *("model.json", "model.onnx", "model.pt2", "model.safetensors")
    }


@pytest.mark.parametrize("name", ["torch", "onnx"])
def test_a_program_that_computes_something_else_is_not_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    saved(tmp_path / "run")
    if name == "onnx":
        pytest.importorskip("onnxscript")
    with monkeypatch.context() as patch:
        patch.setattr(programs, "TOLERANCE", -1.0)
        line = mistake(capsys, "export", f"run={tmp_path / 'run'}", f"to={tmp_path / 'o'}", f"formats={name}")
    assert "differ by up to" in line and f"leave {name} out" in line

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("torch says\nmany lines")

    monkeypatch.setattr(*((torch.export, "save") if name == "torch" else (torch.onnx, "export")), refuse)
    line = mistake(capsys, "export", f"run={tmp_path / 'run'}", f"to={tmp_path / 'o'}", f"formats=[{name}]")
    assert "(RuntimeError: torch says)" in line
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_missing_package_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path / "run")
    monkeypatch.setattr(programs.importlib.util, "find_spec", lambda name: None if "script" in name else "")
    line = mistake(capsys, "export", f"run={tmp_path / 'run'}", f"to={tmp_path / 'o'}", "formats=[onnx]")
    assert "needs onnxscript" in line and "pip install 'fewshot[export]'" in line
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("export",), "needs run=RUN"),
        (("export", "run={0}/run"), "needs to=DIR"),
        (("export", "run={0}/run", "to={0}/run"), "is there already"),
        (("export", "run={0}/none", "to={0}/o"), "there is no run or checkpoint"),
        (("export", "run={0}", "to={0}/o"), "holds no best.pt"),
        (("export", "run={0}/run", "to={0}/o", "formats=[onx]"), "did you mean 'onnx'"),
        (("export", "run={0}/run", "to={0}/o", "format=torch"), "is not run=RUN"),
        (("export", "run={0}/run", "to={0}/run/best.pt/o"), "cannot be written"),
    ],
)
def test_mistakes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    saved(tmp_path / "run")
    assert said in mistake(capsys, *(word.format(tmp_path) for word in words))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def _card(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        told = json.loads((folder / "model.json").read_text())
        change(told)
        (folder / "model.json").write_text(json.dumps(told))

    return apply


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "model.json").write_text("{"), "is no JSON"),
        (lambda folder: (folder / "model.json").write_text("[1]"), "is no card of a fewshot model"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 50), "sha256 differs"),
        (lambda folder: (folder / "model.safetensors").unlink(), "belongs beside its card"),
        (_card(lambda told: told.update(format=2)), "has format 2, this version reads 1"),
        (_card(lambda told: told.update(step="x")), "'step' is not there or no int"),
        (_card(lambda told: told["trained_on"].pop("images")), "'images' is not there"),
        (_card(lambda told: told["reading"].update(size=-1)), "reading images is damaged"),
        (_card(lambda told: told["architecture"].update(size=None)), "not one of this version"),
        (_card(lambda told: told["architecture"].update(mean=[0.5])), "not one of this version"),
        (_card(lambda told: told["architecture"]["head"].update(dim=9)), "do not fit Embedder"),
        (_card(lambda told: told["architecture"]["backbone"].update(width=9)), "do not fit Embedder"),
        (_card(lambda told: told["architecture"].update(backbone=OS)), "allowed packages"),
        (_card(lambda told: told["architecture"].update(backbone=OTHER)), "makes no backbone"),
    ],
)
def test_damaged_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None], said: str
) -> None:
    saved(tmp_path / "run")
    assert main(["export", f"run={tmp_path / 'run'}", f"to={tmp_path / 'out'}", "formats=safetensors"]) == 0
    damage(tmp_path / "out")
    assert said in mistake(capsys, "export", f"run={tmp_path / 'out'}", f"to={tmp_path / 'again'}")
    assert not (tmp_path / "again").exists()


def test_programs_take_an_exported_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(tmp_path / "run")
    assert main(["export", f"run={tmp_path / 'run'}", f"to={tmp_path / 'out'}", "formats=safetensors"]) == 0
    line = mistake(capsys, "eval", f"run={tmp_path / 'out'}", "report=false")
    assert "add data=cub, what it was trained on" in line
    for key in ("model", "run"):
        words = [f"{key}={tmp_path / 'out'}", f"output_dir={tmp_path / 'p'}", "threads=1"]
        for name, colour in (("a", 0), ("b", 200)):
            for part in ("support", "query"):
                (tmp_path / part / name).mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (50, 44), (colour, 90, 30)).save(tmp_path / part / name / "1.png")
        files = (f"support={tmp_path / 'support'}", f"query={tmp_path / 'query'}")
        assert main(["predict", *files, *words]) == 0
        (made,) = (tmp_path / "p").iterdir()
        told = json.loads((made / "predictions.json").read_text())
        assert told["reading"]["resize"] == 40  # of the card: no run lies beside it
        assert [row["classes"][0]["class"] for row in told["predictions"]] == ["a", "b"]
        shutil.rmtree(made)
    assert "two models" in mistake(capsys, "predict", *files, "run=a", "model=b")
