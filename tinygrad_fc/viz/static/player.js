// The player: forward, the operations oldest first; then backward, in the order in which the engine visits them.
// Step 0 is before everything, steps 1 to F compute, steps F + 1 to F + B run the rules.

const at = { step: 0, running: new Set(), receiving: new Set(), flow: new Set(), playing: 0, waiting: () => false };
const last = () => model.forward.length + model.backward.length;
const order = { computed: new Map(), visited: new Map(), sums: new Map() };

function readSteps() {
  model.forward.forEach((cell, i) => { if (!order.computed.has(cell)) order.computed.set(cell, i + 1); });
  model.backward.forEach((cell, i) => {
    const step = model.forward.length + i + 1;
    if (!order.visited.has(cell)) order.visited.set(cell, step);
    for (const { argument, total } of cell.box?.facts.gives || []) {
      const parent = cell.box.inputs.find((input) => input.argument === argument)?.cell.box;
      if (!parent || !total) continue;
      if (!order.sums.has(parent)) order.sums.set(parent, []);
      order.sums.get(parent).push({ step, argument, total });
    }
  });
  document.getElementById("step").max = String(last());
}

// What is known of a box at this step: its value once it is computed, its gradient as the contributions add up.
function reached(box, which) {
  if (which === "value") return box.kind !== "op" || order.computed.get(box.cell) <= at.step ? box.facts.value : null;
  if (at.step <= model.forward.length) return null;
  const sums = order.sums.get(box);
  if (sums) return sums.findLast(({ step }) => step <= at.step)?.total ?? (box.output ? box.facts.gradient : null);
  if (box.output) return box.facts.gradient;
  const all = box.users.length && box.users.every(({ box: user }) => (order.visited.get(user.cell) ?? 0) <= at.step);
  return all ? box.facts.gradient : null;
}

const current = () => model.forward[at.step - 1] ?? model.backward[at.step - 1 - model.forward.length] ?? null;
const isBackward = () => at.step > model.forward.length;
const follows = () => document.getElementById("follow").checked;

function goToStep(step) {
  at.step = Math.max(0, Math.min(last(), step));
  const cell = current();
  at.running.clear();
  at.receiving.clear();
  at.flow.clear();
  at.waiting = isBackward() ? () => false : isLater;
  if (cell && follows()) uncover(cell);
  if (cell) {
    at.running.add(shownAs(cell));
    for (const { cell: source } of cell.box?.inputs || []) {
      if (isBackward() && source.box?.kind === "constant") continue;
      follow(source, cell, (group, segment) => at.flow.add(segment));
      if (isBackward() && shownAs(source) !== shownAs(cell)) at.receiving.add(shownAs(source));
    }
  }
  document.getElementById("step").value = String(at.step);
  const words = document.getElementById("said");
  words.textContent = words.title = said();
  if (cell) choose(shownAs(cell), { quiet: true, move: follows() });
  else choose(null);
  renew();
  if (at.step >= last()) pause();
}

// Whether nothing of a cell is computed yet.
function isLater(cell) {
  if (!cell.box && !cell.members.length) return order.computed.get(cell) > at.step;
  if (!cell.box) return [...firstOp(cell)].every((box) => order.computed.get(box.cell) > at.step);
  return cell.box.kind === "op" && order.computed.get(cell) > at.step;
}

function* firstOp(cell) {
  for (const box of boxesIn(cell)) if (box.kind === "op") { yield box; return; }
}

function said() {
  const cell = current(), [forward, backward] = [model.forward.length, model.backward.length];
  if (!cell) {
    const ways = [[forward, "forward"], [backward, "backward"]].filter(([count]) => count);
    const each = ways.map(([count, word]) => `${many(count)} ${word}`).join(", ");
    return last() ? `${many(last())} ${last() === 1 ? "step" : "steps"}: ${each}` : "no steps";
  }
  const where = `step ${many(at.step)} of ${many(last())}: ${isBackward() ? "backward" : "forward"}`;
  if (!cell.box) return `${where}, ${clip(cell.label, 40)} (${groupText(cell)})`;
  const { op, mark, facts: { gives, freed } } = cell.box, what = formula(cell.box), name = clip(op, 30);
  const named = what.includes(`${name}(`);  // "affine(x, w, b)" says which operation it is
  if (!isBackward())
    return `${where}, ${named ? "" : `${name}, `}${what}${hasResult(cell.box) ? "" : ", which fails"}`;
  const parts = gives ? [`${gives.length} ${gives.length === 1 ? "gradient" : "gradients"} given`] : [];
  if (gives && mark && !gives.length) parts[0] = "which fails";
  if (freed) parts.push(`${quantity(freed, "B")} freed`);
  return [`${where}, ${named ? what : `${name} (${what})`}`, ...parts].join(", ");
}

// Draw the boxes anew: numbers in them may have changed.
function renew() {
  if (scene.area) render(scene.area, scene.plain);
}

function play() {
  if (at.playing) return pause();
  if (at.step >= last()) goToStep(0);
  const button = document.getElementById("step-play");
  button.textContent = "Pause";
  button.setAttribute("aria-label", "Pause");
  const beat = () => {
    goToStep(at.step + 1);
    if (at.playing) at.playing = setTimeout(beat, Number(document.getElementById("speed").value));
  };
  at.playing = setTimeout(beat, 60);
}

function pause() {
  clearTimeout(at.playing);
  at.playing = 0;
  const button = document.getElementById("step-play");
  button.textContent = "Play";
  button.setAttribute("aria-label", "Play");
}

function watchPlayer() {
  const on = (id, act) => document.getElementById(id).addEventListener("click", () => {
    if (id !== "step-play") pause();
    act();
  });
  on("step-first", () => goToStep(0));
  on("step-back", () => goToStep(at.step - 1));
  on("step-play", play);
  on("step-next", () => goToStep(at.step + 1));
  on("step-last", () => goToStep(last()));
  document.getElementById("step").addEventListener("input", (event) => {
    pause();
    goToStep(Number(event.target.value));
  });
  document.getElementById("said").textContent = said();
}
