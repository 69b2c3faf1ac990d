from __future__ import annotations

import numpy as np

from autolabel.store import Workspace
from tests.report.pages import report


def test_pictures_show_hand_labels_labels_and_student(full: Workspace) -> None:
    page = report(full, images=1, crops=2)
    titles = [str(a["alt"]) for a in page.all("img")]
    assert titles[:3] == [
        "hand labels on 0000.png: 1\u00a0×\u00a0cat, 1\u00a0×\u00a0bird",
        "labels on 0000.png: 1\u00a0×\u00a0cat",
        "small detector on 0000.png: 1\u00a0×\u00a0cat",
    ]
    hand, labels, student = (np.asarray(p.convert("RGB"), int) for p in page.pictures[:3])
    assert abs(hand - labels)[38:62, 58:82].max() > 60  # the bird is marked by hand alone
    assert abs(labels - student)[:30, 45:].max() < 25  # a rejected label is not drawn
    # Right, false and missed: nobody found the bird, and the cat is right.
    assert "1 right; false: none; missed: 1\u00a0×\u00a0bird" in page.html
    assert page.text.count("3, 2 of them at random") == 2  # cats kept, dogs rejected
