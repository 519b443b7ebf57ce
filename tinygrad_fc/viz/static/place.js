// Sizes from the inside out, places from the outside in. The ranks and orders were computed in Python (layout.py); here
// each rank gets a height, and each point a place across, by sweeps that line points up with what they are joined to.
//
// The computation runs down, or in another direction. Inside a group a place is (u, v): u across the ranks, v along
// them, from the first; `spot` says where that is in the picture.

const FONT = "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif";
const MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";
const TITLE = 12.5, SMALL = 10.5, LINE = 15;           // font sizes and the height of a small line
const HEAD = 28, PAD = 18;                  // header and padding of a group
const GAP = 26, LANE = 13, RISE = 30;       // between boxes and between lines of a rank, and between ranks
const EDGE = 14;                                        // between the border of a group and the first and last rank
const NUMBER_GAP = 5;                                   // between a name and the number of the box
const WIDEST = 320, TIPS = 10;                           // a box is as wide as its lines need, up to a width
// How strongly segments pull their ends into line, and how firmly points hold their places against others.
const NEAR = { lanes: 8, main: 4, branch: 0.04, source: 0.001, other: 1 };
const HOLD = { lane: 0.2, member: 1, source: 0.02, idle: 0.005 };

const way = { name: "TB", right: false, back: false };  // right: along is across the page; back: up, or to the left
const across = (cell) => (way.right ? cell.h : cell.w);
const along = (cell) => (way.right ? cell.w : cell.h);

function spot(group, u, v) {
  const far = way.back ? along(group) - v : v;
  return way.right ? [group.x + far, group.y + u] : [group.x + u, group.y + far];
}

function turnTo(name) {
  Object.assign(way, { name, right: name === "LR" || name === "RL", back: name === "BT" || name === "RL" });
  for (const cell of model.cells) cell.laid = null;
}

const isGroup = (cell) => !cell.box || cell.members.length > 0;  // a fused operation is both, a box and a group
const pen = document.createElement("canvas").getContext("2d");
const widths = new Map();
function width(text, font) {
  const key = font + text;
  if (!widths.has(key)) { pen.font = font; widths.set(key, pen.measureText(text).width); }
  return widths.get(key);
}

// The lines of a box: what it is, its arguments, its shape, and numbers where there are few.
function linesOf(cell) {
  if (cell.lines) return cell.lines;
  const lines = [{ text: titleOf(cell), class: "name", number: cell.box?.number }];
  if (cell.box) {
    for (const [key, text] of cell.box.extras.slice(0, 3))
      lines.push({ text: clip(`${key} = ${text}`, 30), class: "small" });
    lines.push({ text: clip(kindOf(cell.box), 40), class: "small", metric: true });
    if (smallNumbers(cell.box)) lines.push({ text: "", class: "number", of: "value" });
    if (smallNumbers(cell.box) && cell.box.kind !== "constant")
      lines.push({ text: "", class: "number", of: "gradient" });
  } else {
    lines.push({ text: groupText(cell), class: "small", metric: true });
  }
  cell.lines = lines;
  return lines;
}

const hasNumbers = ({ facts }) => facts.value?.numbers !== undefined || facts.gradient?.numbers !== undefined;
const smallNumbers = (box) => size(box) <= 4 && size(box) > 0 && hasNumbers(box);
const NAME_FONT = `600 ${TITLE}px ${FONT}`, SMALL_FONT = `${SMALL}px ${FONT}`, NUMBER_FONT = `${SMALL}px ${MONO}`;

function measure(cell) {
  if (cell.boxWidth) return;
  let wide = 0;
  for (const line of linesOf(cell)) {
    const font = line.class === "name" ? NAME_FONT : line.class === "number" ? NUMBER_FONT : SMALL_FONT;
    const texts = line.of ? [`∂ ${numbersLine(cell.box.facts[line.of]) || "0.0000"}`] : [line.text];
    if (line.metric) texts.push("‖g‖ 0.000000");
    const number = line.number ? NUMBER_GAP + width(line.number, SMALL_FONT) : 0;
    wide = Math.max(wide, ...texts.map((text) => number + width(text, font)));
  }
  cell.boxWidth = Math.ceil(Math.max(54, wide + (isGroup(cell) ? 46 : 24)));
  cell.boxHeight = 13 + TITLE + (linesOf(cell).length - 1) * LINE;
}

function sizeOf(cell) {
  if (cell.open) {
    if (!cell.laid) cell.laid = layInside(cell);
    cell.w = cell.laid.w;
    cell.h = cell.laid.h;
  } else {
    measure(cell);
    cell.w = cell.boxWidth;
    cell.h = cell.boxHeight;
  }
}

// Forget what was laid out around a cell whose size changes.
function unsettle(cell) {
  for (let around = cell; around; around = around.parent) around.laid = null;
}

function layInside(group) {
  const { inside } = group, count = inside.count;
  const w = new Float64Array(count), x = new Float64Array(count), h = new Float64Array(count);
  group.members.forEach((member, point) => {
    sizeOf(member);
    const tips = Math.min(WIDEST, inside.above[point].length * TIPS + 12);
    if (!member.open) member[way.right ? "h" : "w"] = Math.max(across(member), tips);
    w[point] = across(member);
    h[point] = along(member);
  });
  const rows = inside.rows;
  for (const row of rows) {  // to begin with: side by side, around the middle
    let at = 0;
    row.forEach((point, i) => { if (i) at += apart(group, row[i - 1], point, w); x[point] = at; });
    for (const point of row) x[point] -= at / 2;
  }
  // The last sweep is downwards, so that chains hang straight from where they begin; then what has nothing above it
  // moves to what it is used by.
  for (let sweep = 0; sweep < 7; sweep++)
    for (let i = 0; i < rows.length; i++)
      alignRow(group, rows[sweep % 2 ? rows.length - 1 - i : i], x, w, sweep % 2 === 0, sweep % 2 === 1);
  for (let i = rows.length - 2; i >= 0; i--) alignRow(group, rows[i], x, w, true, false, true);
  straighten(group, x, w);
  let left = Infinity, right = -Infinity;
  for (let point = 0; point < count; point++) {
    left = Math.min(left, x[point] - w[point] / 2);
    right = Math.max(right, x[point] + w[point] / 2);
  }
  // The header stands at the top of the group, whichever way the computation runs.
  const root = !group.parent, head = root ? 0 : headWidth(group) + 8, pad = root ? 0 : PAD, edge = root ? 0 : 4;
  const before = way.right && !root ? HEAD + 6 : pad, room = way.right ? 0 : head - 2 * pad;
  const wide = Math.max(right - left, room);
  const shift = before - left + (wide - (right - left)) / 2;
  for (let point = 0; point < count; point++) x[point] += shift;
  const tops = new Float64Array(rows.length), bottoms = new Float64Array(rows.length);
  let v = root ? 0 : way.right || way.back ? edge : HEAD;
  rows.forEach((row, i) => {
    tops[i] = v;
    bottoms[i] = v + row.reduce((most, point) => Math.max(most, h[point]), 0);
    v = bottoms[i];
    if (i + 1 === rows.length || (root && i === 0 && !row.length)) return;
    v += rise(inside, row, x, !root && (i === 0 || i === rows.length - 2) ? EDGE : RISE);
  });
  if (root && !rows.at(-1).length) v = bottoms[rows.length - 2] || v;
  v += !root && way.back && !way.right ? HEAD : edge;
  const slack = way.right ? Math.max(0, head - v) : 0;
  for (let i = 0; i < rows.length; i++) { tops[i] += slack / 2; bottoms[i] += slack / 2; }
  const size = [wide + before + pad, v + slack];
  if (way.right) size.reverse();
  group.members.forEach((member, point) => {
    // Beside a tall neighbour, what begins here stands near its users, what ends here near its sources.
    const spare = bottoms[inside.rank[point]] - tops[inside.rank[point]] - h[point];
    const share = !inside.above[point].length ? 1 : !inside.below[point].length ? 0 : 0.5;
    member.u = x[point] - w[point] / 2;
    member.v = tops[inside.rank[point]] + spare * share;
  });
  return { w: size[0], h: size[1], x, tops, bottoms };
}

// Lines that pass several ranks keep one place across as long as there is room: a bend has a reason.
function straighten(group, x, w) {
  const { inside } = group, rows = inside.rows, place = [];
  for (const row of rows) row.forEach((point, i) => { place[point] = i; });
  const isLane = (point) => point >= inside.firstLane;
  for (let lane = inside.firstLane; lane < inside.count; lane++) {
    if (inside.above[lane].some(({ a }) => isLane(a))) continue;  // not the first of its line
    let run = [], low = -Infinity, high = Infinity, wish = 0;
    const settle = () => { for (const point of run) x[point] = Math.max(low, Math.min(high, wish / run.length)); };
    for (let point = lane; point !== undefined; point = inside.below[point].find(({ b }) => isLane(b))?.b) {
      const row = rows[inside.rank[point]], i = place[point];
      const least = i ? x[row[i - 1]] + apart(group, row[i - 1], point, w) : -Infinity;
      const most = i + 1 < row.length ? x[row[i + 1]] - apart(group, point, row[i + 1], w) : Infinity;
      if (Math.max(low, least) > Math.min(high, most) + 0.01) {
        settle();
        [run, low, high, wish] = [[], -Infinity, Infinity, 0];
      }
      [low, high, wish] = [Math.max(low, least), Math.min(high, most), wish + x[point]];
      run.push(point);
    }
    settle();
  }
}

// Longer ways across need more height, or the lines lie flat.
function rise(inside, row, x, least) {
  let far = 0;
  for (const point of row) for (const { b } of inside.below[point]) far = Math.max(far, Math.abs(x[point] - x[b]));
  return least + Math.min(46, far * 0.06 + (least < RISE && far > 8 ? 10 : 0));
}

function apart(group, a, b, w) {
  const boxes = (a < group.inside.members) + (b < group.inside.members);
  const gap = [LANE, (GAP + LANE) / 2, way.right ? GAP - 8 : GAP][boxes];
  return (w[a] + w[b]) / 2 + gap;
}

// Where a line meets a member, from the member's middle: at the port of an open group, in the middle of all else.
function portShift(group, point, port, entering) {
  const member = point < group.inside.members ? group.members[point] : null;
  if (!member || !member.open || port < 0) return 0;
  const first = entering ? member.inside.members : member.inside.firstExit;
  return member.laid.x[first + port] - across(member) / 2;
}

// Move the points of one rank to where their neighbours want them, with their order and their distances kept: pools of
// adjacent violators, which gives the least sum of squares.
function alignRow(group, row, x, w, fromAbove, fromBelow, starts = false) {
  if (!row.length) return;
  const { inside } = group, pools = [];
  let offset = 0;
  row.forEach((point, i) => {
    if (i) offset += apart(group, row[i - 1], point, w);
    let weight = 0, total = 0;
    const pull = (segment, other, shift) => {
      const strength = strengthOf(inside, segment);
      weight += strength;
      total += strength * (x[other] + shift);
    };
    const offset_of = (s) => portShift(group, s.a, s.out, false) - portShift(group, s.b, s.into, true);
    if (fromAbove) for (const s of inside.above[point]) pull(s, s.a, offset_of(s));
    if (fromBelow || (starts && !inside.above[point].length))
      for (const s of inside.below[point]) pull(s, s.b, -offset_of(s));
    const wish = weight ? total / weight : x[point];
    const kind = point >= inside.firstLane ? "lane" : inside.above[point].length ? "member" : "source";
    const hold = HOLD[weight ? kind : "idle"];
    pools.push({ weight: hold, total: hold * (wish - offset), count: 1 });
    while (pools.length > 1) {
      const last = pools.at(-1), before = pools.at(-2);
      if (before.total / before.weight <= last.total / last.weight) break;
      const [weight, total] = [before.weight + last.weight, before.total + last.total];
      pools.splice(-2, 2, { weight, total, count: before.count + last.count });
    }
  });
  let i = 0;
  offset = 0;
  for (const pool of pools)
    for (let k = 0; k < pool.count; k++, i++) {
      if (i) offset += apart(group, row[i - 1], row[i], w);
      x[row[i]] = pool.total / pool.weight + offset;
    }
}

function strengthOf(inside, { a, b }) {
  if (a >= inside.firstLane) return b >= inside.firstLane ? NEAR.lanes : NEAR.branch;
  if (a < inside.members && !inside.above[a].length) return NEAR.source;
  return inside.below[a].length === 1 ? NEAR.main : NEAR.other;
}

// Give every cell in sight its place in the picture.
function placeAll() {
  const root = model.cells[0];
  sizeOf(root);
  root.x = root.y = 0;
  const shown = [], stack = [root];
  while (stack.length) {
    const cell = stack.pop();
    shown.push(cell);
    if (!cell.open) continue;
    for (const member of cell.members) {
      [member.x, member.y] = spot(cell, member.u, member.v + (way.back ? along(member) : 0));
    }
    for (let i = cell.members.length - 1; i >= 0; i--) stack.push(cell.members[i]);
  }
  return shown;
}
