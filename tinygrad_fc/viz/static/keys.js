// The keys, and the page that lists them.

const KEYS = [
  ["↑ ↓ ← →", "walk along lines to inputs and to users, and to neighbours of the same rank"],
  ["Enter", "fold or unfold what is selected"], ["Backspace", "select the group around"],
  ["Escape", "close, then select nothing"], ["/", "search; Enter goes to the next, Shift Enter back"],
  ["+ −", "zoom"], ["F", "fit the window"], ["D", "down or to the right"], ["Space", "play or pause"],
  ["[ ]", "one step back, one step on"],
  ["Home End", "first step, last step"], ["M", "to the next box that is marked"], ["T", "light or dark"],
  ["?", "this list"], ["drag, wheel", "move, zoom (in a notebook after a click, or with Ctrl)"],
  ["click on a header, double click", "fold or unfold"],
];

const ACTS = {
  "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), "_": () => zoom(0.8),
  f: () => fit(), d: () => turn(),
  "/": () => { document.getElementById("search").focus(); document.getElementById("search").select(); },
  "?": () => help(), t: () => switchTheme(), m: () => nextMark(), " ": () => play(),
  "[": () => { pause(); goToStep(at.step - 1); }, "]": () => { pause(); goToStep(at.step + 1); },
  Home: () => { pause(); goToStep(0); }, End: () => { pause(); goToStep(last()); },
  ArrowUp: () => walk("ArrowUp"), ArrowDown: () => walk("ArrowDown"),
  ArrowLeft: () => walk("ArrowLeft"), ArrowRight: () => walk("ArrowRight"),
  Enter: () => { if (chosen.cell) { toggle(chosen.cell); choose(chosen.cell); } },
  Backspace: () => { if (chosen.cell?.parent?.parent) choose(chosen.cell.parent, { move: true }); },
  Escape: () => (chosen.cell ? choose(null) : pause()),
};

function help() {
  const dialog = document.getElementById("keys");
  if (dialog.open) return dialog.close();
  const list = make("dl");
  for (const [key, text] of KEYS) list.append(make("dt", {}, key), make("dd", {}, text));
  dialog.replaceChildren(make("h2", {}, "Keys"), list, button("Close", () => dialog.close()));
  dialog.showModal();
}

function watchKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.getElementById("keys").open) return;
    const on = event.target.closest?.("input, select, button, a, textarea, pre, .scroll");
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const own = on && !(on.tagName === "BUTTON" && !["Enter", " "].includes(event.key)) && event.key !== "Escape";
    if (own || !ACTS[key]) return;
    event.preventDefault();
    ACTS[key]();
  });
}
