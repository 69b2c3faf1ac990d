"""The masks as CVAT's own SDK decodes them; it reads no files itself."""

from xml.etree import ElementTree

from common import row, tell
from cvat_sdk.masks import decode_mask


def read(format_name, folder, masks):
    root = ElementTree.parse(folder / "annotations.xml").getroot()
    found = {}
    for image in root.iter("image"):
        rows = found.setdefault(image.get("name"), [])
        size = {"image_width": int(image.get("width")), "image_height": int(image.get("height"))}
        for shape in image:
            left, top, width, height = (
                int(shape.get(key)) for key in ("left", "top", "width", "height")
            )
            box = [left, top, left + width, top + height]
            # As CVAT's server makes of it when the file is uploaded.
            points = [*map(int, shape.get("rle").split(",")), left, top, box[2] - 1, box[3] - 1]
            rows.append(row(shape.get("label"), box, decode_mask(points, **size)))
    return [one.findtext("name") for one in root.iter("label")], found


tell(read)
