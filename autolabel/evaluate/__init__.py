"""Teacher, labels and students on the same hand-labelled photos: who is measured, and the result.

The plan: `entries` finds what is measured, `photos` on which photos, `autolabel.metrics` makes the
figures, `measuring` puts them together, and `kept` knows what was measured before.
"""

from __future__ import annotations

from autolabel.config import EngineConfig, EvaluateConfig
from autolabel.datasets.ground_truth import GroundTruth
from autolabel.evaluate import kept
from autolabel.evaluate.entries import Request, find_entries
from autolabel.evaluate.measuring import measure_all
from autolabel.metrics.result import Evaluation
from autolabel.stages.labels import Say, quiet
from autolabel.stages.running import Reporter, silent
from autolabel.store import Workspace

__all__ = ["Evaluation", "evaluate"]


def evaluate(
    workspace: Workspace,
    truth: GroundTruth,
    config: EvaluateConfig,
    engine: EngineConfig,
    report: Reporter = silent,
    *,
    newest: str | None = None,
    reference: GroundTruth | None = None,
    say: Say = quiet,
) -> Evaluation:
    """Measure the teacher's boxes, the labels and the students on the same hand-labelled photos.

    Photos that were held out are labelled and predicted on in a workspace of their own; what is
    done is not done again, and the same things measured by the same options give the result that
    is there.

    Args:
        workspace: has labels.
        truth: the hand labels that `config` names.
        config: what to measure, and how.
        engine: how models run.
        report: called when work begins.
        newest: the layer of labels to measure beside the raw boxes; the newest by default.
        reference: the other hand labels that `config` names, where they were read already.
        say: called with a line for people.

    Returns:
        The result, which the workspace keeps in `autolabel.metrics.result.RESULT`.

    Raises:
        AutolabelError: photos, classes or models do not fit, or something else has changed the
            result that is there.
    """
    if truth.repeated:
        say(f"evaluate: {truth.repeated} of the hand-labelled images are listed again: once counts")
    if truth.skipped:
        say(f"evaluate: what is no box or mask is left out: {truth.skipped_in_words}")
    request = Request(workspace, config, engine, report, say, newest, reference)
    entries = find_entries(request, truth)
    key = kept.key_of(entries, config, engine)
    result = kept.read(workspace, key)
    if result is None:
        result = measure_all(request, entries, truth)
        kept.write(workspace, key, result)
    return result
