"""What people are told of labels that people made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from autolabel.cli.screen import data, message, one_line, plain

if TYPE_CHECKING:
    from autolabel.corrections.importing import ImportSummary

_MOST = 5
"""Images named at once; ``--json`` names all."""


def imported(done: ImportSummary, as_json: bool) -> None:
    """Say what an import found, and what of it was not taken."""
    if as_json:
        data(plain(done))
    would = "would be " if done.dry_run else ""
    said = ", ".join(f"{n} {action}" for action, n in sorted(done.decisions.items()))
    message(
        f"import: {done.images} labelled images, {done.changed_images} of them changed; "
        f"objects {would}locked: {said or 'none'}"
    )
    if done.unchanged:
        message(
            f"import: {done.unchanged} labels came back as they were and stay the machine's; "
            "--unchanged confirm locks them too, if people looked at all of them"
        )
    if done.emptied_images:
        back = f"move {done.file} away, and" if done.file else "leave --dry-run out and"
        message(
            f"warning: {done.emptied_images} images came back without a label, and what they had "
            f"counts as deleted; where nobody looked at them, {back} import with --no-deletions"
        )
    if done.new_classes:
        message(f"import: new classes, with the last ids: {', '.join(done.new_classes)}")
    if done.other_ids:
        message(
            f"import: classes have other ids in the labels, and were taken by name: "
            f"{', '.join(done.other_ids)}"
        )
    for what, count in sorted(done.left_out.items()):
        if count:
            message(f"warning: not taken: {count} {what}")
    if done.not_looked_at:
        message(
            f"import: {done.not_looked_at} images have no file of labels, and are left as they are"
        )
    if done.unmatched:
        message(f"warning: {len(done.unmatched)} labelled images are not in use here:")
        for one in done.unmatched[:_MOST]:
            message(f"  {one_line(one.name)}: {one.reason}")
        if len(done.unmatched) > _MOST:
            message(f"  and {len(done.unmatched) - _MOST} more; --json names all")
