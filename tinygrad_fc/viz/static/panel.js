// The panel: all that is known of what is selected. Everything from the graph goes in as text.

const panel = document.getElementById("panel");

let before = null;  // what the panel told of last

function fillPanel() {
  const { cell } = chosen, focus = document.activeElement, held = panel.contains(focus);
  const place = [...panel.querySelectorAll("button")].indexOf(focus);
  tellOf(cell);
  // Whoever came here by keyboard stays: at the same button of the same box, or at the top of another.
  const button = cell === before ? panel.querySelectorAll("button")[place] : null;
  if (held) (cell ? button || panel : svg).focus({ preventScroll: true });
  before = cell;
}

function tellOf(cell) {
  panel.hidden = !cell;
  document.body.classList.toggle("with-panel", Boolean(cell));
  if (!cell) return panel.replaceChildren();
  const close = make("button", { class: "close", title: "Close  Escape", "aria-label": "Close" }, "×");
  close.addEventListener("click", () => choose(null));
  const parts = cell.box ? boxParts(cell.box) : groupParts(cell);
  const title = make("h2", {}, clip(cell.box ? titleOf(cell, 120) : cell.label, 160));
  if (cell.box?.number) title.append(make("span", { class: "quiet" }, ` ${cell.box.number}`));
  panel.replaceChildren(close, title, ...parts.filter(Boolean));
  panel.scrollTop = 0;
}

function section(title, ...content) {
  const kept = content.filter(Boolean);
  if (!kept.length) return null;
  const part = make("section");
  part.append(make("h3", {}, title), ...kept);
  return part;
}

function listOf(pairs) {
  const list = make("dl"), kept = pairs.filter(([, given]) => given !== null && given !== undefined && given !== "");
  for (const [key, given] of kept) list.append(make("dt", {}, key), make("dd", {}, given));
  return kept.length ? list : null;
}

function code(text) {
  const block = make("pre", { tabindex: "0" });
  block.append(make("code", {}, text));
  return block;
}

function button(text, act, attributes = {}) {
  const made = make("button", attributes, text);
  made.addEventListener("click", act);
  return made;
}

function link(cell, before = "") {
  const item = make("li");
  if (before) item.append(make("span", { class: "argument" }, `${before} `));
  const what = cell.box ? `${nameOf(cell)}${cell.box.op && cell.box.label ? ` = ${cell.box.op}` : ""}` : nameOf(cell);
  item.append(button(clip(what, 60), () => goTo(cell), { class: "link" }));
  item.append(make("span", { class: "quiet" }, ` ${cell.box ? shapeText(cell.box) : groupText(cell)}`));
  return item;
}

function foldButton(cell, unfold) {
  return button(cell.open ? "Fold" : unfold, () => { toggle(cell); fillPanel(); });
}

function links(items, most = 40) {
  if (!items.length) return null;
  const list = make("ul", { class: "links" });
  list.append(...items.slice(0, most).map(([cell, before]) => link(cell, before)));
  if (items.length > most) list.append(make("li", { class: "quiet" }, `and ${many(items.length - most)} more`));
  return list;
}

function boxParts(box) {
  const { facts } = box, op = model.ops[box.op];
  const elements = size(box), bytes = elements * (itemBytes(box.dtype) || 0);
  const shape = `(${box.shape.join(", ")}${box.shape.length === 1 ? "," : ""})${box.shape.length ? "" : " scalar"}`;
  const memory = bytes ? quantity(bytes, "B") : null;
  const array = [["shape", shape], ["dtype", box.dtype], ["elements", many(elements)], ["bytes", memory]];
  const about = listOf([
    ...(hasResult(box) ? array : []),
    ["name", box.name], ["variable", box.variable], ["module", box.module],
    ["box", box.id >= model.count ? null : `#${box.id}, of ${many(model.count)}`],
    ...box.extras,
  ]);
  const costs = listOf([
    ["forward", facts.forward_seconds === undefined ? null : quantity(facts.forward_seconds, "s")],
    ["backward", facts.backward_seconds === undefined ? null : quantity(facts.backward_seconds, "s")],
    ["kept for backward", facts.saved_bytes === undefined ? null : quantity(facts.saved_bytes, "B")],
    ["freed by backward", facts.freed ? quantity(facts.freed, "B") : null],
    ["multiply-adds", facts.multiply_adds === undefined ? null : quantity(facts.multiply_adds, "")],
  ]);
  const mark = box.mark ? make("p", { class: "message" }, box.mark) : null;
  const place = box.line ? make("p", { class: "place" }, box.line) : null;
  return [
    make("p", { class: "quiet" }, `${box.output ? "output, " : ""}${kindText(box)}`),
    mark, folds(box.cell) ? foldButton(box.cell, "Unfold into primitives") : null, stepPart(box), about,
    section("Cost", costs),
    section("Your code", place, facts.source ? code(facts.source.trim()) : null),
    section("Numbers", statsTable(box)), noNumbers(box),
    op ? section(op.rules.length > 1 ? "Rules of its gradients" : "Rule of its gradients", ...rulesOf(op)) : null,
    op?.compose ? section("The same from primitives", code(op.compose)) : null,
    section("Inputs", links(box.inputs.map(({ argument, cell }) => [cell, `${argument}:`]))),
    section("Used by", links(box.users.map(({ argument, box: user }) => [user.cell, `as ${argument} of`]))),
    wants(box.cell),
  ];
}

// Highlighting of what leads to the selection, and of what follows from it.
function wants(cell) {
  const start = new Set(boxesIn(cell)), row = make("div", { class: "row" });
  for (const [key, title, next] of [["up", "Ancestors", ancestorsOf], ["down", "Descendants", descendantsOf]]) {
    const count = reach(start, next).found.size - start.size;
    const act = () => { chosen.wants[key] = !chosen.wants[key]; choose(cell); };
    const pressed = String(chosen.wants[key]), hint = `Highlight the ${title.toLowerCase()}`;
    row.append(button(`${title} ${many(count)}`, act, { "aria-pressed": pressed, class: `want ${key}`, title: hint }));
  }
  return section("Highlight", row);
}

function rulesOf(op) {
  const about = (names) => names.map((name) => (name === "via" ? "shared by all" : `for ${name}`)).join(", ");
  return op.rules.flatMap(([names, text]) => [make("p", { class: "quiet" }, about(names)), code(text)]);
}

const noNumbers = (box) => (box.facts.value || box.facts.gradient || !hasResult(box) ? null : hint());

function hint() {
  const words = make("p", { class: "hint" }, "Numbers were not recorded. Compute and differentiate under ");
  words.append(make("code", {}, "with tg.observe(values=True):"), " to see them here.");
  return words;
}

function itemBytes(dtype) {
  const bits = /(\d+)$/.exec(dtype);
  return dtype === "bool" ? 1 : bits ? Number(bits[1]) / 8 : 0;
}

// ---- numbers, value and gradient side by side

const STATISTICS = [
  ["min", "min"], ["max", "max"], ["mean", "mean"], ["std", "std"], ["norm", "norm"], ["zeros", "zeros"],
  ["nonfinite", "nan or inf"],
];

function statsTable(box) {
  const { value: own, gradient } = box.facts;
  if (!own && !gradient) return null;
  const table = make("table", { class: "stats" }), head = table.createTHead().insertRow(), body = table.createTBody();
  head.append(make("th"), make("th", { scope: "col" }, "value"), make("th", { scope: "col" }, "gradient"));
  const row = (title, write) => {
    if (write(own) === null && write(gradient) === null) return;
    const line = body.insertRow();
    line.append(make("th", { scope: "row" }, title));
    for (const stats of [own, gradient]) {
      const shown = write(stats), field = line.insertCell();
      if (shown instanceof Element) field.append(shown); else field.textContent = shown === null ? "–" : shown;
    }
  };
  const one = size(box) <= 1 && (own || gradient).numbers !== undefined;  // of one number there are no statistics
  for (const [key, title] of one ? [] : STATISTICS)
    row(title, (stats) => {
      if (stats?.[key] === undefined) return null;
      return key === "zeros" ? `${plain(100 * stats[key], 3)} %` : plain(stats[key]);
    });
  row("", (stats) => (stats?.histogram ? histogram(stats.histogram) : null));
  const parts = body.rows.length ? [table] : [];
  for (const [title, stats] of [["value", own], ["gradient", gradient]])
    if (stats?.numbers !== undefined) parts.push(make("p", { class: "quiet" }, title), grid(stats.numbers));
  const around = make("div");
  around.append(...parts);
  return around;
}

function histogram([low, high, ...counts]) {
  const most = Math.max(...counts, 1), label = `Histogram from ${plain(low)} to ${plain(high)}`;
  const chart = draw("svg", { class: "histogram", viewBox: "0 0 100 36", role: "img", "aria-label": label });
  const step = 100 / counts.length;
  counts.forEach((count, i) => {
    const tall = count ? Math.max(1, (28 * count) / most) : 0;
    chart.append(draw("rect", { x: i * step + 0.4, y: 28 - tall, width: step - 0.8, height: tall }));
  });
  chart.append(draw("path", { class: "axis", d: "M0 28.5H100" }));
  const zero = (100 * -low) / (high - low);
  if (zero > 0 && zero < 100) chart.append(draw("path", { class: "axis", d: `M${zero} 27V31` }));
  const box = make("div", { class: "chart" }), ends = make("div", { class: "ends" });
  ends.append(make("span", {}, plain(low, 3)), make("span", {}, plain(high, 3)));
  box.append(chart, ends);
  return box;
}

// Numbers as a table: the last axis across, all others down.
function grid(numbers) {
  const table = make("table", { class: "grid" }), rows = [];
  const walkDown = (item, path) => {
    if (!Array.isArray(item)) rows.push([path, [item]]);
    else if (!item.length || !Array.isArray(item[0])) rows.push([path, item]);
    else item.forEach((inner, i) => walkDown(inner, [...path, i]));
  };
  walkDown(numbers, []);
  for (const [path, items] of rows) {
    const row = table.insertRow();
    if (path.length) row.append(make("th", { scope: "row" }, `[${path.join(", ")}]`));
    if (!items.length) row.append(make("td", { class: "quiet" }, "empty"));
    for (const item of items) row.append(make("td", {}, plain(item, 5)));
  }
  const around = make("div", { class: "scroll", tabindex: "0" });
  around.append(table);
  return around;
}

// ---- groups

function groupParts(cell) {
  const words = {
    module: "module", repeat: "repeat: turns that are alike", turn: "one turn of a repeat",
    section: "part of a longer run", rest: "turns that this page leaves out",
  };
  const amounts = Object.keys(METRICS).filter((name) => metric(cell, name) !== undefined);
  const metrics = amounts.map((name) => [METRICS[name].ofGroup || METRICS[name].title, metricText(cell, name)]);
  const ins = joined(cell, (box) => box.inputs.map((input) => input.cell));
  const outs = joined(cell, (box) => box.users.map(({ box: user }) => user.cell));
  const closed = "Its inside is not in this page, which would grow too large. Draw a part of the graph to see it.";
  return [
    make("p", { class: "quiet" }, words[cell.kind] || cell.kind),
    cell.mark ? make("p", { class: "message" }, cell.mark) : null,
    folds(cell) ? foldButton(cell, "Unfold") : make("p", { class: "hint" }, closed),
    listOf([["boxes", many(cell.size)], ["turns", cell.repeats ? many(cell.repeats) : null], ...metrics]),
    section("Inputs", links(ins.map((other) => [other, ""]))),
    section("Used by", links(outs.map((other) => [other, ""]))),
    section("Inside", links(cell.members.map((member) => [member, ""]), 60)), wants(cell),
  ];
}
