// Folding and unfolding. What is opened or closed stays where it is in the window, and the rest makes room.

const ROOM = 80;  // boxes that are in sight at first
const MOTION = { duration: 200, easing: "ease-out" };

const folds = (cell) => cell.members.length > 0;

function setOpen(cell, open) {
  if (!folds(cell) || cell.open === open) return false;
  cell.open = open;
  unsettle(cell);
  return true;
}

function toggle(cell) {
  if (!folds(cell) || !cell.parent) return;
  const x = cell.x * eye.k + eye.left, y = cell.y * eye.k + eye.top, wide = cell.w * eye.k;
  setOpen(cell, !cell.open);
  rearrange(() => {
    // Its top stays, and its middle, or the side that it begins from.
    eye.left = way.right ? x - cell.x * eye.k : x + wide / 2 - (cell.x + cell.w / 2) * eye.k;
    eye.top = y - cell.y * eye.k;
  });
  eye.fitted = false;
  tell(`${nameOf(cell)} ${cell.open ? "unfolded" : "folded"}`);
}

// Place and draw anew; boxes that were in sight before glide to where they are now.
function rearrange(keep = null) {
  const before = new Map([...scene.elements.keys()].map((cell) => [cell, [cell.x, cell.y]]));
  const old = { left: eye.left, top: eye.top };
  halt();
  settle();
  if (keep) keep();
  refreshChoice();
  showNow();
  document.getElementById("depth").textContent = String(levels());
  if (calm.matches || scene.elements.size > 600) return;
  for (const [cell, element] of scene.elements) {
    const start = before.get(cell);
    if (!start || cell.open) {
      element.animate?.([{ opacity: 0 }, { opacity: 1 }], MOTION);
      continue;
    }
    const dx = start[0] - cell.x + (old.left - eye.left) / eye.k, dy = start[1] - cell.y + (old.top - eye.top) / eye.k;
    if (Math.abs(dx) + Math.abs(dy) > 1)
      element.animate?.([{ transform: `translate(${dx}px, ${dy}px)` }, { transform: "none" }], MOTION);
  }
  layers.lines.animate?.([{ opacity: 0.2 }, { opacity: 1 }], { duration: 240, easing: "ease-out" });
}

function foldAll() {
  for (const cell of model.cells) if (cell.parent) setOpen(cell, false);
  rearrange();
  overlook();
}

function openTo(depth) {
  for (const cell of model.cells) if (cell.parent) setOpen(cell, cell.depth <= depth && cell.kind !== "fused");
  rearrange();
  overlook();
}

// The number of levels that are open everywhere.
function levels() {
  let least = Infinity, most = 0;
  for (const cell of scene.shown) {
    if (!folds(cell) || cell.kind === "fused") continue;
    if (cell.open) most = Math.max(most, cell.depth);
    else least = Math.min(least, cell.depth - 1);
  }
  return Math.min(least, most);
}

// Open what hides a cell.
function uncover(cell) {
  let changed = false;
  for (let around = cell.parent; around; around = around.parent) changed = setOpen(around, true) || changed;
  if (changed) {
    rearrange();
    eye.fitted = false;
  }
}

// At first as much is open as leaves the boxes countable, or as was asked for: from the outside in; of turns that are
// alike, the first.
function openSome() {
  const root = model.cells[0], { depth, all, open } = model.options, queue = [root], asked = all || depth >= 0;
  root.open = true;
  let count = root.members.length;
  for (let i = 0; i < queue.length; i++) {
    for (const member of queue[i].members) {
      if (!folds(member) || member.kind === "fused") continue;
      if (!asked && count + member.members.length - 1 > ROOM) continue;
      if (depth >= 0 && modulesTo(member) > depth) continue;
      if (!all && member.kind === "turn" && member !== firstTurn(member.parent)) continue;
      count += member.members.length - 1;
      member.open = true;
      queue.push(member);
    }
  }
  const chosen = new Set(open);
  for (const { id, cell } of model.boxes)
    if (chosen.has(id)) for (let around = cell; around; around = around.parent) around.open = folds(around);
}

const firstTurn = (repeat) => repeat.members.find((member) => member.kind === "turn");

function modulesTo(cell) {
  let count = 0;
  for (let around = cell; around; around = around.parent) count += around.kind === "module";
  return count;
}
