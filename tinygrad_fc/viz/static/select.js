// What is selected, and what leads to it and follows from it.

const chosen = {
  cell: null, quiet: false, wants: { up: true, down: true },
  up: new Set(), down: new Set(), upLines: new Set(), downLines: new Set(),
};

function choose(cell, { quiet = false, move = false } = {}) {
  chosen.cell = cell;
  chosen.quiet = quiet;
  refreshChoice();
  if (cell) svg.setAttribute("aria-activedescendant", `cell-${cell.index}`);
  else svg.removeAttribute("aria-activedescendant");
  fillPanel();
  dress();
  if (cell && move) reveal(cell);
}

// Select a cell wherever it is: unfold what hides it, and go there.
function goTo(cell) {
  uncover(cell);
  choose(cell);
  requestAnimationFrame(() => reveal(cell));  // after the panel has taken its room
}

function refreshChoice() {
  for (const set of [chosen.up, chosen.down, chosen.upLines, chosen.downLines]) set.clear();
  if (!chosen.cell || chosen.quiet) return;
  const start = new Set([...boxesIn(chosen.cell)]);
  if (chosen.wants.up) trace(start, ancestorsOf, chosen.up, chosen.upLines);
  if (chosen.wants.down) trace(start, descendantsOf, chosen.down, chosen.downLines);
}

const ancestorsOf = (box) => box.inputs.map(({ cell }) => [cell, cell, box.cell]);
const descendantsOf = (box) => box.users.map(({ box: user }) => [user.cell, box.cell, user.cell]);

function reach(start, next) {
  const found = new Set(start), stack = [...start], edges = [];
  while (stack.length) {
    for (const [cell, source, target] of next(stack.pop())) {
      edges.push([source, target]);
      if (cell.box && !found.has(cell.box)) { found.add(cell.box); stack.push(cell.box); }
    }
  }
  return { found, edges };
}

function trace(start, next, cells, lines) {
  const { found, edges } = reach(start, next);
  for (const box of found) if (!start.has(box)) cells.add(shownAs(box.cell));
  const done = new Set();
  for (const [source, target] of edges) {
    if (shownAs(source) === shownAs(target)) continue;
    const key = source.index * model.cells.length + target.index;
    if (done.has(key)) continue;
    done.add(key);
    follow(source, target, (group, segment) => { if (group.open) lines.add(segment); });
  }
  cells.delete(chosen.cell);
}

// ---- walking along lines with the arrow keys

const ARROWS = {  // to the inputs, to the users, and to both sides in a rank
  TB: ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"], BT: ["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight"],
  LR: ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], RL: ["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown"],
};

function neighbours(cell, key) {
  const [before, after, less] = ARROWS[way.name];
  if (key === before) return joined(cell, (box) => box.inputs.map((input) => input.cell));
  if (key === after) return joined(cell, (box) => box.users.map(({ box: user }) => user.cell));
  const group = cell.parent;
  if (!group) return [];
  const { inside } = group, point = group.members.indexOf(cell), side = key === less ? -1 : 1;
  const row = inside.rows[inside.rank[point]].filter((other) => other < inside.members);
  const other = row[row.indexOf(point) + side];
  return other === undefined ? [] : [group.members[other]];
}

function joined(cell, next) {
  const inner = new Set(boxesIn(cell)), found = new Set();
  for (const box of inner)
    for (const other of next(box)) if (!other.box || !inner.has(other.box)) found.add(shownAs(other));
  found.delete(cell);
  return [...found];
}

function walk(key) {
  if (!chosen.cell) return choose(scene.shown.find((cell) => !cell.open) || null, { move: true });
  const [before, after] = ARROWS[way.name];
  let options = neighbours(chosen.cell, key);
  if (!options.length && chosen.cell.open && key === after) options = [chosen.cell.members[0]];
  if (!options.length) return tell("No line leads on in this direction");
  const middle = (cell) => (way.right ? cell.y + cell.h / 2 : cell.x + cell.w / 2);
  const main = options.filter((cell) => !cell.box || cell.box.kind === "op");
  const far = (cell) => Math.abs(middle(cell) - middle(chosen.cell));
  const near = (main.length && key === before ? main : options).reduce((a, b) => (far(b) < far(a) ? b : a));
  choose(near, { move: true });
}

function tell(words) { document.getElementById("status").textContent = words; }
