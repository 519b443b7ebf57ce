// Search: what boxes show, and their names, operations, module paths and lines. Enter goes to the next hit and unfolds
// what hides it.

const hits = { list: [], place: -1, cells: new Set() };

function search(words) {
  const wanted = tight(words).split(/\s+/).filter(Boolean);
  // "#2" is one box, and not #23 too.
  const has = (text, word) => text.includes(/^#\d+$/.test(word) ? `${word}\n` : word);
  hits.list = [];
  hits.place = -1;
  if (wanted.length)
    for (const cell of model.cells) {
      if (!cell.parent || cell.kind === "section") continue;
      const text = searchable(cell);
      if (wanted.every((word) => has(text, word))) hits.list.push(cell);
    }
  showHits();
}

// "50 × 32", as boxes have it, and "50x32" are one word.
const tight = (text) => text.toLowerCase().replace(/(\d)\s*[x×]\s*(?=\d)/g, "$1x");

function searchable(cell) {
  if (cell.searched === undefined) {
    const { box } = cell, lines = linesOf(cell).map(({ text, of }) => (of ? numbersLine(box.facts[of]) : text));
    const own = box && [
      box.name, box.variable, box.op, box.module, box.line, box.dtype, box.shape.join("x"), box.mark,
      ...box.extras.map(([key, text]) => `${key} = ${text}`), box.id < model.count ? `#${box.id}` : "",
    ];
    const texts = [...(own || [cell.label, noteOf(cell)]), ...lines].filter(Boolean);
    cell.searched = tight(`${texts.join("\n")}\n`);
  }
  return cell.searched;
}

function showHits() {
  hits.cells = new Set(hits.list.map(shownAs));
  const words = document.getElementById("search").value.trim(), count = many(hits.list.length);
  const place = hits.place < 0 ? `${count} found` : `${hits.place + 1} of ${count}`;
  document.getElementById("hits").textContent = words ? place : "";
  dress();
}

function nextHit(side = 1) {
  if (!hits.list.length) return;
  hits.place = (hits.place + side + hits.list.length) % hits.list.length;
  goTo(hits.list[hits.place]);
  showHits();
}

function watchSearch() {
  const field = document.getElementById("search");
  let soon = 0;
  field.addEventListener("input", () => {
    clearTimeout(soon);
    if (model.cells.length > 4000) soon = setTimeout(() => search(field.value), 120);
    else search(field.value);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      clearTimeout(soon);
      if (hits.words !== field.value) { hits.words = field.value; search(field.value); }
      nextHit(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      field.value = "";
      search("");
      svg.focus();
    }
    event.stopPropagation();
  });
}
