document.documentElement.classList.add("scripted");
const COLORS = 8, HEIGHT = 240, LEFT = 52, RIGHT = 14, TOP = 10, BOTTOM = 24, FEW = 60;
const DASHES = ["", "6 3", "2 3", "9 3 2 3"];

const color = i => `var(--c${i % COLORS})`;
const dash = i => DASHES[Math.floor(i / COLORS) % DASHES.length];

function shown(value, unit) {
  if (value === null || value === undefined) return "–";
  if (unit === "%") return value.toFixed(2) + " %";
  const size = Math.abs(value);
  const text = size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(3) : String(Number(value.toPrecision(5)));
  return unit ? `${text} ${unit}` : text;
}

function axisText(value) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1).replace(".0e", "e").replace("e+", "e");
  return String(Number(value.toPrecision(6)));
}

const iterations = value => Math.round(value).toLocaleString("en").replaceAll(",", "\u202f");

function steps(low, high, count) {
  const raw = (high - low) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= raw * 0.999);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(k * step + 0);  // no -0
  return ticks;
}

function powers(low, high) {
  const ticks = [], decades = Math.log10(high / low), every = Math.max(1, Math.ceil(decades / 6));
  const parts = decades > 2.5 ? [1] : decades > 0.8 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) {
    if (parts.length === 1 && e % every) continue;
    for (const part of parts) { const v = part * 10 ** e; if (v >= low * 0.999 && v <= high * 1.001) ticks.push(v); }
  }
  return ticks;
}

function nearest(xs, x) {
  let low = 0, high = xs.length - 1;
  while (high - low > 1) { const mid = (low + high) >> 1; if (xs[mid] < x) low = mid; else high = mid; }
  return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
}

function shape(name, attributes, parent) {
  const node = document.createElementNS(parent.namespaceURI, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
}
