// Saving what is open as a picture that stands alone: every style is written on its element, so that any program that
// reads SVG shows it as it is here.

const STYLES = [
  "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "font-family",
  "font-size", "font-weight", "text-anchor",
];
const LARGEST = 12000;  // pixels of a side of a PNG

function pictureText() {
  const area = { ...scene.area }, plainly = scene.plain, root = model.cells[0], margin = 20;
  render({ x: -margin, y: -margin, w: root.w + 2 * margin, h: root.h + 2 * margin });  // all of it, with words
  const copy = world.cloneNode(true);
  const originals = [world, ...world.querySelectorAll("*")], copies = [copy, ...copy.querySelectorAll("*")];
  originals.forEach((original, i) => {
    const style = getComputedStyle(original), target = copies[i];
    for (const name of ["class", "id", "role", "aria-label", "data-cell", "data-toggle"]) target.removeAttribute(name);
    if (!(original instanceof SVGGraphicsElement) || original instanceof SVGGElement) return;
    for (const name of STYLES) {
      const given = style.getPropertyValue(name);
      const plainly = !given || given === "normal" || (given === "none" && name === "stroke-dasharray");
      if (!plainly) target.setAttribute(name, given);
    }
  });
  const paper = getComputedStyle(document.body).backgroundColor;
  copy.removeAttribute("transform");
  render(area, plainly);
  const w = Math.ceil(root.w + 2 * margin), h = Math.ceil(root.h + 2 * margin);
  const whole = draw("svg", { xmlns: SVG, width: w, height: h, viewBox: `${-margin} ${-margin} ${w} ${h}` });
  const ground = draw("rect", { x: -margin, y: -margin, width: w, height: h, fill: paper });
  whole.append(draw("title", {}, model.options.title), ground, copy);
  return { text: new XMLSerializer().serializeToString(whole), w, h };
}

function save(blob, suffix) {
  const address = URL.createObjectURL(blob);
  const safe = clean(model.options.title).replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[-.]+|[-.]+$/g, "");
  const name = safe.slice(0, 60) || "graph";
  const way = make("a", { href: address, download: `${name}.${suffix}` });
  way.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
  tell(`Saved as ${name}.${suffix}`);
}

function saveSvg() {
  save(new Blob([`<?xml version="1.0" encoding="UTF-8"?>\n${pictureText().text}`], { type: "image/svg+xml" }), "svg");
}

async function savePng() {
  const { text, w, h } = pictureText(), image = new Image();
  const scale = Math.min(2, LARGEST / Math.max(w, h));
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = make("canvas", { width: Math.ceil(w * scale), height: Math.ceil(h * scale) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => save(blob, "png"), "image/png");
}
