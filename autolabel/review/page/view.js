// The picture, what is drawn on it, and a box that is moved by keys or pointer. Boxes are xyxy in
// pixels of the photo throughout; the drawing's own coordinates are the same.

const SVG = "http://www.w3.org/2000/svg";
const NEAR = 14; // screen pixels from an edge that still take hold of it
const pictures = new Map(); // address -> image element that is loading or loaded

function picture(address) {
  if (!pictures.has(address)) {
    const image = new Image();
    image.decoding = "async";
    image.draggable = false;
    image.ready = new Promise((done) => {
      image.onload = () => done(true);
      image.onerror = () => done(false);
    });
    image.src = address;
    pictures.set(address, image);
    if (pictures.size > 12) pictures.delete(pictures.keys().next().value);
  }
  return pictures.get(address);
}

const address = (item, whole) => (whole || !item.xyxy ? `/photo/${item.image_id}` : `/crop/${item.key}`);
const windowOf = (item, whole) => (whole || !item.xyxy ? [0, 0, item.width, item.height] : item.window);

export function ahead(items) { items.forEach((item) => picture(address(item, false))); }

function element(name, attributes, kind) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (kind) made.setAttribute("class", kind);
  return made;
}

function rectangle(box, kind) {
  const [x1, y1, x2, y2] = box;
  return element("rect", { x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0) }, kind);
}

function pathOf(rings) {
  return rings.map((ring) => `M${ring.map((p) => p.join(" ")).join("L")}Z`).join("");
}

export class View {
  constructor(stage, frame, onHold) {
    this.stage = stage;
    this.frame = frame;
    this.onHold = onHold; // called when a pointer takes hold of the box
    this.item = null;
    this.whole = false;
    this.box = null; // that is drawn
    this.tone = 0;
    this.mode = "look"; // or "edit", "add"
    this.drawing = element("svg", { "aria-hidden": "true" });
    this.frame.append(this.drawing);
    new ResizeObserver(() => this.fit()).observe(stage);
    for (const kind of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
      this.drawing.addEventListener(kind, (event) => this[kind](event));
    }
  }

  // Show an item; resolves to whether its picture could be read, once it is there.
  async show(item, whole, toneOf) {
    Object.assign(this, { item, whole, toneOf, mode: "look", box: item.xyxy, rings: item.outlines });
    this.tone = toneOf(item.label);
    this.window = windowOf(item, whole);
    const image = picture(address(item, whole));
    image.alt = "";
    const fine = await image.ready;
    if (this.item !== item || this.whole !== whole) return fine;
    if (!fine) pictures.delete(address(item, whole));
    this.frame.replaceChildren(...(fine ? [image] : []), this.drawing);
    this.fit();
    return fine;
  }

  fit() {
    if (!this.item) return;
    const [x1, y1, x2, y2] = this.window;
    const room = this.stage.getBoundingClientRect();
    this.scale = Math.min(room.width / (x2 - x1), room.height / (y2 - y1));
    this.frame.style.width = `${(x2 - x1) * this.scale}px`;
    this.frame.style.height = `${(y2 - y1) * this.scale}px`;
    this.drawing.setAttribute("viewBox", `${x1} ${y1} ${x2 - x1} ${y2 - y1}`);
    this.draw();
  }

  draw() {
    const parts = [];
    for (const other of this.item.others) {
      parts.push(rectangle(other.xyxy, `other c${this.toneOf(other.label)}`));
      if (this.whole || !this.item.xyxy) parts.push(...this.tag(other));
    }
    if (this.box) {
      const tone = `c${this.tone}`;
      if (this.rings.length && this.mode === "look") {
        parts.push(element("path", { d: pathOf(this.rings), "fill-rule": "evenodd" }, `mask ${tone}`));
      }
      parts.push(rectangle(this.box, "halo"), rectangle(this.box, `box ${tone} ${this.mode}`));
      if (this.mode !== "look") parts.push(...this.handles());
    }
    this.drawing.replaceChildren(...parts);
    this.drawing.setAttribute("class", this.mode);
  }

  // A box's class, where the box is wide enough for it: classes have colours too.
  tag(other) {
    const size = 12 / this.scale;
    if (other.xyxy[2] - other.xyxy[0] < 0.55 * size * other.label.length) return [];
    const text = element("text", { x: other.xyxy[0] + size / 4, y: other.xyxy[1] + size, "font-size": size });
    text.textContent = other.label;
    return [text];
  }

  handles() {
    const [x1, y1, x2, y2] = this.box, half = 5 / this.scale;
    const xs = [x1, (x1 + x2) / 2, x2], ys = [y1, (y1 + y2) / 2, y2];
    const spots = xs.flatMap((x, i) => ys.map((y, j) => (i === 1 && j === 1 ? null : [x, y])));
    return spots.filter(Boolean).map(([x, y]) => rectangle([x - half, y - half, x + half, y + half], "handle"));
  }

  // -- a box that is changed ----------------------------------------------------------------

  begin(mode) {
    this.drawn = false; // a drag draws the first box anew
    this.mode = mode;
    if (mode === "add") {
      const [x1, y1, x2, y2] = this.window, w = (x2 - x1) / 10, h = (y2 - y1) / 10;
      const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
      this.box = [x - w, y - h, x + w, y + h];
    }
    this.draw();
  }

  // Move by whole pixels of the photo, about a two-hundredth of what is shown; or change the size.
  nudge(dx, dy, size) {
    const [left, top, right, bottom] = this.window;
    const step = Math.max(1, Math.round(Math.max(right - left, bottom - top) / 200));
    let [x1, y1, x2, y2] = this.box;
    if (size) {
      x2 = Math.max(x1 + 1, x2 + dx * step);
      y2 = Math.max(y1 + 1, y2 + dy * step);
    } else {
      [x1, x2] = [x1 + dx * step, x2 + dx * step];
      [y1, y2] = [y1 + dy * step, y2 + dy * step];
    }
    this.set([x1, y1, x2, y2], !size);
  }

  // Keep a box within the photo, by moving it or by cutting it.
  set(box, moving) {
    const { width, height } = this.item;
    let [x1, y1, x2, y2] = box;
    if (moving) {
      const dx = Math.max(0, -x1) - Math.max(0, x2 - width), dy = Math.max(0, -y1) - Math.max(0, y2 - height);
      [x1, x2, y1, y2] = [x1 + dx, x2 + dx, y1 + dy, y2 + dy];
    }
    const clip = (v, most) => Math.min(Math.max(v, 0), most);
    this.box = [clip(x1, width), clip(y1, height), clip(x2, width), clip(y2, height)];
    this.draw();
  }

  paint(tone) {
    this.tone = tone;
    this.draw();
  }

  // -- pointer ------------------------------------------------------------------------------

  at(event) {
    const frame = this.drawing.getBoundingClientRect();
    return [this.window[0] + (event.clientX - frame.left) / this.scale,
            this.window[1] + (event.clientY - frame.top) / this.scale];
  }

  // Which edges a point takes hold of: "l", "r", "t", "b" together; "m" for the inside.
  grip([x, y]) {
    if (!this.box) return "";
    const [x1, y1, x2, y2] = this.box;
    const near = Math.min(NEAR / this.scale, (x2 - x1) / 3 + 4 / this.scale, (y2 - y1) / 3 + 4 / this.scale);
    if (x < x1 - near || x > x2 + near || y < y1 - near || y > y2 + near) return "";
    const held = (Math.abs(x - x1) <= near ? "l" : Math.abs(x - x2) <= near ? "r" : "")
      + (Math.abs(y - y1) <= near ? "t" : Math.abs(y - y2) <= near ? "b" : "");
    return held || "m";
  }

  pointerdown(event) {
    if (event.button !== 0 || !this.item) return;
    const point = this.at(event);
    let held = this.grip(point);
    if (this.mode === "look") {
      if (!held || held === "m" || !this.onHold()) return;
    } else if (this.mode === "add" && !this.drawn) {
      held = "rb";
      this.box = [...point, ...point];
      this.drawn = true;
    } else if (!held) return;
    this.drag = { held, from: point, box: [...this.box] };
    this.drawing.setPointerCapture(event.pointerId);
    event.preventDefault();
  }

  pointermove(event) {
    if (!this.drag) return;
    const { held, from, box } = this.drag;
    const [dx, dy] = this.at(event).map((v, i) => v - from[i]);
    let [x1, y1, x2, y2] = box;
    if (held === "m") {
      this.set([x1 + dx, y1 + dy, x2 + dx, y2 + dy], true);
      return;
    }
    if (held.includes("l")) x1 += dx;
    if (held.includes("r")) x2 += dx;
    if (held.includes("t")) y1 += dy;
    if (held.includes("b")) y2 += dy;
    this.set([Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)], false);
  }

  pointerup() {
    this.drag = null;
  }

  pointercancel() {
    this.drag = null;
  }
}
