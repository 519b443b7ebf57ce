// What happens at a step, as the panel tells it: what runs, on which numbers, what each rule gives, and where that adds
// up.

function stepPart(box) {
  if (!at.step || current() !== box.cell) return null;
  const title = `Step ${many(at.step)}: ${isBackward() ? "backward" : "forward"}`;
  const what = make("p", { class: "formula" }, formula(box));
  if (!isBackward()) {
    const inputs = new Set(box.inputs.map(({ cell }) => cell).filter((cell) => cell.box));
    const read = [...inputs].map((cell) => briefly(`${nameOf(cell)} is`, cell.box.facts.value));
    return section(title, what, ...read, briefly("it is now", box.facts.value));
  }
  const { facts } = box, needed = box.inputs.filter(({ cell }) => cell.box?.kind !== "constant");
  const gives = facts.gives || needed.map(({ argument }) => ({ argument })), list = make("ol", { class: "gives" });
  const g = reached(box, "gradient") || facts.gradient;
  list.append(...gives.map((given) => giveItem(box, given, g)));
  const before = (order.sums.get(box)?.length || 0) + box.output;  // backward itself starts from an output
  const arrived = briefly(before > 1 ? `g, the sum of ${before} that arrived, is` : "g, which arrived, is", g);
  const freed = facts.freed ? make("p", {}, `${quantity(facts.freed, "B")} of what it kept are freed`) : null;
  return section(title, what, arrived, list, freed, facts.gives || noNumbers(box) ? null : hint());
}

// What one rule gives to one input.
function giveItem(box, { argument, gradient, total }, g) {
  const op = model.ops[box.op], source = box.inputs.find((input) => input.argument === argument)?.cell;
  const item = make("li"), name = source ? nameOf(source) : argument;
  item.append("to ", source ? button(name, () => goTo(source), { class: "link" }) : name, ` (${argument})`);
  const key = op && argument in op.reads ? argument : argument.replace(/\[\d+\]$/, "");
  const rule = make("p", { class: "rule" }), text = op?.formulas[key] || "g";
  rule.append(make("span", { class: "quiet" }, "by the rule "), make("span", { class: "mono" }, text));
  item.append(rule);
  const known = new Map([["g", scalarText(g)]]);
  for (const read of op?.reads[key] || []) {
    const input = box.inputs.find((each) => each.argument === read)?.cell.box;
    const stats = read === "out" ? box.facts.value : input?.facts.value;
    const number = box.extras.find(([extra]) => extra === read)?.[1];
    known.set(read, number === undefined ? scalarText(stats) : scalarText({ numbers: Number(number) }));
    const line = number === undefined ? briefly(`${read} is`, stats) : told(`${read} is`, clip(number, 60));
    if (line) item.append(line);
  }
  const filled = filledIn(text, known);
  if (filled) item.append(told("with its numbers", filled));
  for (const line of [briefly("gives", gradient), source && total ? sumLine(source.box, argument) : null])
    if (line) item.append(line);
  return item;
}

// Where several gradients meet: what was there, and what is there now.
function sumLine(source, argument) {
  const sums = order.sums.get(source) || [];
  const place = sums.findIndex((one) => one.step === at.step && one.argument === argument);
  if (place < 0 || (sums.length < 2 && !source.output)) return null;
  if (!place && source.output) return briefly("makes, with what backward starts from there,", sums[place].total);
  if (!place) return told(`the first of ${sums.length} that arrive there`, "");
  const line = briefly("added to", sums[place - 1].total), now = briefly("makes", sums[place].total);
  if (line && now) line.append(" ", ...now.childNodes);
  return line;
}

const scalarText = (stats) => (Number.isFinite(stats?.numbers) ? plain(stats.numbers) : null);

// A rule with numbers in the place of names; null where they are not all single numbers, or there is no name but g.
function filledIn(text, known) {
  if (known.size < 2 || [...known.values()].includes(null)) return null;
  return text.replace(/(?<![\w.])[A-Za-z_]\w*(?![\w(])/g, (name, place) => {
    const number = known.get(name) ?? name, alone = text[place - 1] === "(" && text[place + name.length] === ")";
    return number.startsWith("−") && !alone ? `(${number})` : number;
  });
}

function told(title, text) {
  const line = make("p", { class: "briefly" });
  line.append(make("span", { class: "quiet" }, `${title} `), make("span", { class: "mono" }, text));
  return line;
}

// An array in one line: its numbers where they are few, else what is typical of them.
function briefly(title, stats) {
  if (!stats) return null;
  const few = stats.numbers !== undefined && JSON.stringify(stats.numbers).length < 120;
  const typical = ["mean", "norm", "min", "max"].filter((key) => stats[key] !== undefined);
  const text = few ? numbersLine(stats, 4) : typical.map((key) => `${key} ${plain(stats[key], 3)}`).join(", ");
  return told(title, text || "–");
}
