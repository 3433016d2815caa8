"""Wav2Pix in PyTorch, for comparison only: networks, losses and order of updates of the release.

It follows `configs/release.py`. Tensors are created in the order in which
`weights.pytorch_names` lists them, so that `load` can put ours into these networks; a
test compares the losses of both sides.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

IDENTITIES = 10
EMBEDDING = 128


class SpectralNorm(nn.Module):
  """A convolution whose kernel is divided by its largest singular value, one iteration per pass."""

  def __init__(self, convolve: Callable[..., torch.Tensor], *shape: int):
    super().__init__()
    self.convolve = convolve
    self.weight_bar = nn.Parameter(0.02 * torch.randn(shape))
    self.register_buffer("u", functional.normalize(torch.randn(shape[0]), dim=0))

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Returns the convolution of x."""
    matrix = self.weight_bar.flatten(1)
    with torch.no_grad():
      right = functional.normalize(self.u @ matrix, dim=0)
      left = functional.normalize(matrix @ right, dim=0)
      if self.training:
        self.u.copy_(left)
    return self.convolve(x, self.weight_bar / torch.dot(left, matrix @ right))


class Generator(nn.Module):
  """Speech [B, T] -> faces [B, 3, S, S], embedding [B, 128], logits [B, IDENTITIES]."""

  def __init__(self, image_size: int, dropout: float):
    super().__init__()
    widths = (1, 16, 32, 128, 256, 512, 1024)
    encoder: list[nn.Module] = []
    for before, width in itertools.pairwise(widths):
      encoder += [
        nn.ConstantPad1d((6, 7), 0.0),
        nn.Conv1d(before, width, 15, stride=4),
        nn.BatchNorm1d(width),
        nn.LeakyReLU(0.3),
      ]
    self.encoder = nn.Sequential(
      *(*encoder, nn.Flatten(), nn.Linear(4096, 256), nn.ReLU()),
      *(nn.Linear(256, EMBEDDING), nn.ReLU(), nn.Linear(EMBEDDING, EMBEDDING)),
    )
    self.classifier = nn.Sequential(
      *(nn.Linear(EMBEDDING, 200), nn.BatchNorm1d(200), nn.LeakyReLU(0.2)),
      *(nn.Linear(200, IDENTITIES), nn.BatchNorm1d(IDENTITIES)),
    )
    levels = image_size.bit_length() - 3
    channels = [EMBEDDING, *(64 * 2**i for i in reversed(range(levels))), 3]
    up: list[nn.Module] = []
    for i, (before, width) in enumerate(itertools.pairwise(channels)):
      stride, padding = (2, 1) if i else (1, 0)
      convolve = functools.partial(functional.conv_transpose2d, stride=stride, padding=padding)
      up.append(SpectralNorm(convolve, before, width, 4, 4))
      up += [nn.Dropout(dropout), nn.ReLU()] if width != 3 else [nn.Tanh()]
    self.up = nn.Sequential(*up)

  def forward(self, speech: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns faces, embedding and logits."""
    embedding = self.encoder(speech[:, None])
    return self.up(embedding[:, :, None, None]), embedding, self.classifier(embedding)


class Discriminator(nn.Module):
  """Faces [B, 3, S, S] and embedding [B, 128] -> scores [B], features [B, C, 4, 4]."""

  def __init__(self, image_size: int):
    super().__init__()
    channels = [3, *(64 * 2**i for i in range(image_size.bit_length() - 3))]
    down: list[nn.Module] = []
    for before, width in itertools.pairwise(channels):
      convolve = functools.partial(functional.conv2d, stride=2, padding=1)
      down += [SpectralNorm(convolve, width, before, 4, 4), nn.LeakyReLU(0.2)]
    self.down = nn.Sequential(*down)
    self.score = nn.Conv2d(channels[-1] + EMBEDDING, 1, 4, bias=False)

  def forward(
    self, faces: torch.Tensor, embedding: torch.Tensor
  ) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns scores and features."""
    features = self.down(faces)
    tiled = embedding[:, :, None, None].expand(-1, -1, 4, 4)
    return self.score(torch.cat([features, tiled], 1)).flatten(), features


class Trainer:
  """Both networks and their optimizers, at 64 or 128 pixels.

  `compiled` uses `torch.compile`, while the release runs eagerly. `autocast` computes in bfloat16,
  with float32 parameters. `channels_last` is the layout that is fastest on tensor cores.
  """

  def __init__(
    self,
    image_size: int,
    dropout: float = 0.5,
    device: str = "cpu",
    compiled: bool = False,
    autocast: bool = False,
    channels_last: bool = False,
  ):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    self.generator = Generator(image_size, dropout).to(device, memory_format=layout)
    self.discriminator = Discriminator(image_size).to(device, memory_format=layout)
    self._layout, self._device, self._autocast = layout, device, autocast
    betas = (0.5, 0.999)
    self._adam_g = torch.optim.Adam(self.generator.parameters(), lr=1e-4, betas=betas)
    self._adam_d = torch.optim.Adam(self.discriminator.parameters(), lr=4e-4, betas=betas)
    compile_: Callable[..., Any] = torch.compile if compiled else lambda function: function
    self._d_loss, self._g_loss = compile_(self._judged), compile_(self._answered)
    self._drawn = compile_(lambda speech: self.generator(speech)[0])

  def load(self, generator: Mapping[str, np.ndarray], discriminator: Mapping[str, np.ndarray]):
    """Loads the tensors of a release checkpoint, in its order."""
    for network, tensors in ((self.generator, generator), (self.discriminator, discriminator)):
      names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
      kept = [x for name, x in tensors.items() if not name.endswith(("_v", "_tracked"))]
      ours = {name: torch.from_numpy(x.copy()) for name, x in zip(names, kept, strict=True)}
      network.load_state_dict(ours, strict=False)

  def tensors(self, batch: Mapping[str, np.ndarray]) -> list[torch.Tensor]:
    """Returns speech, faces, mismatched faces and identities of a batch (NHWC, see `schema.py`)."""

    def faces(x: np.ndarray) -> torch.Tensor:
      nchw = torch.from_numpy(x).permute(0, 3, 1, 2)
      return nchw.to(self._device, memory_format=self._layout).contiguous(
        memory_format=self._layout
      )

    return [
      torch.from_numpy(batch["speech"]).to(self._device),
      faces(batch["face"]),
      faces(batch["mismatched_face"]),
      torch.from_numpy(batch["identity"]).long().to(self._device),
    ]

  def step(self, tensors: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    """One round: D, then G with newly generated faces."""
    speech, real, mismatched, identity = tensors
    self._adam_d.zero_grad()
    d_loss = self._d_loss(speech, real, mismatched)
    d_loss.backward()
    self._adam_d.step()
    self._adam_g.zero_grad()
    self.discriminator.requires_grad_(False)
    g_loss = self._g_loss(speech, real, identity)
    g_loss.backward()
    self.discriminator.requires_grad_(True)
    self._adam_g.step()
    return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach()}

  def _judged(self, speech, real, mismatched):
    with self._mixed():
      with torch.no_grad():
        fake, embedding, _ = self.generator(speech)
      scores = [self.discriminator(faces, embedding)[0] for faces in (real, fake, mismatched)]
    wanted = (0.9, 0.0, 0.0)
    return sum((x.float() - y).square().mean() for x, y in zip(scores, wanted, strict=True))

  def _answered(self, speech, real, identity):
    with self._mixed():
      fake, embedding, logits = self.generator(speech)
      score, fake_features = self.discriminator(fake, embedding)
      with torch.no_grad():
        _, real_features = self.discriminator(real, embedding)
    matching = (fake_features.float().mean(0) - real_features.float().mean(0)).square().mean()
    return (
      (score.float() - 1).square().mean()
      + 100 * matching
      + 50 * (fake.float() - real).abs().mean()
      + 20 * functional.cross_entropy(logits.float(), identity)
    )

  def draw(self, speech: torch.Tensor) -> torch.Tensor:
    """Returns faces [B, 3, S, S], with running statistics and dropout, as the release samples."""
    self.generator.eval()
    for module in self.generator.modules():
      if isinstance(module, nn.Dropout):
        module.train()
    with torch.no_grad(), self._mixed():
      return self._drawn(speech)

  def _mixed(self):
    return torch.autocast(torch.device(self._device).type, torch.bfloat16, self._autocast)
