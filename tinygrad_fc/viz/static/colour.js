// What the boxes are coloured by, and the legend. The tints stand in viewer.css; a number always stands beside a colour.

const look = { by: "kind", low: 0, high: 0, words: new Map() };

const METRICS = {
  time: { unit: "s", title: "time, forward and backward", of: ({ facts }) => sum(facts.forward_seconds, facts.backward_seconds), join: sum },
  memory: { unit: "B", title: "memory kept for backward", of: ({ facts }) => facts.saved_bytes, join: sum },
  gradient: { unit: null, title: "norm of the gradient", of: ({ facts }) => facts.gradient?.norm, join: largest },
};
const SHADES = 6, DTYPES = 6;

function sum(a, b) { return a === undefined || a === null ? b : b === undefined || b === null ? a : value(a) + value(b); }
function largest(a, b) { return a === undefined || a === null ? b : b === undefined || b === null ? a : Math.max(value(a), value(b)); }

const measured = new Map();
function metric(cell, name) {
  if (!measured.has(name)) measured.set(name, new Map());
  const known = measured.get(name);
  if (!known.has(cell)) {
    let total;
    for (const item of boxesIn(cell)) total = METRICS[name].join(total, METRICS[name].of(item));
    known.set(cell, typeof total === "string" ? value(total) : total);
  }
  return known.get(cell);
}

function metricText(cell, name) {
  const amount = metric(cell, name);
  if (amount === undefined || amount === null) return "not known";
  if (!Number.isFinite(amount)) return `${METRICS[name].unit ? "" : "‖g‖ "}${plain(String(amount).replace("Infinity", "inf").replace("NaN", "nan"))}`;
  return METRICS[name].unit ? quantity(amount, METRICS[name].unit) : `‖g‖ ${plain(amount, 3)}`;
}

function colourBy(name) {
  look.by = name;
  if (METRICS[name]) {
    const amounts = model.boxes.map((item) => metric(item.cell, name)).filter((amount) => Number.isFinite(amount) && amount > 0);
    look.low = Math.min(...[Infinity, ...amounts.slice(0, 50000)]);
    look.high = Math.max(...[0, ...amounts.slice(0, 50000)]);
  }
  if (name === "dtype") {
    const names = [...new Set(model.boxes.map((item) => item.dtype))].sort();
    look.words = new Map(names.map((dtype, index) => [dtype, Math.min(index, DTYPES - 1)]));
  }
}

// The class of a cell's fill.
function tint(cell) {
  const item = cell.box;
  if (look.by === "kind") return item ? `kind-${item.output && item.kind === "op" ? "output" : item.kind}` : "kind-group";
  if (look.by === "dtype") return item ? `dtype-${look.words.get(item.dtype)}` : "kind-group";
  const amount = metric(cell, look.by);
  if (amount === undefined || amount === null || Number.isNaN(amount)) return amount === undefined || amount === null ? "shade-none" : "shade-bad";
  if (!Number.isFinite(amount)) return "shade-bad";
  if (amount <= 0 || look.high <= 0) return "shade-0";
  const share = look.high > look.low ? Math.log(amount / look.low) / Math.log(look.high / look.low) : 1;
  return `shade-${Math.max(0, Math.min(SHADES - 1, Math.floor(share * SHADES)))}`;
}

function drawLegend() {
  const legend = document.getElementById("legend");
  const entry = (classes, text) => {
    const item = make("span", { class: "entry" });
    item.append(make("span", { class: `swatch ${classes}` }), text);
    return item;
  };
  const found = new Set(model.boxes.map((item) => (item.output && item.kind === "op" ? "output" : item.kind)));
  if (look.by === "kind") {
    const words = { op: "operation", output: "output", parameter: "needs a gradient", constant: "input, no gradient" };
    const parts = Object.keys(words).filter((kind) => found.has(kind)).map((kind) => entry(`kind-${kind}`, words[kind]));
    if (model.boxes.some(smallNumbers)) parts.push(make("span", { class: "entry" }, "= value"), make("span", { class: "entry" }, "∂ gradient"));
    legend.replaceChildren(...parts);
    return;
  }
  if (look.by === "dtype") {
    legend.replaceChildren(...[...look.words].map(([dtype, index]) => entry(`dtype-${index}`, dtype)));
    return;
  }
  const { title, unit } = METRICS[look.by];
  const write = (amount) => (unit ? quantity(amount, unit) : plain(amount, 3));
  if (!look.high) {
    legend.replaceChildren(`${title}: not known. Run the computation under `, make("code", {}, "with tg.observe(values=True):"));
    return;
  }
  const scale = make("span", { class: "scale" });
  for (let shade = 0; shade < SHADES; shade++) scale.append(make("span", { class: `swatch shade-${shade}` }));
  const parts = [`${title}: `, make("span", { class: "entry" }, write(look.low)), scale, make("span", { class: "entry" }, write(look.high)), entry("shade-none", "not known")];
  if (look.by === "gradient") parts.push(entry("shade-bad", "nan or inf"));
  legend.replaceChildren(...parts);
}
