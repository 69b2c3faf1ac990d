"""Label Studio's labelling config: which tags of an image take which labels.

https://labelstud.io/tags: control tags (`RectangleLabels`, …) name an object tag (`Image`), which
names a field of the task's data.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import quoteattr

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeXml

from autolabel.errors import AutolabelError

RECTANGLE, POLYGON, BRUSH, ELLIPSE = (
    "rectanglelabels",
    "polygonlabels",
    "brushlabels",
    "ellipselabels",
)
"""Types of regions that are objects; also the key under which a region's labels are."""
_TAGS = {
    RECTANGLE: "RectangleLabels",
    POLYGON: "PolygonLabels",
    BRUSH: "BrushLabels",
    ELLIPSE: "EllipseLabels",
}
_NAMES = {RECTANGLE: "box", POLYGON: "polygon", BRUSH: "brush"}
_HEADERS = {RECTANGLE: "Boxes", POLYGON: "Polygons", BRUSH: "Masks", ELLIPSE: "Ellipses"}
_HINT = "copy it from the project: Settings, Labeling Interface, Code"


@dataclass(frozen=True)
class Control:
    """A tag that draws regions.

    Attributes:
        name: what results call it, `from_name`.
        labels: the classes that it offers, in their order; none where tasks bring their own.
    """

    name: str
    labels: tuple[str, ...]

    def offers(self, label: str) -> bool:
        """Return whether a region of it may have that class."""
        return not self.labels or label in self.labels


@dataclass(frozen=True)
class Labelling:
    """What a labelling config says of images.

    Attributes:
        image: name of the object tag, `to_name` of results.
        field: the field of a task's data that holds the image.
        controls: type of region -> the tag that draws such regions on the image.
    """

    image: str
    field: str
    controls: Mapping[str, Control]

    @property
    def labels(self) -> tuple[str, ...]:
        """All classes, each once."""
        return tuple(dict.fromkeys(n for one in self.controls.values() for n in one.labels))

    def offering(self, label: str) -> dict[str, Control]:
        """Return the controls whose regions may have that class."""
        return {kind: one for kind, one in self.controls.items() if one.offers(label)}


def labelling_of(names: Sequence[str], kinds: Sequence[str]) -> Labelling:
    """Return the labelling that our own exports are of.

    Args:
        names: the classes.
        kinds: which of `RECTANGLE`, `POLYGON` and `BRUSH` it draws.
    """
    return Labelling(
        "image", "image", {kind: Control(_NAMES[kind], tuple(names)) for kind in kinds}
    )


def to_xml(labelling: Labelling) -> str:
    """Return the labelling config; each tag has a header, a class one colour in all.

    >>> print(to_xml(labelling_of(['a "b"'], [RECTANGLE])), end="")
    <View>
      <Image name="image" value="$image" zoom="true" zoomControl="true" rotateControl="false"/>
      <Header value="Boxes" size="6"/>
      <RectangleLabels name="box" toName="image">
        <Label value='a "b"' background="#d93636"/>
      </RectangleLabels>
    </View>
    """
    order = labelling.labels
    lines = [
        "<View>",
        f"  <Image name={quoteattr(labelling.image)} value={quoteattr('$' + labelling.field)}"
        ' zoom="true" zoomControl="true" rotateControl="false"/>',
    ]
    for kind, control in labelling.controls.items():
        lines += [
            f'  <Header value="{_HEADERS[kind]}" size="6"/>',
            f"  <{_TAGS[kind]} name={quoteattr(control.name)} toName={quoteattr(labelling.image)}>",
        ]
        lines += [
            f'    <Label value={quoteattr(label)} background="{_colour(order.index(label))}"/>'
            for label in control.labels
        ]
        lines.append(f"  </{_TAGS[kind]}>")
    return "\n".join([*lines, "</View>", ""])


def _colour(i: int) -> str:
    """Return a colour as ``#rrggbb``; those of neighbours differ most, by the golden angle."""
    rgb = colorsys.hsv_to_rgb(i * 0.381966 % 1, 0.75, 0.85)
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in rgb)


def from_xml(xml: str | bytes) -> Labelling:
    """Read a labelling config.

    Of several images, or several tags of one type for it, the first counts.

    Raises:
        AutolabelError: not XML, XML that declares entities, or no tag labels objects in an image.
    """
    try:
        root = SafeXml.fromstring(xml)
    except DefusedXmlException:
        raise AutolabelError(
            "the labelling config declares XML entities, which is not safe to read",
            hint="remove the <!DOCTYPE …> from it",
        ) from None
    except (SafeXml.ParseError, ValueError, LookupError) as e:
        raise AutolabelError(f"the labelling config is not valid XML: {e}", hint=_HINT) from None
    for image in root.iter("Image"):
        name, value = image.get("name"), image.get("value") or image.get("valueList") or ""
        controls = dict(_controls(root, name)) if name else {}
        if name and controls:
            return Labelling(name, value.lstrip("$"), controls)
    raise AutolabelError(
        "the labelling config has no tag that labels objects in an image",
        hint=f"add one of {', '.join(_TAGS.values())} with toName of the <Image>",
    )


def _controls(root: object, image: str) -> Iterator[tuple[str, Control]]:
    found: dict[str, Control] = {}
    for element in root.iter():  # type: ignore[attr-defined]
        kind = str(element.tag).lower()
        if kind in _TAGS and element.get("toName") == image and kind not in found:
            labels = (one.get("alias") or one.get("value") for one in element.iter("Label"))
            name = element.get("name") or ""
            found[kind] = Control(name, tuple(label for label in labels if label))
    yield from found.items()
