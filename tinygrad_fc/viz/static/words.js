// Numbers and names as people read them.

const UNITS = {
  s: [[1, "s"], [1e-3, "ms"], [1e-6, "µs"]],
  B: [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]],
  "": [[1e12, "trillion"], [1e9, "billion"], [1e6, "million"]],
};

const many = (count) => count.toLocaleString("en");

// JSON has no nan and no inf: they come as strings.
const value = (given) => (given === "nan" ? NaN : given === "inf" ? Infinity : given === "-inf" ? -Infinity : given);

function plain(given, digits = 4) {
  if (typeof given === "string") return given.replace("-inf", "−inf");
  if (given === null || given === undefined) return "–";
  if (given === 0) return "0";
  const size = Math.abs(given);
  const short = size < 1e5 && size >= 1e-3;
  const text = short ? String(Number(given.toPrecision(digits))) : given.toExponential(Math.max(0, digits - 2));
  return text.replace(/-/g, "−");
}

// Three digits and a fitting unit, as pictures and text have them (graph/figures.py).
function quantity(given, unit) {
  if (given === null || given === undefined) return "–";
  const units = UNITS[unit], rounded = Number(given.toPrecision(3));
  if (unit !== "s" && given < units.at(-1)[0]) return `${many(given)} ${unit}`.trim();
  const [size, name] = units.find(([least]) => rounded >= least) || units.at(-1);
  return `${given / size >= 999.5 ? many(Math.round(given / size)) : (given / size).toPrecision(3)} ${name}`;
}

// Control characters, the ones that turn the direction of writing and those that no XML may have are shown as a mark,
// spaces of all kinds as one. Joiners stay between letters that they are written between, as words.py has it.
function clean(text) {
  const joins = (mark, at, all) => "\u200c\u200d".includes(mark) && all[at - 1] > "\x7f" && all[at + 1] > "\x7f";
  return text.replace(/\s+/gu, " ").replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Noncharacter_Code_Point}]/gu,
    (mark, at, all) => (joins(mark, at, all) ? mark : "\ufffd"));
}

// Cut in the middle, by whole characters.
function clip(text, length) {
  const letters = Array.from(clean(text));
  const half = Math.floor(length / 2);
  if (letters.length <= length) return letters.join("");
  return `${letters.slice(0, half).join("")}…${letters.slice(1 - half).join("")}`;
}

const size = (box) => box.shape.reduce((product, length) => product * length, 1);
const hasResult = (box) => !box.dtype.startsWith("|V");  // an operation that failed has none
const shapeText = (box) => (hasResult(box) ? box.shape.join(" × ") || "scalar" : "no result");
const kindOf = (box) => (hasResult(box) ? `${shapeText(box)} ${box.dtype}` : shapeText(box));
const KIND_WORDS = { parameter: "leaf that needs a gradient", constant: "input, no gradient" };
const kindText = (box) => KIND_WORDS[box.kind] || `result of ${box.op}`;

function titleOf(cell, length = 34) {
  if (!cell.box) return clip(cell.label || cell.kind, length);
  const { op, label, kind } = cell.box;
  if (op && label) return clip(`${clip(label, length - 4)} = ${op}`, length + 14);
  return clip(op || label || (kind === "parameter" ? "parameter" : "input"), length);
}

// What a box is called in a sentence: with its number where others are called the same.
const shortName = (box) => box.label || box.op || (box.kind === "parameter" ? "parameter" : "input");
const nameOf = ({ box, label }) =>
  box ? [clip(shortName(box), 30), box.number].filter(Boolean).join(" ") : clip(label, 30);

function numberBoxes() {
  const own = model.boxes.filter(({ id }) => id < model.count), found = new Map();
  for (const box of own) found.set(shortName(box), (found.get(shortName(box)) || 0) + 1);
  for (const box of own) if (found.get(shortName(box)) > 1) box.number = `#${box.id}`;
}

const INFIX = { add: "+", subtract: "−", multiply: "·", divide: "/", true_divide: "/", matmul: "@", power: "**" };

// "y = a · b": what an operation computes, in its inputs' names.
function formula(box) {
  const given = new Map(box.inputs.map(({ argument, cell }) => [argument, nameOf(cell)]));
  for (const [key, text] of box.extras) given.set(key, clip(text, 20));
  const sign = INFIX[box.op], left = box.label ? `${clip(box.label, 30)} = ` : "";
  if (sign && given.has("x") && given.has("y")) return clip(`${left}${given.get("x")} ${sign} ${given.get("y")}`, 90);
  const named = new Set(box.extras.map(([key]) => key));
  const parts = [...given].map(([key, text], index) => (index && named.has(key) ? `${key}=${text}` : text));
  return clip(`${left}${box.op}(${parts.join(", ")})`, 90);
}

// The numbers of a small array on one line; null where they are not known.
function numbersLine(stats, digits = 3) {
  if (!stats || stats.numbers === undefined) return null;
  const write = (item) => (Array.isArray(item) ? `[${item.map(write).join(", ")}]` : plain(item, digits));
  return write(stats.numbers);
}

const boxCount = (cell) => `${many(cell.size)} ${cell.size === 1 ? "box" : "boxes"}`;

function groupText(cell) {
  const boxes = boxCount(cell);
  if (cell.kind === "rest") return `${boxes}, not in this page`;
  if (cell.kind === "repeat") return `${boxes} in ${many(cell.repeats)} turns`;
  return cell.members.length ? boxes : `${boxes}, not in this page`;
}
