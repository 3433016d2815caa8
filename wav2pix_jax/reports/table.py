"""The table of results as text."""

from collections.abc import Mapping, Sequence

from wav2pix_jax import metrics


def table(results: Mapping[str, metrics.Result], names: Sequence[str]) -> str:
  """Returns results, by the metrics' names, as lines of text.

  The last column shows the identities with the lowest and the highest value, or both of two.
  """
  lines = [f"{'':30}{'generated':>9}  {'95%':14}{'real':>8}{'baseline':>9}  by person"]
  for name, title in metrics.TITLES.items():
    if result := results.get(name):
      interval = " to ".join(f"{end:.3f}" for end in result.interval or ())
      by_person = sorted((value, names[label]) for label, value in result.by_identity.items())
      ends = by_person if len(by_person) <= 2 else [by_person[0], by_person[-1]]
      people = " to ".join(f"{value:.3f} ({person})" for value, person in ends)
      p = "" if result.p_value is None else f"  p = {result.p_value:.3f}"
      figures = f"{result.value:9.3f}  {interval:14}{result.real:8.3f}{result.baseline:9.3f}"
      lines.append(f"{title:30}{figures}  {people}{p}".rstrip())
  return "\n".join(lines)
