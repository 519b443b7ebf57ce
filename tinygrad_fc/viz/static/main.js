// The page comes to life.

function setTheme(theme) { document.documentElement.dataset.theme = theme; }

function switchTheme() {
  setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  renew();
}

function watchTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)"), { theme } = model.options;
  setTheme(theme || (dark.matches ? "dark" : "light"));
  if (!theme) dark.addEventListener("change", () => { setTheme(dark.matches ? "dark" : "light"); renew(); });
}

// Paper is light, and takes all of what is open, as large as it fits.
function watchPrinter() {
  const { dataset } = document.documentElement;
  let theme = null;
  window.addEventListener("beforeprint", () => {
    const { x, y, w, h } = wholeArea();
    halt();
    [theme, eye.printing] = [dataset.theme, true];
    setTheme("light");
    render({ x, y, w, h });
    world.removeAttribute("transform");
    svg.setAttribute("viewBox", `${x} ${y} ${w} ${h}`);
  });
  window.addEventListener("afterprint", () => {
    if (!eye.printing) return;
    svg.removeAttribute("viewBox");
    setTheme(theme);
    eye.printing = false;
    scene.area = null;
    showNow();
  });
}

const marked = { list: [], place: -1 };
function nextMark() {
  if (!marked.list.length) return;
  marked.place = (marked.place + 1) % marked.list.length;
  goTo(marked.list[marked.place].cell);
}

function watchButtons() {
  const on = (id, act) => document.getElementById(id).addEventListener("click", act);
  on("fold-all", foldAll);
  on("unfold-all", () => openTo(Infinity));
  on("depth-less", () => openTo(Math.max(0, levels() - 1)));
  on("depth-more", () => openTo(levels() + 1));
  on("zoom-in", () => zoom(1.25));
  on("zoom-out", () => zoom(0.8));
  on("fit", () => fit());
  on("turn", turn);
  on("save-svg", saveSvg);
  on("save-png", savePng);
  on("theme", switchTheme);
  on("help", help);
  on("marks", nextMark);
  const colour = document.getElementById("colour");
  colour.value = model.options.colour;
  colour.addEventListener("change", () => { colourBy(colour.value); drawLegend(); renew(); });
}

function introduce() {
  const { title, embedded } = model.options;
  document.getElementById("title").textContent = title;
  document.body.classList.toggle("embedded", embedded);
  marked.list = model.boxes.filter((box) => box.mark);
  const marks = document.getElementById("marks");
  marks.hidden = !marked.list.length;
  const count = marked.list.length === 1 ? "1 box is" : `${many(marked.list.length)} boxes are`;
  marks.textContent = `! ${count} marked: ${clip(marked.list[0]?.mark || "", 60)}  →`;
  document.getElementById("notes").replaceChildren(...model.notes.map((note) => make("p", {}, note)));
}

// For tests and for whoever writes pages around this one: what is in sight, and what it does. Nothing here can be set.
function publish() {
  const plainBox = (cell) => ({
    cell: cell.index, id: cell.box ? cell.box.id : null, label: cell.box ? titleOf(cell) : cell.label,
    kind: cell.box ? cell.box.kind : cell.kind, open: cell.open, x: cell.x, y: cell.y, w: cell.w, h: cell.h,
    parent: cell.parent.index, folds: folds(cell), ids: cell.open ? [] : [...boxesIn(cell)].map(({ id }) => id),
  });
  const viewer = {
    get boxes() { return scene.shown.filter((cell) => cell.parent).map(plainBox); },
    get drawn() { return scene.elements.size; },
    get selected() { return chosen.cell ? plainBox(chosen.cell) : null; },
    get ancestors() { return [...chosen.up].map(plainBox); },
    get descendants() { return [...chosen.down].map(plainBox); },
    get step() {
      const cell = current(), way = !at.step ? "start" : isBackward() ? "backward" : "forward";
      return { number: at.step, of: last(), way, id: cell?.box ? cell.box.id : null, text: said() };
    },
    get hits() { return hits.list.map(plainBox); },
    get view() { return { k: eye.k, left: eye.left, top: eye.top, direction: way.name, ...windowSize() }; },
    get count() { return model.count; },
  };
  Object.defineProperty(window, "viewer", { value: Object.freeze(viewer) });
}

async function main() {
  await readData();
  watchTheme();
  introduce();
  colourBy(model.options.colour);
  readSteps();
  turnTo(model.options.direction || "TB");
  openSome();
  settle();
  drawLegend();
  watchButtons();
  watchPointer();
  watchKeys();
  watchSearch();
  watchPlayer();
  watchPrinter();
  welcome();
  showNow();
  document.getElementById("depth").textContent = String(levels());
  publish();
  document.documentElement.dataset.ready = "true";
}

main().catch((error) => {
  document.getElementById("notes").textContent = `This page could not be drawn; an older browser may be why. ${error}`;
  throw error;
});
