// The page: what is shown, what each key does, and what is told of it.

import { get, newId, onTrouble, post, tab } from "/server.js";
import { View, ahead } from "/view.js";

const $ = (id) => document.getElementById(id);
const SAID = {
  confirmed: "right", deleted: "wrong", relabelled: "of class", moved: "adjusted", drawn: "added",
  skipped: "skipped", missing: "something is missing", complete: "nothing is missing",
};
const state = {
  session: null, // what this review is
  items: [], // what comes, the first of which is shown
  gone: new Set(), // keys that were answered here
  mode: "wait", // look, edit, add, grid, end; wait while nothing may be answered
  whole: false,
  label: "", // class of the box that is changed
  since: 0,
  cells: [],
  undo: JSON.parse(sessionStorage.getItem("undo") || "[]"),
};
const view = new View($("stage"), $("frame"), () => state.mode === "look" && canAdjust() && begin("edit"));
const current = () => state.items[0];

// What is shown, in the page itself, for who watches it: no key counts before `ready`.
function mode(name, shown) {
  state.mode = name;
  if (shown) document.body.dataset.shown = shown;
  if (name === "wait") delete document.body.dataset.ready;
  else document.body.dataset.ready = name;
}
const isImage = () => current() && current().kind === "image";
const canAdjust = () => current() && !isImage();
const toneOf = (label) => {
  const at = state.session.classes.indexOf(label);
  return at < 0 ? 0 : at % 9;
};

// -- telling --------------------------------------------------------------------------------

function say(text) { $("said").textContent = text; }

let fading = 0;
function toast(text) {
  $("toast").textContent = text;
  $("toast").classList.add("shown");
  say(text);
  clearTimeout(fading);
  fading = setTimeout(() => $("toast").classList.remove("shown"), 6000);
}

onTrouble((text) => {
  $("banner").textContent = text;
  $("banner").hidden = !text;
});

function progress({ done, skipped, total }) {
  Object.assign(state.session, { done, skipped, total });
  const seen = done + skipped;
  $("bar").setAttribute("aria-valuemax", total);
  $("bar").setAttribute("aria-valuenow", seen);
  $("fill").style.width = `${total ? (100 * seen) / total : 100}%`;
  $("count").textContent = `${seen} of ${total}`;
}

const when = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

function described(said) {
  const what = said.action === "relabelled" ? `of class ${said.label}` : SAID[said.action] || said.action;
  return `${said.who || "Somebody"} said “${what}” at ${when(said.at)}`;
}

// -- showing --------------------------------------------------------------------------------

function panels(name) {
  for (const id of ["look", "grid", "end"]) $(id).hidden = id !== name;
}

async function show({ quiet = false } = {}) {
  const item = current();
  mode("wait");
  if (!item) return end();
  panels("look");
  state.whole = state.whole && Boolean(item.xyxy);
  fill(item);
  const fine = await view.show(item, state.whole, toneOf);
  if (current() !== item) return undefined;
  $("ask").textContent = fine ? question(item) : "This photo cannot be read: skip it.";
  mode(fine ? "look" : "unseen", item.key);
  state.since = performance.now();
  tools();
  if (!quiet) say(spoken(item));
  return undefined;
}

function question(item) {
  const noted = item.noted ? ` ${item.noted} noted as missing.` : "";
  if (item.kind === "image") return `Does anything here lack a box? m for each thing that does; Enter when that is all.${noted}`;
  if (item.kind === "place") return `Is there a ${item.label} here, without a box so far?`;
  if (item.rejected) return `It was rejected (${item.rejected}). Is it a ${item.label} all the same?`;
  return `Is this a ${item.label}, and the box around it right?${noted}`;
}

function spoken(item) {
  const { done, skipped, total, audit } = state.session;
  const scored = !audit && item.score !== undefined ? `, score ${item.score}` : "";
  return `${done + skipped + 1} of ${total}: ${item.label || "whole photo"}${scored}. ${$("ask").textContent}`;
}

function fill(item) {
  $("name").textContent = item.label || "Whole photo";
  $("name").className = item.label ? `c${toneOf(item.label)}` : "plain";
  $("ask").textContent = "…";
  const facts = [["photo", `${item.name}, ${item.width} × ${item.height}`]];
  if (item.score !== undefined) facts.push(["score", String(item.score)]);
  for (const [name, value] of Object.entries(item.scores || {})) facts.push([name, String(value)]);
  if (item.prompt && item.prompt !== item.label) facts.push(["prompt", item.prompt]);
  $("facts").replaceChildren(...facts.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
  $("reasons").replaceChildren(...(item.reasons || []).map((reason) => make("li", reason)));
  $("stage").setAttribute("aria-label", `Picture of ${item.label || "the whole photo"}`);
}

function make(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// Which buttons there are: those that the mode has a use for.
function tools() {
  const changing = state.mode === "edit" || state.mode === "add";
  const audit = state.session.audit, image = isImage();
  for (const button of document.querySelectorAll("#tools button")) {
    const what = button.dataset.do;
    const fits = ["save", "cancel"].includes(what) ? changing : !changing;
    const hidden = (audit && !image && (what === "add" || what === "missing"))
      || (image && ["reject", "edit", "whole", "grid"].includes(what)) || (audit && what === "grid");
    button.hidden = !fits || hidden;
    if (what === "whole") button.setAttribute("aria-pressed", String(state.whole));
    if (what === "accept") button.firstChild.textContent = image ? "That is all" : "Right";
  }
  const label = changing ? state.label : current() ? current().label : "";
  for (const button of $("classes").children) {
    button.setAttribute("aria-pressed", String(button.dataset.label === label));
  }
  $("classes").hidden = image && !changing;
  $("more").hidden = $("classes").hidden || state.session.classes.length <= 9;
  $("mode").hidden = !changing;
  $("mode").textContent = state.mode === "add"
    ? `A new ${state.label}: drag, or arrows; Shift and arrows change its size.`
    : "Arrows move the box, Shift and arrows change its size; or drag an edge.";
}

function end(data) {
  panels("end");
  mode("end", "end");
  const { done, skipped, total } = state.session;
  $("summary").textContent = `${done} of ${total} answered${skipped ? `, ${skipped} skipped` : ""}.`;
  if (data && data.result) $("result").replaceChildren(...data.result.map((line) => make("li", line)));
  say(`Nothing is left. ${$("summary").textContent}`);
  $("main").focus();
}

// Fetch what comes; what is shown stays first.
async function refill() {
  const data = await get("/api/next", { tab });
  if (!data.items) {
    $("banner").textContent = `${data.error || "Something is wrong"}. ${data.hint || ""}`;
    $("banner").hidden = false;
    return data;
  }
  const shown = current();
  const rest = data.items.filter((one) => !state.gone.has(one.key) && (!shown || one.key !== shown.key));
  state.items = shown ? [shown, ...rest] : rest;
  progress(data);
  ahead(state.items.slice(0, 3));
  return data;
}

async function advance() {
  state.items.shift();
  if (current()) {
    await show();
    refill();
    return;
  }
  mode("wait");
  const data = await refill();
  if (current()) await show();
  else end(data);
}

// -- answering ------------------------------------------------------------------------------

const person = () => sessionStorage.getItem("who") || undefined;

function remember(ids) {
  state.undo.push(ids);
  if (state.undo.length > 500) state.undo.shift();
  sessionStorage.setItem("undo", JSON.stringify(state.undo));
}

const seconds = () => Math.round((performance.now() - state.since) / 10) / 100;

async function answer(item, action, more = {}) {
  const given = { id: newId(), key: item.key, action, who: person(), seconds: seconds(), ...more };
  const result = await post("/api/decisions", given);
  if (result.decision) remember([given.id]);
  if (result.total !== undefined) progress(result);
  return result;
}

// Say something of what is shown, and go on once it is on disk.
async function judge(action, more) {
  const item = current(), before = state.mode;
  mode("wait");
  const result = await answer(item, action, more);
  if (result.decision || result.status === 409) {
    if (result.status === 409) toast(`${described(result.said)}. Your answer was not taken.`);
    state.gone.add(item.key);
    state.whole = false;
    await advance();
    return;
  }
  mode(before);
  toast(`Not saved: ${result.error}`);
}

// Say something beside what is asked, and stay.
async function note(action, more, told) {
  const item = current();
  mode("wait");
  const result = await answer(item, action, more);
  if (!result.decision) toast(`Not saved: ${result.error}`);
  else toast(told);
  await again(item.key);
}

async function again(key) {
  const fresh = await get(`/api/item/${key}`);
  if (fresh.key) state.items = [fresh, ...state.items.filter((one) => one.key !== key)];
  await show({ quiet: true });
}

async function undo() {
  const ids = state.undo.pop();
  if (!ids) return toast("There is nothing to undo here.");
  sessionStorage.setItem("undo", JSON.stringify(state.undo));
  const shown = current();
  mode("wait");
  const back = [];
  for (const undoes of ids) {
    const result = await post("/api/undo", { id: newId(), undoes, who: person() });
    if (result.total !== undefined) progress(result);
    if (result.item) back.push(result.item);
  }
  for (const item of back) state.gone.delete(item.key);
  const keys = back.map((item) => item.key);
  state.items = [...back, ...state.items.filter((one) => !keys.includes(one.key))];
  toast("Undone.");
  if (!back.length && shown) return again(shown.key);
  return show();
}

// -- boxes ----------------------------------------------------------------------------------

function begin(how) {
  mode(how);
  const { classes } = state.session;
  state.label = current().label || state.label || classes[0] || "";
  view.begin(how);
  view.paint(toneOf(state.label));
  tools();
  say($("mode").textContent);
  return true;
}

async function save() {
  const box = view.box.map((v) => Math.round(v * 100) / 100);
  const item = current(), label = state.label;
  if (state.mode === "add") await note("add", { label, xyxy: box }, `A ${label} was added.`);
  else {
    const same = item.xyxy.every((v, i) => Math.abs(v - box[i]) < 0.01);
    await judge("change", { label, xyxy: same ? item.xyxy : box });
  }
}

function choose(label) {
  if (!label) return;
  if (state.mode === "edit" || state.mode === "add") {
    state.label = label;
    view.paint(toneOf(label));
    tools();
    say(label);
  } else if (state.mode === "look" && canAdjust()) {
    if (label === current().label) judge("accept");
    else judge("change", { label });
  }
}

// -- twelve at once -------------------------------------------------------------------------

async function openGrid(label) {
  mode("wait");
  const data = await get("/api/grid", { tab, label });
  const items = (data.items || []).filter((one) => !state.gone.has(one.key));
  if (!items.length) {
    toast(data.error || `No other ${label} is left to look at.`);
    return advanceFromGrid();
  }
  panels("grid");
  state.grid = label;
  state.since = performance.now();
  state.cells = items.map((item) => ({ item, odd: false, label: item.label }));
  $("grid-name").textContent = label;
  $("grid-name").className = `c${toneOf(label)}`;
  $("cells").replaceChildren(...state.cells.map(cell));
  await Promise.all([...$("cells").querySelectorAll("img")].map((image) => image.decode().catch(() => {})));
  mode("grid", `grid ${items[0].key}`);
  $("cells").firstChild.focus();
  say(`${items.length} of class ${label}. Mark those that do not belong with x.`);
  return undefined;
}

function cell(one, i) {
  const { item } = one;
  const button = make("button", "", { type: "button", "aria-pressed": "false" });
  const image = make("img", "", { src: `/crop/${item.key}`, alt: "" });
  const [left, top, right, bottom] = item.window, [x1, y1, x2, y2] = item.xyxy;
  const box = make("span", "", { class: `mark c${toneOf(item.label)}` });
  const percent = (v, from, to) => `${(100 * (v - from)) / (to - from)}%`;
  box.style.left = percent(x1, left, right);
  box.style.top = percent(y1, top, bottom);
  box.style.width = percent(left + x2 - x1, left, right);
  box.style.height = percent(top + y2 - y1, top, bottom);
  const inner = make("span", "", { class: "picture" });
  inner.style.aspectRatio = `${right - left} / ${bottom - top}`;
  inner.append(image, box);
  button.append(inner, make("span", "right", { class: "verdict" }));
  button.setAttribute("aria-label", `${i + 1}: ${item.label}, right`);
  button.addEventListener("click", () => mark(i, { odd: !one.odd, label: item.label }));
  return button;
}

function mark(i, change) {
  const one = Object.assign(state.cells[i], change), button = $("cells").children[i];
  const verdict = one.odd ? "wrong" : one.label === one.item.label ? "right" : one.label;
  button.setAttribute("aria-pressed", String(verdict !== "right"));
  button.setAttribute("aria-label", `${i + 1}: ${one.item.label}, ${verdict}`);
  button.lastChild.textContent = verdict;
  say(`${i + 1}: ${verdict}`);
}

async function saveGrid() {
  mode("wait");
  const ids = [], spent = seconds() / state.cells.length;
  let refused = 0;
  for (const { item, odd, label } of state.cells) {
    const action = odd ? "reject" : label === item.label ? "accept" : "change";
    const given = { id: newId(), key: item.key, action, label, who: person(), seconds: spent };
    const result = await post("/api/decisions", given);
    if (result.decision) ids.push(given.id);
    else refused += 1;
    state.gone.add(item.key);
    if (result.total !== undefined) progress(result);
  }
  if (ids.length) remember(ids);
  if (refused) toast(`${refused} had been answered by somebody else already.`);
  await openGrid(state.grid);
}

async function advanceFromGrid() {
  state.items = state.items.filter((one) => !state.gone.has(one.key));
  mode("wait");
  const data = state.items.length ? null : await refill();
  if (current()) await show();
  else end(data);
}

function step(key) {
  const cells = [...$("cells").children], at = Math.max(cells.indexOf(document.activeElement), 0);
  const columns = cells.filter((one) => one.offsetTop === cells[0].offsetTop).length;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
  const to = cells[at + by];
  if (to) to.focus();
}

function gridKey(event) {
  const at = [...$("cells").children].indexOf(document.activeElement);
  const label = state.session.classes[Number(event.key) - 1];
  if (event.key.startsWith("Arrow")) step(event.key);
  else if (event.key === "x" && at >= 0) mark(at, { odd: !state.cells[at].odd, label: state.grid });
  else if (/^[1-9]$/.test(event.key) && label && at >= 0) mark(at, { odd: false, label });
  else if (event.key === "Enter") saveGrid();
  else if (event.key === "Escape" || event.key === "g") advanceFromGrid();
  else if (event.key === "u") undo();
  else return false;
  return true;
}

// -- keys -----------------------------------------------------------------------------------

const DO = {
  accept: () => judge("accept"),
  reject: () => judge("reject"),
  skip: () => judge("skip"),
  edit: () => canAdjust() && begin("edit"),
  add: () => (isImage() || !state.session.audit) && begin("add"),
  missing: () => (isImage() || !state.session.audit) && note("missing", {}, "Noted: something is missing."),
  undo,
  whole: () => {
    if (isImage()) return undefined;
    state.whole = !state.whole;
    return show({ quiet: true });
  },
  grid: () => canAdjust() && !state.session.audit && openGrid(current().label),
};
const KEYS = {
  Enter: "accept", ArrowRight: "accept", x: "reject", e: "edit", n: "add", m: "missing", s: "skip",
  u: "undo", w: "whole", g: "grid",
};

function lookKey(event) {
  const label = state.session.classes[Number(event.key) - 1];
  if (/^[1-9]$/.test(event.key) && label) choose(label);
  else if (KEYS[event.key]) DO[KEYS[event.key]]();
  else return false;
  return true;
}

function boxKey(event) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const label = state.session.classes[Number(event.key) - 1];
  if (moves[event.key]) view.nudge(...moves[event.key], event.shiftKey);
  else if (event.key === "Enter") save();
  else if (event.key === "Escape") show({ quiet: true });
  else if (/^[1-9]$/.test(event.key) && label) choose(label);
  else return false;
  return true;
}

// A key that is held judges once. What is not shown yet cannot be judged.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (/^(SELECT|INPUT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (event.key === "?") {
    open("help");
    event.preventDefault();
    return;
  }
  const onButton = event.target.tagName === "BUTTON" && event.key === "Enter" && state.mode !== "grid";
  if (onButton && event.target.dataset.do) return; // the button itself says what it does
  const changing = state.mode === "edit" || state.mode === "add";
  if (event.repeat && !(event.key.startsWith("Arrow") && (changing || state.mode === "grid"))) {
    event.preventDefault();
    return;
  }
  const handlers = { look: lookKey, edit: boxKey, add: boxKey, grid: gridKey };
  let used = false;
  if (handlers[state.mode]) used = handlers[state.mode](event);
  else if ((state.mode === "end" || state.mode === "unseen") && event.key === "u") used = Boolean(undo());
  else if (state.mode === "unseen" && event.key === "s") used = Boolean(judge("skip"));
  if (used || state.mode === "wait") event.preventDefault();
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.close) $(button.dataset.close).close();
  const what = button.dataset.do;
  if (!what) return;
  if (what === "save") (state.mode === "grid" ? saveGrid : save)();
  else if (what === "cancel") (state.mode === "grid" ? advanceFromGrid : () => show({ quiet: true }))();
  else if (what === "undo" && state.mode !== "wait") undo();
  else if (state.mode === "look" || (state.mode === "unseen" && what === "skip")) DO[what]();
  if (state.mode !== "grid") $("main").focus({ preventScroll: true });
});

function open(id) {
  $(id).showModal();
}

// -- start ----------------------------------------------------------------------------------

function classButtons() {
  const { classes } = state.session;
  $("classes").replaceChildren(...classes.slice(0, 9).map((label, i) => {
    const button = make("button", "", { type: "button", class: `c${toneOf(label)}`, "aria-keyshortcuts": i + 1 });
    button.dataset.label = label;
    button.append(make("span", label), " ", make("kbd", String(i + 1)));
    button.addEventListener("click", () => { choose(label); $("main").focus({ preventScroll: true }); });
    return button;
  }));
  $("select").replaceChildren(make("option", "…", { value: "" }), ...classes.map((label) => make("option", label)));
  $("select").addEventListener("change", () => {
    choose($("select").selectedIndex > 0 ? $("select").value : "");
    $("select").selectedIndex = 0;
    $("main").focus({ preventScroll: true });
  });
}

function named() {
  $("who").textContent = `as ${person() || state.session.who || "nobody"}`;
}

async function start() {
  state.session = await get("/api/session");
  const { audit, queue, layer } = state.session;
  $("about").textContent = `${audit || queue}, ${layer}/`;
  $("show-help").addEventListener("click", () => open("help"));
  $("who").addEventListener("click", () => {
    $("name-of-person").value = person() || state.session.who || "";
    open("person");
  });
  $("person").addEventListener("close", () => {
    sessionStorage.setItem("who", $("name-of-person").value.trim());
    named();
  });
  named();
  classButtons();
  progress(state.session);
  const wanted = location.hash.slice(1); // an object by its key, as in a link to a colleague
  const data = await refill();
  if (/^[0-9a-f]{16}$/.test(wanted)) {
    const item = await get(`/api/item/${wanted}`);
    if (item.key) state.items = [item, ...state.items.filter((one) => one.key !== item.key)];
  }
  $("main").focus();
  if (current()) await show();
  else end(data);
}

start();
