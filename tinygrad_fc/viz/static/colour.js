// What the boxes are coloured by, and the legend. The tints stand in viewer.css; a number always stands beside a
// colour.

const look = { by: "kind", low: 0, high: 0, words: new Map() };

// `leaves` says whether a leaf has one: it takes no time, which is not the same as a time that is not known.
const METRICS = {
  time: { unit: "s", title: "time, forward and backward", of: timeOf, join: sum, leaves: false },
  memory: {
    unit: "B", title: "memory kept for backward", of: ({ facts }) => facts.saved_bytes, join: sum, leaves: false,
  },
  gradient: {
    unit: null, title: "norm of the gradient", ofGroup: "largest norm of a gradient",
    of: ({ facts }) => facts.gradient?.norm, join: largest, leaves: true,
  },
};
const measurable = ({ box }, name) =>
  !box || box.kind === "op" || (METRICS[name].leaves && box.kind === "parameter");
const plainly = (text) => make("span", { class: "entry" }, text);
const SHADES = 6, DTYPES = 6;

function sum(a, b) { return a == null ? b : b == null ? a : value(a) + value(b); }
function largest(a, b) { return a == null ? b : b == null ? a : Math.max(value(a), value(b)); }
function timeOf({ facts }) { return sum(facts.forward_seconds, facts.backward_seconds); }

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
  const odd = Number.isNaN(amount) ? "nan" : amount > 0 ? "inf" : "−inf";
  if (!Number.isFinite(amount)) return METRICS[name].unit ? odd : `‖g‖ ${odd}`;
  return METRICS[name].unit ? quantity(amount, METRICS[name].unit) : `‖g‖ ${plain(amount, 3)}`;
}

function colourBy(name) {
  look.by = name;
  if (METRICS[name]) {
    const positive = (amount) => Number.isFinite(amount) && amount > 0;
    const amounts = model.boxes.map((item) => metric(item.cell, name)).filter(positive);
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
  if (look.by === "kind" && item) return `kind-${item.output && item.kind === "op" ? "output" : item.kind}`;
  if (look.by === "kind") return "kind-group";
  if (look.by === "dtype") return item ? `dtype-${look.words.get(item.dtype)}` : "kind-group";
  if (!measurable(cell, look.by)) return `kind-${item.kind}`;
  const amount = metric(cell, look.by);
  if (amount == null) return "shade-none";
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
    const kinds = Object.keys(words).filter((kind) => found.has(kind));
    const parts = kinds.map((kind) => entry(`kind-${kind}`, words[kind]));
    if (model.boxes.some(smallNumbers)) parts.push(plainly("= value"), plainly("∂ gradient"));
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
    const cure = make("code", {}, "with tg.observe(values=True):");
    legend.replaceChildren(`${title}: not known. Run the computation under `, cure);
    return;
  }
  const scale = make("span", { class: "scale" });
  for (let shade = 0; shade < SHADES; shade++) scale.append(make("span", { class: `swatch shade-${shade}` }));
  const ends = [look.low, look.high].map((amount) => plainly(write(amount)));
  const parts = [`${title}: `, ends[0], scale, ends[1], entry("shade-none", "not known")];
  if (look.by === "gradient") parts.push(entry("shade-bad", "nan or inf"));
  legend.replaceChildren(...parts);
}
