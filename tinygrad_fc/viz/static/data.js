// The graph as the page holds it. Written by embed.py: the same names stand there.
//
// A cell is a place in the page: a box of the graph, or a group of cells. `model.cells[0]` is the root.

const model = { cells: [], boxes: [], forward: [], backward: [], ops: {}, notes: [], count: 0, options: {} };

async function readData() {
  const letters = atob(document.getElementById("data").textContent);
  const bytes = Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  fill(JSON.parse(await new Response(stream).text()));
}

function fill(data) {
  const text = (index) => (index < 0 ? null : data.strings[index]);
  model.cells = data.cells.map(([kind, label, , size, repeats, result], index) => ({
    index, kind, label: text(label), size, repeats, parent: null, members: [], box: null, inside: null, depth: 0,
    result, open: false, x: 0, y: 0, w: 0, h: 0, laid: null, mark: null,
  }));
  data.cells.forEach(([, , parent], index) => {
    if (parent < 0) return;
    const cell = model.cells[index];
    cell.parent = model.cells[parent];
    cell.depth = cell.parent.depth + 1;
    cell.parent.members.push(cell);
  });
  for (const [index, parts] of Object.entries(data.insides)) {
    const cell = model.cells[index];
    cell.inside = inside(cell, parts);
  }
  model.boxes = data.boxes.map((row, index) => box(row, data.facts[index] || {}, text));
  for (const item of model.boxes)
    for (const { argument, cell } of item.inputs)
      if (cell.box && (item.cell.parent.kind !== "fused" || cell.parent === item.cell.parent))
        cell.box.users.push({ argument, box: item });
  for (const cell of model.cells) {  // what a fused operation computes is the result of what it is composed of
    cell.result = cell.result < 0 ? null : model.cells[cell.result];
    if (cell.result) cell.result.box.users = cell.box.users;
  }
  for (const item of model.boxes)
    if (item.mark) for (let cell = item.cell; cell; cell = cell.parent) cell.mark = cell.mark || item.mark;
  model.forward = data.forward.map((index) => model.cells[index]);
  model.backward = data.backward.map((index) => model.cells[index]);
  for (const [name, op] of Object.entries(data.ops)) model.ops[text(Number(name))] = op;
  model.notes = data.notes;
  model.count = data.count;
  numberBoxes();
  for (const key of ["theme", "colour", "title", "embedded", "direction", "depth", "open", "all"])
    model.options[key] = data[key];
}

function box(row, facts, text) {
  const [id, cell, kind, op, name, variable, shape, dtype, module, line, mark, inputs, extras, output] = row;
  const made = {
    id, cell: model.cells[cell], kind: ["op", "parameter", "constant"][kind], op: text(op), name: text(name),
    variable: text(variable), shape: text(shape) ? text(shape).split(",").map(Number) : [], dtype: text(dtype),
    module: text(module), line: text(line), mark: text(mark), output: Boolean(output), users: [], number: "",
    inputs: inputs.map(([argument, index]) => ({ argument: text(argument), cell: model.cells[index] })),
    extras: extras.map(([key, value]) => [text(key), text(value)]),
    facts: {
      ...facts, source: facts.source === undefined ? null : text(facts.source),
      gives: facts.gives?.map(([argument, gradient, total]) => ({ argument: text(argument), gradient, total })),
    },
  };
  made.label = made.name || made.variable;
  made.cell.box = made;
  return made;
}

// Inside a group, points are numbered: members, entries (ports at the top), exits (ports at the bottom), lanes.
function inside(cell, [entries, exits, lanes, rows, flat, nets]) {
  const members = cell.members.length, first = members + entries.length, lane = first + exits.length;
  const segments = [];
  for (let i = 0; i < flat.length; i += 5)
    segments.push({ a: flat[i], out: flat[i + 1], b: flat[i + 2], into: flat[i + 3], net: flat[i + 4] });
  const rank = [];
  rows.forEach((row, index) => row.forEach((point) => { rank[point] = index; }));
  const made = {
    entries, exits, lanes, rows, segments, rank, count: lane + lanes.length, members, firstExit: first, firstLane: lane,
    netsOf: new Map(), targets: nets.map(() => new Set()), above: [], below: [],
  };
  for (let point = 0; point < made.count; point++) { made.above.push([]); made.below.push([]); }
  for (const segment of segments) {
    made.below[segment.a].push(segment);
    made.above[segment.b].push(segment);
    if (segment.b < lane) made.targets[segment.net].add(segment.b);
  }
  nets.forEach((sources, net) => sources.forEach((source) => {
    if (!made.netsOf.has(source)) made.netsOf.set(source, []);
    made.netsOf.get(source).push(net);
  }));
  return made;
}

// Every box inside a cell, the cell itself if it is one.
function* boxesIn(cell) {
  const stack = [cell];
  while (stack.length) {
    const top = stack.pop();
    if (top.box) yield top.box;
    for (let i = top.members.length - 1; i >= 0; i--) stack.push(top.members[i]);
  }
}

// The cell itself where it is in sight, else the folded group that hides it.
function shownAs(cell) {
  let shown = cell;
  for (let around = cell.parent; around; around = around.parent) if (!around.open) shown = around;
  return shown;
}
