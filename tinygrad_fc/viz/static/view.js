// Pan, zoom and turn. A point (x, y) of the graph is seen at (k x + left, k y + top) of the window.

const stage = document.getElementById("stage");
// `goal` is where a glide that is under way leads.
const eye = { k: 1, left: 0, top: 0, goal: null, most: 4, fitted: true, welcomed: false, printing: false };
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const FAR = 0.32;  // below it words would be smaller than 4 pixels, and are not drawn
const THREAD = 0.02;  // boxes are dots of one or two pixels
const READABLE = 0.5, COMFORTABLE = 0.75;  // smaller words would be guessed at; are read with an effort

const windowSize = () => ({ w: stage.clientWidth, h: stage.clientHeight });
function seen() {
  const { w, h } = windowSize();
  return { x: -eye.left / eye.k, y: -eye.top / eye.k, w: w / eye.k, h: h / eye.k };
}

let asked = false;
function show() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(showNow);
}

function showNow() {
  asked = false;
  if (eye.printing) return;
  world.setAttribute("transform", `translate(${eye.left} ${eye.top}) scale(${eye.k})`);
  const area = seen(), drawn = scene.area, without = eye.k < FAR;
  const fits = (from, size) => area[from] >= drawn[from] && area[from] + area[size] <= drawn[from] + drawn[size];
  const inside = drawn && fits("x", "w") && fits("y", "h");
  const wasteful = drawn && drawn.w > 6 * area.w;  // zoomed in since: less has to be kept
  if (inside && !wasteful && scene.plain === without) return;
  render({ x: area.x - area.w / 2, y: area.y - area.h / 2, w: 2 * area.w, h: 2 * area.h }, without);
}

let gliding = 0;
function halt() {
  cancelAnimationFrame(gliding);
  eye.goal = null;
}

function look_at(target, smooth = true) {
  halt();
  const from = { ...eye }, begin = performance.now();
  if (!smooth || calm.matches || document.hidden) {
    Object.assign(eye, target);
    return show();
  }
  eye.goal = target;
  const step = (now) => {
    const t = Math.min(1, (now - begin) / 260), e = 1 - (1 - t) ** 3;
    for (const key of ["k", "left", "top"]) eye[key] = from[key] + (target[key] - from[key]) * e;
    showNow();
    if (t < 1) gliding = requestAnimationFrame(step);
    else eye.goal = null;
  };
  gliding = requestAnimationFrame(step);
}

// The scale at which all of the graph is in the window.
function scaleOfAll() {
  const { w, h } = windowSize(), root = model.cells[0], margin = w < 600 ? 14 : 28;
  return Math.min(1.25, (w - 2 * margin) / Math.max(1, root.w), (h - 2 * margin) / Math.max(1, root.h));
}

// After much was folded or unfolded: all of it, but where that would be a thread of dots, where it begins.
function overlook() {
  if (scaleOfAll() < THREAD) begin(); else fit();
}

function fit(smooth = true) {
  const { w, h } = windowSize(), root = model.cells[0], k = Math.max(1e-4, scaleOfAll());
  look_at({ k, left: (w - k * root.w) / 2, top: (h - k * root.h) / 2 }, smooth);
  eye.fitted = true;
}

// At first the words should be readable: all of it where that can be, else what is computed first. Where nothing was
// said about the direction, a graph that is too tall for a low window, as in a notebook, runs to the right.
function welcome() {
  if (!stage.clientWidth || !stage.clientHeight) return;  // a frame that is not shown yet: when it has a size
  eye.welcomed = true;
  if (!model.options.direction && scaleOfAll() < COMFORTABLE) {
    const tall = scaleOfAll();
    lay("LR");
    if (scaleOfAll() < 1.3 * tall) lay("TB");
  }
  begin();
}

function begin() {
  eye.fitted = scaleOfAll() >= READABLE;
  if (eye.fitted) return fit(false);
  const { w, h } = windowSize(), root = model.cells[0], k = w < 600 ? 0.6 : COMFORTABLE;
  const first = way.back ? -Infinity : Infinity, lead = scene.shown.find((cell) => !cell.open) || root;
  const left = way.right ? first : w / 2 - k * (lead.x + lead.w / 2);
  const top = way.right ? h / 2 - k * (lead.y + lead.h / 2) : first;
  look_at({ k, left: within(left, w, k * root.w), top: within(top, h, k * root.h) }, false);
}

// Place everything anew in another direction.
function lay(direction) {
  turnTo(direction);
  settle();
}

function turn() {
  lay(way.right ? "TB" : "LR");
  refreshChoice();
  begin();
  if (chosen.cell) reveal(chosen.cell, false);
  tell(way.right ? "From left to right" : "From top to bottom");
}

function zoom(factor, x = windowSize().w / 2, y = windowSize().h / 2) {
  halt();
  const k = Math.max(Math.min(0.2, eye.k, scaleOfAll() / 2), Math.min(eye.most, eye.k * factor));
  eye.left = x - (x - eye.left) * (k / eye.k);
  eye.top = y - (y - eye.top) * (k / eye.k);
  eye.k = k;
  eye.fitted = false;
  show();
}

// Bring a cell into the window; nothing moves if it is there already, or will be when the window stands still.
function reveal(cell, smooth = true) {
  const { w, h } = windowSize(), root = model.cells[0], from = eye.goal || eye, edge = 8;
  const k = from.k < READABLE ? Math.max(from.k, Math.min(COMFORTABLE, w / (cell.w + 40))) : from.k;
  const x = from.left + cell.x * k, y = from.top + cell.y * k;
  const inX = x >= edge && x + cell.w * k <= w - edge, inY = y >= edge && y + Math.min(cell.h * k, h / 2) <= h - edge;
  if (k === from.k && inX && inY) return;
  eye.fitted = false;
  const down = cell.y + Math.min(cell.h / 2, h / 3 / k);
  const left = within(w / 2 - k * (cell.x + cell.w / 2), w, k * root.w);
  look_at({ k, left, top: within(h / 2 - k * down, h, k * root.h) }, smooth);
}

// Where the graph begins in the window, so that no room is left empty that the graph could fill.
function within(start, room, length, margin = 20) {
  if (length + 2 * margin <= room) return (room - length) / 2;
  return Math.min(margin, Math.max(room - margin - length, start));
}

function watchPointer() {
  const fingers = new Map();
  let moved = 0, gap = 0;
  const spot = (event) => {
    const frame = svg.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  };
  svg.addEventListener("wheel", (event) => {
    // Inside another page the wheel scrolls that one, until somebody has clicked into the graph.
    const ours = event.ctrlKey || event.metaKey || (document.hasFocus() && document.activeElement === svg);
    if (model.options.embedded && !ours) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 20 : 1;
    const turn = Math.max(-240, Math.min(240, event.deltaY * lines));
    zoom(Math.exp(-turn * (event.ctrlKey ? 0.008 : 0.0018)), ...spot(event));
  }, { passive: false });
  svg.addEventListener("pointerdown", (event) => {
    if (event.button > 1) return;
    halt();
    if (!fingers.size) moved = 0;
    fingers.set(event.pointerId, spot(event));
    gap = spacing(fingers);
  });
  svg.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const [x, y] = spot(event), [px, py] = fingers.get(event.pointerId);
    moved += Math.abs(x - px) + Math.abs(y - py);
    if (moved < 4) return;
    if (!svg.hasPointerCapture(event.pointerId)) svg.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [x, y]);
    eye.left += (x - px) / fingers.size;
    eye.top += (y - py) / fingers.size;
    eye.fitted = false;
    if (fingers.size === 2) {
      const now = spacing(fingers), [first, second] = [...fingers.values()];
      if (gap > 0) zoom(now / gap, (first[0] + second[0]) / 2, (first[1] + second[1]) / 2);
      gap = now;
    }
    svg.classList.add("dragging");
    show();
  });
  const lift = (event) => {
    fingers.delete(event.pointerId);
    gap = spacing(fingers);
    svg.classList.remove("dragging");
  };
  svg.addEventListener("pointerup", lift);
  svg.addEventListener("pointercancel", lift);
  svg.addEventListener("click", (event) => { if (moved < 4) clicked(event); });
  svg.addEventListener("dblclick", (event) => {
    const element = event.target.closest("[data-cell]");
    const cell = element && model.cells[Number(element.dataset.cell)];
    if (cell && !event.target.closest("[data-toggle]")) toggle(cell);
  });
  new ResizeObserver(() => {
    if (!eye.welcomed) welcome();
    else if (eye.fitted) {
      fit(false);
      if (at.step && follows() && eye.k < READABLE) reveal(shownAs(current()), false);  // the panel took its room
    } else show();
  }).observe(stage);
}

function spacing(fingers) {
  const [first, second] = [...fingers.values()];
  return second ? Math.hypot(first[0] - second[0], first[1] - second[1]) : 0;
}

function clicked(event) {
  svg.focus({ preventScroll: true });
  const head = event.target.closest("[data-toggle]"), element = event.target.closest("[data-cell]");
  if (head) toggle(model.cells[Number(head.dataset.toggle)]);
  else choose(element ? model.cells[Number(element.dataset.cell)] : null);
}
