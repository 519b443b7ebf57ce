// What is in sight, as SVG: panels of open groups, then lines, then headers and boxes. Only what the window shows is in
// the document.

const SVG = "http://www.w3.org/2000/svg";
const svg = document.getElementById("canvas");

function make(tag, attributes = {}, text = null) {
  const element = document.createElement(tag);
  for (const [key, given] of Object.entries(attributes)) element.setAttribute(key, given);
  if (text !== null) element.textContent = text;
  return element;
}

function draw(tag, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, given] of Object.entries(attributes)) element.setAttribute(key, given);
  if (text !== null) element.textContent = text;
  return element;
}

const world = draw("g", { id: "world" });
const layers = {};
for (const name of ["panels", "lines", "heads", "boxes"]) layers[name] = draw("g", { class: name });
world.append(layers.panels, layers.lines, layers.heads, layers.boxes);
svg.append(world);

const scene = { shown: [], lines: [], elements: new Map(), paths: new Map(), area: null, plain: false };

// Place everything anew after a fold, then draw what the window shows.
function settle() {
  scene.shown = placeAll();
  scene.lines = scene.shown.filter((cell) => cell.open).flatMap(linesIn);
  scene.area = null;
}

const touches = (area, x, y, w, h) =>
  x <= area.x + area.w && x + w >= area.x && y <= area.y + area.h && y + h >= area.y;

// All of the graph, with a margin.
function wholeArea(margin = 20) {
  const root = model.cells[0];
  return { x: -margin, y: -margin, w: Math.ceil(root.w + 2 * margin), h: Math.ceil(root.h + 2 * margin) };
}

// Draw what lies in `area` (in the graph's own units). Far away, words are too small to be read and are left out.
function render(area, without = false) {
  scene.area = area;
  scene.plain = without;
  scene.elements.clear();
  scene.paths.clear();
  const panels = [], lines = [], heads = [], boxes = [];
  for (const cell of scene.shown) {
    if (!cell.parent || !touches(area, cell.x, cell.y, cell.w, cell.h)) continue;
    const element = cell.open ? panelOf(cell) : boxOf(cell, without);
    scene.elements.set(cell, element);
    (cell.open ? panels : boxes).push(element);
    if (cell.open && !without) heads.push(headOf(cell));
  }
  for (const line of scene.lines) {
    if (!touches(area, ...areaOf(line))) continue;
    const path = draw("path", { d: pathOf(line), class: "line" });
    const parts = line.tip && !without ? [path, draw("path", { d: tipOf(line), class: "tip" })] : [path];
    scene.paths.set(line, parts);
    lines.push(...parts);
  }
  layers.panels.replaceChildren(...panels);
  layers.lines.replaceChildren(...lines);
  layers.heads.replaceChildren(...heads);
  layers.boxes.replaceChildren(...boxes);
  dress();
}

function noteOf(cell) {
  if (cell.kind === "repeat") return `× ${many(cell.repeats)}`;
  return cell.kind === "module" ? "" : cell.kind === "fused" ? "from primitives" : boxCount(cell);
}

function panelOf(cell) {
  const panel = draw("g", {
    class: `panel depth-${Math.min(3, cell.depth)}${cell.mark ? " marked" : ""}`, "data-cell": cell.index,
    id: `cell-${cell.index}`, role: "group", "aria-label": `${nameOf(cell)}, unfolded`,
  });
  panel.append(draw("rect", { class: "frame", x: cell.x, y: cell.y, width: cell.w, height: cell.h, rx: 10 }));
  return panel;
}

// The header of an open group stands above the lines that enter the group: they pass behind its words.
function headOf(cell) {
  const depth = Math.min(3, cell.depth);
  const head = draw("g", { class: `head depth-${depth}`, "data-toggle": cell.index, "data-cell": cell.index });
  head.append(draw("rect", { class: "grip", x: cell.x, y: cell.y, width: cell.w, height: HEAD, rx: 10 }));
  const wide = headWidth(cell) - 12;
  head.append(draw("rect", { class: "chip", x: cell.x + 7, y: cell.y + 5, width: wide, height: 20, rx: 6 }));
  head.append(draw("path", { class: "sign", d: `M${cell.x + 12} ${cell.y + 12}l4 4.5l4 -4.5` }));
  const name = draw("text", { class: "name", x: cell.x + 27, y: cell.y + 18.5 }, titleOf(cell));
  if (noteOf(cell)) name.append(draw("tspan", { class: "small", dx: 8 }, noteOf(cell)));
  const tip = `${clip(cell.label || titleOf(cell), 200)}: ${groupText(cell)}. Click the header to fold it.`;
  head.append(name, draw("title", {}, tip));
  return head;
}

const headWidth = (cell) => width(titleOf(cell), NAME_FONT) + width(noteOf(cell), SMALL_FONT) + 48;

function boxOf(cell, without) {
  const folded = isGroup(cell), closed = folded && !cell.members.length;
  const kind = cell.box ? cell.box.kind : closed ? "closed" : "folded";
  const box = draw("g", {
    class: `box ${kind} ${tint(cell)}${cell.mark ? " marked" : ""}`, "data-cell": cell.index,
    id: `cell-${cell.index}`, role: "button", "aria-label": spoken(cell),
  });
  const rx = kind === "parameter" ? Math.min(15, cell.h / 2) : kind === "constant" ? 3 : 8;
  const [w, h] = [cell.w, cell.h];
  const behind = { class: "behind", x: cell.x + 4, y: cell.y + 4, width: w - 1, height: h - 1, rx };
  if (folded) box.append(draw("rect", behind));
  box.append(draw("rect", { class: "card", x: cell.x, y: cell.y, width: cell.w, height: cell.h, rx }));
  if (without) return box;
  const middle = cell.x + cell.w / 2 + (folded && !closed ? 8 : 0);
  const sign = `M${cell.x + 12} ${cell.y + h / 2 - 4.5}l4.5 4.5l-4.5 4.5`;
  if (folded && !closed) box.append(draw("path", { class: "sign", d: sign }));
  let y = cell.y + (h - cell.boxHeight) / 2 + 7 + TITLE - 1;
  linesOf(cell).forEach((line, index) => {
    const amount = line.metric && METRICS[look.by] && measurable(cell, look.by) ? metricText(cell, look.by) : null;
    const text = draw("text", { class: line.class, x: middle, y });
    text.textContent = amount ?? (line.of ? known(cell.box, line.of) : line.text);
    if (line.number) text.append(draw("tspan", { class: "small", dx: NUMBER_GAP }, line.number));
    box.append(text);
    y += index === 0 ? LINE + 0.5 : LINE;
  });
  if (cell.mark) {
    box.append(draw("circle", { class: "alarm", cx: cell.x + cell.w - 2, cy: cell.y + 2, r: 8 }));
    box.append(draw("text", { class: "alarm-sign", x: cell.x + cell.w - 2, y: cell.y + 6.2 }, "!"));
  }
  box.append(draw("title", {}, cell.box ? tipText(cell.box) : `${clip(cell.label, 200)}: ${groupText(cell)}`));
  return box;
}

function tipText(box) {
  const where = [box.module, box.line].filter(Boolean).map((text) => clip(text, 200)).join("\n");
  const what = `${box.label ? `${clip(box.label, 200)}: ` : ""}${kindText(box)}, ${kindOf(box)}`;
  return [what, where, box.mark ? clip(box.mark, 300) : ""].filter(Boolean).join("\n");
}

function spoken(cell) {
  if (!cell.box) return `${nameOf(cell)}, folded group, ${groupText(cell)}`;
  const mark = cell.mark ? ", marked as wrong" : "";
  return `${nameOf(cell)}, ${clip(kindText(cell.box), 60)}, ${shapeText(cell.box)}${mark}`;
}

// The number that stands in a small box: as it becomes known while the player steps, and all of it otherwise.
function known(box, which) {
  const sign = which === "value" ? "=" : "∂";
  const given = at.step > 0 ? reached(box, which) : box.facts[which];
  const text = numbersLine(given);
  return text === null ? `${sign} ·` : `${sign} ${text}`;
}

// Put the marks of the moment on what is drawn: selection, what leads to it and from it, what runs.
function dress() {
  for (const [cell, element] of scene.elements) {
    const state = element.classList;
    state.toggle("selected", cell === chosen.cell);
    state.toggle("up", chosen.up.has(cell));
    state.toggle("down", chosen.down.has(cell));
    state.toggle("found", hits.cells.has(cell));
    state.toggle("running", at.running.has(cell));
    state.toggle("receiving", at.receiving.has(cell));
    state.toggle("waiting", at.step > 0 && !cell.open && at.waiting(cell));
  }
  for (const [line, parts] of scene.paths) {
    const has = (set) => line.segments.some((segment) => set.has(segment));
    const flow = has(at.flow), up = has(chosen.upLines), down = has(chosen.downLines);
    for (const part of parts) {
      part.classList.toggle("flow", flow);
      part.classList.toggle("up", up && !flow);
      part.classList.toggle("down", down && !up && !flow);
    }
  }
  world.classList.toggle("choice", Boolean(chosen.upLines.size || chosen.downLines.size));
  world.classList.toggle("far", scene.plain);
  world.classList.toggle("playing", at.step > 0);
  world.classList.toggle("backwards", at.step > model.forward.length);
}
