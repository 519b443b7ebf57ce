// The lines of one open group, from its points' places. A line leaves a rank straight down, crosses to the next rank as
// one curve, and goes straight on to what it ends at, so that it passes beside tall neighbours and not through them.

const TIP = 6, SPREAD = 13;

// Where lines meet the top of a box or of a folded group: each as straight below its source as the others leave room.
function spread(group, point, x) {
  const { inside } = group, member = group.members[point], ends = new Map();
  const edge = Math.max(0, member.w / 2 - 11), at = x[point];
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
  return x[a] + (out - (count - 1) / 2) * Math.min(SPREAD, (member.w - 24) / Math.max(1, count));
}

// All lines of a group: path, whether a tip belongs to the end, and the segments that they stand for.
function linesIn(group) {
  const { inside, laid } = group, { x, tops, bottoms } = laid, members = inside.members;
  const ends = group.members.map((member, point) => (member.open ? null : spread(group, point, x)));
  const found = new Map();
  for (const segment of inside.segments) {
    const { a, b, into } = segment;
    const from = a < members ? group.members[a] : null, to = b < members ? group.members[b] : null;
    const x1 = group.x + startOf(group, segment, x);
    const end = !to ? x[b] : to.open ? x[b] + portShift(group, b, into, true) : ends[b].get(`${a}:${segment.out}`);
    const x2 = group.x + end;
    const rank = inside.rank[a], under = group.y + bottoms[rank], over = group.y + tops[rank + 1];
    const y1 = from ? from.y + from.h : a < inside.firstExit ? group.y : group.y + tops[rank];
    const exit = b >= inside.firstExit && b < inside.firstLane;
    const y2 = to ? to.y : exit ? group.y + group.h : over;
    const tip = Boolean(to) && !to.open;
    const key = `${a}|${x1}|${b}|${x2}`;
    if (found.has(key)) { found.get(key).segments.push(segment); continue; }
    found.set(key, { group, x1, y1, x2, y2, under, over, tip, segments: [segment] });
  }
  return [...found.values()];
}

function pathOf({ x1, y1, x2, y2, under, over, tip }) {
  const end = tip ? y2 - TIP : y2, low = tip && over >= end ? end : over, n = (number) => Math.round(number * 10) / 10;
  const bend = (low - under) * (Math.abs(x1 - x2) < 0.5 ? 0.33 : 0.55);
  const start = y1 < under - 0.5 ? `M${n(x1)} ${n(y1)}V${n(under)}` : `M${n(x1)} ${n(under)}`;
  const straight = Math.abs(x1 - x2) < 0.5;
  const bent = `C${n(x1)} ${n(under + bend)} ${n(x2)} ${n(low - bend)} ${n(x2)} ${n(low)}`;
  const curve = straight ? `V${n(low)}` : bent;
  return `${start}${curve}${end > low + 0.5 ? `V${n(end)}` : ""}`;
}

const tipOf = ({ x2, y2 }) => `M${x2 - 3.6} ${y2 - TIP - 1.2}L${x2} ${y2 - 0.4}L${x2 + 3.6} ${y2 - TIP - 1.2}Z`;

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
