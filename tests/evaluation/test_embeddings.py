from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fewshot.data.image_set import ImageSet
from fewshot.errors import InputError
from fewshot.evaluation.embedding_cache import EmbeddingCache, embedding_key, weights_sha256
from fewshot.evaluation.embeddings import Embeddings, embed


class Net(nn.Module):
    """A small embedder with BatchNorm that can run out of memory on purpose."""

    def __init__(self, fits: int | None = None, **norm: Any) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4, **norm)
        self.fits = fits
        self.batches: list[int] = []

    def embed(self, images: Tensor) -> Tensor:
        assert torch.is_inference_mode_enabled()
        if self.fits is not None and len(images) > self.fits:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.batches.append(len(images))
        map_: Tensor = self.norm(self.convolution(images / 255))
        return map_.mean(dim=(2, 3))


@pytest.fixture
def images() -> ImageSet:
    pixels = torch.randint(
        0, 256, (23, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return ImageSet(pixels, torch.zeros(23, dtype=torch.int64), ("a",))


INDICES = np.array([20, 3, 7, 7, 0, 22, 11, 5, 1, 2, 4], dtype=np.int64)


def test_equals_one_image_at_a_time(images: ImageSet) -> None:
    net = Net().eval()
    seen: list[int] = []
    made = embed(net, images, INDICES, batch_size=4, progress=seen.append)
    assert made.features.shape == (11, 4)
    assert made.features.dtype == torch.float32
    with torch.inference_mode():
        alone = torch.cat([net.embed(images.images[i : i + 1]) for i in INDICES.tolist()])
    torch.testing.assert_close(made.features, alone)
    assert net.batches[:3] == [4, 4, 3]
    assert seen == [4, 4, 3]
    made.features.requires_grad_()  # an inference tensor would refuse


def test_bf16_is_near_and_returns_float32(images: ImageSet) -> None:
    net = Net().eval()
    exact = embed(net, images, INDICES).features
    low = embed(net, images, INDICES, precision="bf16").features
    assert low.dtype == torch.float32
    assert not torch.equal(low, exact)
    torch.testing.assert_close(low, exact, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("statistics", [True, False])
def test_refuses_hidden_transduction(images: ImageSet, statistics: bool) -> None:
    net = Net(track_running_stats=statistics).eval()
    net.norm.train(statistics)
    with pytest.raises(InputError, match=r"hidden transduction.*'norm'") as error:
        embed(net, images, INDICES)
    assert "\n" not in str(error.value)


def test_refuses_training_mode(images: ImageSet) -> None:
    net = Net()
    net.norm.eval()
    with pytest.raises(ValueError, match="training mode"):
        embed(net, images, INDICES)
    with pytest.raises(ValueError, match="no images"):
        embed(net.eval(), images, INDICES[:0])


def test_halves_the_batch_when_memory_is_short(images: ImageSet) -> None:
    net = Net(fits=3).eval()
    made = embed(net, images, INDICES, batch_size=64)
    assert net.batches == [2, 2, 2, 2, 2, 1]
    single = Net(fits=1).eval()
    embed(single, images, INDICES, batch_size=4)
    assert single.batches == [1] * 11
    net.fits = None
    torch.testing.assert_close(made.features, embed(net, images, INDICES).features)
    with pytest.raises(InputError, match="one image does not fit"):
        embed(Net(fits=0).eval(), images, INDICES)


def test_non_finite_embeddings_name_the_image(images: ImageSet) -> None:
    class Poisoned(Net):
        def embed(self, images: Tensor) -> Tensor:
            made = super().embed(images)
            return torch.where(images.flatten(1)[:, :1] == poison, torch.nan, made)

    poison = images.images[7, 0, 0, 0]
    with pytest.raises(InputError, match=r"2 of 11 embeddings are not finite \(first: image 7\)"):
        embed(Poisoned().eval(), images, INDICES)


def test_rows_of() -> None:
    made = Embeddings(torch.zeros(3, 2), np.array([40, 7, 12]))
    np.testing.assert_array_equal(made.rows_of(np.array([[7, 7], [12, 40]])), [[1, 1], [2, 0]])
    for missing in (8, 41):
        with pytest.raises(ValueError, match=f"image {missing} is not among"):
            made.rows_of(np.array([7, missing]))


def test_key_changes_with_everything_that_matters() -> None:
    torch.manual_seed(0)
    net = Net().eval()

    def key(net: nn.Module = net, manifest: str = "m", indices: Any = INDICES, size: int = 8) -> str:
        return embedding_key(net, {"images": manifest}, indices, {"size": size})

    first = key()
    assert first == key()
    other = Net().eval()
    other.load_state_dict(net.state_dict())
    assert key(other) == first
    other.norm.running_mean[0] += 1  # type: ignore[index, operator]
    assert weights_sha256(other) != weights_sha256(net)
    wrapped = nn.Sequential()
    wrapped.convolution, wrapped.norm = net.convolution, net.norm
    keys = [first, key(other), key(wrapped), key(manifest="n"), key(indices=INDICES[::-1]), key(size=9)]
    assert len(set(keys)) == len(keys)


def test_cache_keeps_and_mends(tmp_path: Any) -> None:
    cache = EmbeddingCache(tmp_path / "embeddings")
    features = torch.randn(11, 5)
    made: list[int] = []

    def make() -> Embeddings:
        made.append(1)
        return Embeddings(features, INDICES)

    for _ in range(2):
        kept = cache.load_or_make("abc", INDICES, "cpu", make)
        assert torch.equal(kept.features, features)
        np.testing.assert_array_equal(kept.images, INDICES)
    assert len(made) == 1
    file = cache.folder / "abc.npy"
    file.write_bytes(file.read_bytes()[:150])
    assert torch.equal(cache.load_or_make("abc", INDICES, "cpu", make).features, features)
    assert torch.equal(cache.load_or_make("abc", INDICES, "cpu", make).features, features)
    assert len(made) == 2
    np.save(file, features[:3].numpy())  # whole, but of other images
    assert torch.equal(cache.load_or_make("abc", INDICES, "cpu", make).features, features)
    assert len(made) == 3
    assert [path.name for path in cache.folder.iterdir()] == ["abc.npy"]


def test_cache_that_cannot_be_written_costs_only_time(tmp_path: Any) -> None:
    (tmp_path / "file").write_text("")
    features = torch.randn(11, 5)
    cache = EmbeddingCache(tmp_path / "file")
    kept = cache.load_or_make("abc", INDICES, "cpu", lambda: Embeddings(features, INDICES))
    assert torch.equal(kept.features, features)
