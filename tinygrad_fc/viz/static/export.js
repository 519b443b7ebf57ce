// Saving what is open as a picture that stands alone: every style is written on its element, so that any program that
// reads SVG shows it as it is here.

const STYLES = [
  "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "font-family",
  "font-size", "font-weight", "text-anchor",
];
const LARGEST = 12000;  // pixels of a side of a PNG

function pictureText() {
  const area = { ...scene.area }, plainly = scene.plain, { x, y, w, h } = wholeArea();
  render({ x, y, w, h });  // with words
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
  const whole = draw("svg", { xmlns: SVG, width: w, height: h, viewBox: `${x} ${y} ${w} ${h}` });
  const ground = draw("rect", { x, y, width: w, height: h, fill: paper });
  whole.append(draw("title", {}, model.options.title), ground, copy);
  return { text: new XMLSerializer().serializeToString(whole), w, h };
}

function save(blob, suffix) {
  const address = URL.createObjectURL(blob);
  const safe = clean(model.options.title).replace(/[^\p{L}\p{N}._-]+/gu, "-").replace(/^[-.]+|[-.]+$/g, "");
  const name = safe.slice(0, 60) || "graph";
  const anchor = make("a", { href: address, download: `${name}.${suffix}` });
  anchor.click();
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
  try {
    await image.decode();
  } catch {
    return tell("The picture is too large for a PNG here: save it as SVG, or fold some of it");
  }
  const canvas = make("canvas", { width: Math.ceil(w * scale), height: Math.ceil(h * scale) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  canvas.toBlob((blob) => save(blob, "png"), "image/png");
}
