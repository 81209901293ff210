
class Plot {
  constructor(figure, spec) {
    this.svg = figure.querySelector("svg"); this.tip = figure.querySelector(".tip"); this.spec = spec; this.ends = spec.y ?? score;
    new ResizeObserver(() => this.draw()).observe(this.svg);
    new Hover(this.svg, this.tip, (px, py) => this.find(px, py));
    const box = figure.querySelector(".legend");
    if (box) (spec.legend ?? []).forEach((name, i) => {
      const entry = document.createElement("span"), key = document.createElement("i");
      key.style.borderTopColor = color(i);
      entry.append(key, name); box.append(entry);
    });
    this.draw();
  }

  draw() {
    const width = this.svg.clientWidth, spec = this.spec;
    if (!width) return;
    clearMarks(this.svg);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.right = width - RIGHT; this.bottom = HEIGHT - BOTTOM; this.points = [];
    const { low, high } = this.ends, pad = (high - low) * 0.06;
    this.y0 = low - pad; this.y1 = high + pad;
    for (const y of steps(this.y0, this.y1, 6)) {
      shape("line", { class: "grid", x1: LEFT, x2: this.right, y1: this.toY(y), y2: this.toY(y) }, this.svg);
      shape("text", { x: LEFT - 6, y: this.toY(y) + 4, "text-anchor": "end" }, this.svg).textContent = axisText(y);
    }
    this.xTicks();
    shape("line", { class: "axis", x1: LEFT, x2: this.right, y1: this.bottom, y2: this.bottom }, this.svg);
    if (spec.best?.x.length) this.steps(spec.best);
    for (const item of [...spec.items].reverse()) this.item(item);
  }

  toX(x) {
    const { kind, low, high } = this.spec.x, scale = kind === "log" ? Math.log : v => v;
    if (low === high) return (LEFT + this.right) / 2;
    return LEFT + 8 + (scale(x) - scale(low)) / (scale(high) - scale(low)) * (this.right - LEFT - 16);
  }

  clamped(y) { return Math.min(this.ends.high, Math.max(this.ends.low, y)); }

  toY(y) { return this.bottom - (y - this.y0) / (this.y1 - this.y0) * (this.bottom - TOP); }

  xTicks() {
    const x = this.spec.x, room = Math.max(2, Math.floor((this.right - LEFT) / 80));
    let ticks;
    if (x.kind === "option") ticks = x.labels.map((label, k) => [k, label]);
    else if (x.low === x.high) ticks = [[x.low, axisText(x.low)]];
    else {
      const values = x.kind === "log" ? powers(x.low, x.high) : steps(x.low, x.high, room);
      ticks = values.filter(v => x.kind !== "count" || Number.isInteger(v)).map(v => [v, x.kind === "count" ? iterations(v) : axisText(v)]);
      if (x.kind === "log" && ticks.length < 2) ticks = [[x.low, axisText(x.low)], [x.high, axisText(x.high)]];
    }
    const every = Math.ceil(ticks.length / (x.kind === "option" ? 8 : room * 1.6)), letters = Math.max(4, Math.floor(640 / Math.min(8, ticks.length) / 8));
    ticks.filter((_, k) => k % every === 0).forEach(([value, label]) => {
      const short = label.length > letters ? label.slice(0, letters - 1) + "…" : label, half = short.length * 3.3;
      const at = Math.max(LEFT + half - 20, Math.min(this.toX(value), this.right + RIGHT - half));
      const text = shape("text", { x: at, y: HEIGHT - 8, "text-anchor": "middle" }, this.svg);
      text.textContent = short;
      if (short !== label) shape("title", {}, text).textContent = label;
    });
  }

  steps({ x, y }) {
    let d = "";
    x.forEach((at, k) => {
      const px = this.toX(at).toFixed(1), py = this.toY(this.clamped(y[k])).toFixed(1);
      d += k ? `H${px}V${py}` : `M${px} ${py}`;
    });
    shape("path", { class: "curve best-line", d, stroke: "var(--accent)" }, this.svg);
  }

  item({ t, x, y, group }) {
    const trial = trials[t], fill = group === undefined ? shade(trial.share) : color(group);
    let d = "", pen = false;
    x.forEach((at, k) => {
      const value = y[k];
      if (value === null && x.length > 1) { pen = false; return; }
      const px = this.toX(at), py = value === null ? this.bottom - 6 : this.toY(this.clamped(value));
      d += `${pen ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`;
      pen = true;
      this.points.push({ t, px, py });
      if (value === null) mark(t, shape("path", { class: "cross-mark", d: `M${px - 4} ${py - 4}l8 8m0 -8l-8 8`, stroke: "var(--bad)" }, this.svg));
      else if (x.length === 1) this.dot(t, px, py, fill, value);
    });
    if (x.length > 1) mark(t, shape("path", { class: "curve run", d: d || "M0 0", stroke: fill }, this.svg));
  }

  dot(t, px, py, fill, value) {
    if (value !== this.clamped(value)) {
      const up = value > this.ends.high ? -1 : 1;
      mark(t, shape("path", { class: "dot-mark", d: `M${px - 5} ${py - 3 * up}h10l-5 ${8 * up}z`, fill, stroke: "var(--panel)" }, this.svg));
      return;
    }
    const whole = trials[t].status === "finished";
    mark(t, shape("circle", { class: "dot-mark", cx: px, cy: py, r: 4.5, fill: whole ? fill : "var(--panel)", stroke: whole ? "var(--panel)" : fill, "stroke-width": whole ? 1 : 2 }, this.svg));
  }

  find(px, py) {
    let best = -1, least = 26 ** 2;
    for (const point of this.points) {
      if (rows[point.t]?.classList.contains("off")) continue;
      const gap = (point.px - px) ** 2 + (point.py - py) ** 2;
      if (gap < least) { least = gap; best = point.t; }
    }
    return best;
  }
}

function curvesSpec() {
  const xs = page.curves.lines.flatMap(curve => curve.x);
  const high = xs.reduce((a, b) => Math.max(a, b), 1);
  return { x: { kind: "count", low: 0, high }, y: page.curves, items: page.curves.lines };
}

const progressSpec = () => ({ x: { kind: "linear", low: 0, high: page.progress.end }, best: page.progress.best, items: page.progress.dots });

function sliceSpec(k) {
  const axis = page.axes[k], option = axis.kind === "option";
  const items = [];
  trials.forEach((trial, t) => {
    const value = trial.values[k];
    if (value === null) return;
    const spread = option ? (((t * 0.618034) % 1) - 0.5) * 0.5 : 0;
    items.push({ t, x: [value + spread], y: [trial.score], group: axis.branches.length > 1 ? trial.branches[k] : undefined });
  });
  const x = option ? { kind: "option", low: -0.5, high: axis.labels.length - 0.5, labels: axis.labels } : axis;
  return { x, items, legend: axis.branches.length > 1 ? axis.branches : [] };
}

document.querySelectorAll("figure[data-plot]").forEach(figure => {
  const [kind, k] = figure.dataset.plot.split(":");
  if (kind === "parallel") new Parallel(figure);
  else new Plot(figure, kind === "curves" ? curvesSpec() : kind === "progress" ? progressSpec() : sliceSpec(Number(k)));
});
