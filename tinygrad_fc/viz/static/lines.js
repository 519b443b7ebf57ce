// The lines of one open group, from its points' places. A line leaves a rank straight down, crosses to the next rank as
// one curve, and goes straight on to what it ends at, so that it passes beside tall neighbours and not through them.

const TIP = 6, SPREAD = 13;

// Where lines meet a box or a folded group: each as straight below its source as the others leave room.
function spread(group, point, x) {
  const { inside } = group, member = group.members[point], ends = new Map();
  const edge = Math.max(0, across(member) / 2 - (way.right ? 8 : 11)), at = x[point];
  const sources = [...new Map(inside.above[point].map((s) => [`${s.a}:${s.out}`, s])).values()]
    .map((s) => ({ key: `${s.a}:${s.out}`, from: startOf(group, s, x) })).sort((a, b) => a.from - b.from);
  const step = sources.length > 1 ? Math.min(SPREAD, (2 * edge) / (sources.length - 1)) : 0;
  let last = -Infinity;
  const places = sources.map(({ from }, i) => {
    const rest = (sources.length - 1 - i) * step;
    last = Math.max(Math.min(Math.max(from, at - edge), at + edge - rest), last + step);
    return last;
  });
  sources.forEach(({ key }, i) => ends.set(key, places[i]));
  return ends;
}

function startOf(group, { a, out }, x) {
  const member = a < group.inside.members ? group.members[a] : null;
  if (!member || out < 0) return x[a];
  if (member.open) return x[a] + portShift(group, a, out, false);
  const count = member.inside ? member.inside.exits.length : 1;
  return x[a] + (out - (count - 1) / 2) * Math.min(SPREAD, (across(member) - 16) / Math.max(1, count));
}

// All lines of a group: from (u1, v1) straight to `under`, across to `over`, straight to (u2, v2); whether a tip is at
// the end, and the segments that they stand for.
function linesIn(group) {
  const { inside, laid } = group, { x, tops, bottoms } = laid, members = inside.members;
  const ends = group.members.map((member, point) => (member.open ? null : spread(group, point, x)));
  const found = new Map();
  for (const segment of inside.segments) {
    const { a, b, into } = segment;
    const from = a < members ? group.members[a] : null, to = b < members ? group.members[b] : null;
    const u1 = startOf(group, segment, x);
    const u2 = !to ? x[b] : to.open ? x[b] + portShift(group, b, into, true) : ends[b].get(`${a}:${segment.out}`);
    const rank = inside.rank[a], under = bottoms[rank], over = tops[rank + 1];
    const v1 = from ? from.v + along(from) : a < inside.firstExit ? 0 : tops[rank];
    const exit = b >= inside.firstExit && b < inside.firstLane;
    const v2 = to ? to.v : exit ? along(group) : over;
    const tip = Boolean(to) && !to.open;
    const key = `${a}|${u1}|${b}|${u2}`;
    if (found.has(key)) { found.get(key).segments.push(segment); continue; }
    found.set(key, { group, u1, v1, u2, v2, under, over, tip, segments: [segment] });
  }
  return [...found.values()];
}

function areaOf({ group, u1, v1, u2, v2, under, over }) {
  const [x1, y1] = spot(group, Math.min(u1, u2), Math.min(v1, under));
  const [x2, y2] = spot(group, Math.max(u1, u2), Math.max(v2, over));
  return [Math.min(x1, x2), Math.min(y1, y2), Math.abs(x1 - x2), Math.abs(y1 - y2)];
}

const written = (group, u, v) => spot(group, u, v).map((number) => Math.round(number * 10) / 10).join(" ");

function pathOf({ group, u1, v1, u2, v2, under, over, tip }) {
  const end = tip ? v2 - TIP : v2, low = tip && over >= end ? end : over, to = (u, v) => written(group, u, v);
  const straight = Math.abs(u1 - u2) < 0.5, bend = (low - under) * 0.55;
  const start = v1 < under - 0.5 ? `M${to(u1, v1)}L${to(u1, under)}` : `M${to(u1, under)}`;
  const bent = `C${to(u1, under + bend)} ${to(u2, low - bend)} ${to(u2, low)}`;
  const rest = end > low + 0.5 ? `L${to(u2, end)}` : "";
  return `${start}${straight ? `L${to(u2, low)}` : bent}${rest}`;
}

function tipOf({ group, u2, v2 }) {
  const foot = v2 - TIP - 1.2, to = (u, v) => written(group, u, v);
  return `M${to(u2 - 3.6, foot)}L${to(u2, v2 - 0.4)}L${to(u2 + 3.6, foot)}Z`;
}

// The segments that carry one array from a cell to its user, in every group on the way: calls `take(group, segment)`.
function follow(source, target, take) {
  const ups = [], downs = [], carried = source.result || source;
  let start = carried, end = target;
  while (start.parent !== end.parent) {
    if (start.depth >= end.depth) {
      ups.push([start.parent, start]);
      start = start.parent;
    } else {
      downs.push([end.parent, end]);
      end = end.parent;
    }
  }
  if (start === end) return;
  for (const [group, member] of ups) pass(group, carried.index, group.members.indexOf(member), "exit", take);
  pass(start.parent, carried.index, start.parent.members.indexOf(start), start.parent.members.indexOf(end), take);
  for (const [group, member] of downs) pass(group, carried.index, "entry", group.members.indexOf(member), take);
  // In an opened fused operation the line goes on to all that reads the array there.
  const nets = target.inside?.netsOf.get(carried.index) || [];
  for (const segment of target.inside?.segments || []) if (nets.includes(segment.net)) take(target, segment);
}

function pass(group, source, from, to, take) {
  const { inside } = group;
  const first = from === "entry" ? inside.members + inside.entries.findIndex((port) => port.includes(source)) : from;
  const last = to === "exit" ? inside.firstExit + inside.exits.findIndex((port) => port.includes(source)) : to;
  const ends = (point, wanted) => point === wanted || point >= inside.firstLane;
  for (const net of inside.netsOf.get(source) || []) {
    if (!inside.targets[net].has(last)) continue;
    for (const segment of inside.segments) {
      if (segment.net !== net || !ends(segment.a, first) || !ends(segment.b, last)) continue;
      const after = segment.a === first || inside.rank[segment.a] > inside.rank[first];
      const before = segment.b === last || inside.rank[segment.b] < inside.rank[last];
      if (after && before) take(group, segment);
    }
  }
}
