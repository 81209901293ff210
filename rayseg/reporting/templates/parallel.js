
class Parallel {
  constructor(figure) {
    this.svg = figure.querySelector("svg"); this.tip = figure.querySelector(".tip");
    this.axes = [...page.axes, { title: score.title, full: score.title, kind: "linear", low: score.low, high: score.high, isScore: true }];
    this.top = 44; this.bottom = 316; this.lane = 340; this.height = 356; this.start = null; this.bands = new Map();
    this.gaps = this.axes.map((_, k) => trials.some(trial => this.value(trial, k) === null));
    new ResizeObserver(() => this.draw()).observe(figure.querySelector(".wide-plot"));
    new Hover(this.svg, this.tip, (px, py) => this.find(px, py));
    this.brushing();
    this.draw();
  }

  seen(share) { return Math.min(0.9, (trials.length > 100 ? 0.3 : trials.length > 30 ? 0.5 : 0.75) + 0.4 * share ** 3).toFixed(2); }

  value(trial, k) { return k < page.axes.length ? trial.values[k] : trial.score; }

  place(axis, value, share) {
    if (axis.kind === "option") {
      const count = axis.labels.length, room = Math.min(0.7 / count, 0.2);
      return (value + 0.5) / count + (share === null ? 0 : (share - 0.5) * room);
    }
    if (axis.low === axis.high) return 0.5;
    const scale = axis.kind === "log" ? Math.log : v => v;
    return Math.min(1, Math.max(0, (scale(value) - scale(axis.low)) / (scale(axis.high) - scale(axis.low))));
  }

  toY(position) { return this.bottom - position * (this.bottom - this.top); }

  draw() {
    const wide = this.svg.parentNode.parentNode.clientWidth;
    if (!wide) return;
    const left = this.axes[0].kind === "option" ? 108 : 60, margin = 60;
    const width = Math.max(wide, (this.axes.length - 1) * 88 + left + margin);
    this.svg.style.width = `${width}px`;
    clearMarks(this.svg);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    const right = width - margin;
    this.xs = this.axes.map((_, k) => this.axes.length > 1 ? left + k * (right - left) / (this.axes.length - 1) : width / 2);
    if (this.gaps.some(gap => gap)) shape("line", { class: "grid", x1: 6, x2: width - 6, y1: this.lane, y2: this.lane, "stroke-dasharray": "2 4" }, this.svg);
    const group = shape("g", {}, this.svg);
    this.paths = trials.map(() => null);
    for (let t = trials.length - 1; t >= 0; t--) this.thread(t, group);
    this.axes.forEach((axis, k) => this.axis(axis, k));
    this.over = shape("g", {}, this.svg);
    this.drawBands();
  }

  thread(t, parent) {
    const trial = trials[t], group = mark(t, shape("g", { class: "thread", stroke: shade(trial.share), style: `--seen: ${this.seen(trial.share ?? 0)}` }, parent));
    const points = this.axes.map((axis, k) => {
      const value = this.value(trial, k), gone = value === null;
      return { x: this.xs[k], y: gone ? this.lane : this.toY(this.place(axis, value, trial.share)), gone };
    });
    let solid = "", faint = "";
    for (let k = 1; k < points.length; k++) {
      const a = points[k - 1], b = points[k], mid = (a.x + b.x) / 2;
      const d = `M${a.x.toFixed(1)} ${a.y.toFixed(1)}C${mid.toFixed(1)} ${a.y.toFixed(1)} ${mid.toFixed(1)} ${b.y.toFixed(1)} ${b.x.toFixed(1)} ${b.y.toFixed(1)}`;
      if (a.gone || b.gone) faint += d; else solid += d;
    }
    if (solid) shape("path", { d: solid }, group);
    if (faint) shape("path", { d: faint, class: "faint" }, group);
    this.paths[t] = points;
  }

  axis(axis, k) {
    const x = this.xs[k], last = k === this.axes.length - 1;
    shape("line", { class: "axis strong", x1: x, x2: x, y1: this.top, y2: this.bottom }, this.svg);
    const cut = axis.title.lastIndexOf("."), names = cut < 0 ? ["", axis.title] : [axis.title.slice(0, cut + 1), axis.title.slice(cut + 1)];
    const letters = Math.floor((this.xs.length > 1 ? this.xs[1] - this.xs[0] : 320) / 7.8);
    names.forEach((name, row) => {
      const text = shape("text", { x, y: 14 + 14 * row, "text-anchor": "middle", class: row ? "axis-name" : "" }, this.svg);
      text.textContent = name.length > letters ? name.slice(0, letters - 1) + "…" : name;
      shape("title", {}, text).textContent = axis.full;
    });
    const beside = { x: last ? x + 8 : x - 8, "text-anchor": last ? "start" : "end" };
    for (const [position, label] of this.ticks(axis)) {
      shape("line", { class: "axis strong", x1: x - 4, x2: x + 4, y1: this.toY(position), y2: this.toY(position) }, this.svg);
      const text = shape("text", { ...beside, y: this.toY(position) + 4 }, this.svg);
      text.textContent = label.length > 13 ? label.slice(0, 12) + "…" : label;
      shape("title", {}, text).textContent = label;
    }
    if (!this.gaps[k]) return;
    shape("circle", { class: "gap", cx: x, cy: this.lane, r: 3 }, this.svg);
    shape("text", { ...beside, y: this.lane + 4 }, this.svg).textContent = last ? "no score" : "not drawn";
  }

  ticks(axis) {
    if (axis.kind === "option") {
      const every = Math.ceil(axis.labels.length / 16);
      return axis.labels.map((label, k) => [(k + 0.5) / axis.labels.length, label]).filter((_, k) => k % every === 0);
    }
    if (axis.low === axis.high) return [[0.5, axisText(axis.low)]];
    const values = axis.kind === "log" ? powers(axis.low, axis.high) : steps(axis.low, axis.high, 5);
    const inside = values.map(value => [this.place(axis, value, null), axisText(value)]);
    return axis.kind === "log" && inside.length < 2 ? [[0, axisText(axis.low)], [1, axisText(axis.high)]] : inside;
  }

  find(px, py) {
    const last = this.xs.length - 1;
    if (!last || px < this.xs[0] - 12 || px > this.xs[last] + 12 || py < this.top - 8) return -1;
    let k = this.xs.findIndex(x => x > px);
    k = k <= 0 ? (k === 0 ? 1 : last) : k;
    const u = Math.min(1, Math.max(0, (px - this.xs[k - 1]) / (this.xs[k] - this.xs[k - 1]))), s = this.ease(u);
    let best = -1, least = 14;
    this.paths.forEach((points, t) => {
      if (rows[t]?.classList.contains("off")) return;
      const gap = Math.abs(points[k - 1].y + s * (points[k].y - points[k - 1].y) - py);
      if (gap < least) { least = gap; best = t; }
    });
    return best;
  }

  ease(u) {
    let low = 0, high = 1;
    for (let n = 0; n < 20; n++) {
      const v = (low + high) / 2, x = 1.5 * v * (1 - v) ** 2 + 1.5 * v * v * (1 - v) + v ** 3;
      if (x < u) low = v; else high = v;
    }
    return low * low * (3 - 2 * low);
  }

  brushing() {
    const at = event => { const box = this.svg.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    this.svg.addEventListener("pointerdown", event => {
      const [px, py] = at(event), k = this.xs.findIndex(x => Math.abs(x - px) < 14);
      delete this.svg.dataset.dragged;
      if (event.button || event.pointerType !== "mouse" || k < 0) return;
      this.start = { k, py };
      this.svg.setPointerCapture(event.pointerId);
    });
    this.svg.addEventListener("pointermove", event => {
      if (this.start === null) return;
      const py = at(event)[1];
      if (Math.abs(py - this.start.py) > 4) { this.svg.dataset.dragged = "1"; this.brush(this.start.k, this.start.py, py); }
    });
    this.svg.addEventListener("pointerup", () => {
      if (this.start !== null && !this.svg.dataset.dragged) this.clear(this.start.k);
      this.start = null;
    });
    this.svg.addEventListener("dblclick", () => this.clear(null));
  }

  brush(k, from, to) {
    const low = Math.min(from, to), high = Math.max(from, to);
    this.bands.set(k, [low, high]);
    brushes.set(k, t => { const y = this.paths[t][k].y; return y >= low && y <= high; });
    this.drawBands(); filter();
  }

  clear(k) {
    if (k === null) { this.bands.clear(); brushes.clear(); } else { this.bands.delete(k); brushes.delete(k); }
    this.drawBands(); filter();
  }

  drawBands() {
    this.over.replaceChildren();
    for (const [k, [low, high]] of this.bands)
      shape("rect", { class: "drag", x: this.xs[k] - 9, width: 18, y: low, height: high - low }, this.over);
  }
}
