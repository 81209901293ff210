class Chart {
  constructor(figure, spec, index) {
    this.figure = figure; this.spec = spec; this.index = index;
    this.svg = figure.querySelector("svg"); this.tip = figure.querySelector(".tip");
    this.log = spec.log; this.hidden = new Set(); this.start = null;
    const xs = spec.lines.flatMap(line => line.x.length ? [line.x[0], line.x[line.x.length - 1]] : []);
    const low = xs.reduce((a, b) => Math.min(a, b), Infinity), high = xs.reduce((a, b) => Math.max(a, b), -Infinity);
    this.whole = low < high ? [low, high] : [(Number.isFinite(low) ? low : 0) - 1, (Number.isFinite(low) ? low : 0) + 1];
    this.domain = this.whole;
    this.buttons(); this.legend(); this.pointer();
    new ResizeObserver(() => this.draw()).observe(this.svg);
    this.draw();
  }

  element(name, attributes, parent = this.svg) { return shape(name, attributes, parent); }

  buttons() {
    this.reset = this.figure.querySelector(".reset");
    const log = this.figure.querySelector(".log");
    log.addEventListener("click", () => { this.log = !this.log; log.setAttribute("aria-pressed", this.log); this.draw(); });
    this.reset.addEventListener("click", () => this.zoom(this.whole));
  }

  key(i) {
    const key = document.createElement("i");
    key.style.borderTopColor = color(i);
    if (dash(i)) key.className = "dashed";
    return key;
  }

  legend() {
    const box = this.figure.querySelector(".legend");
    this.spec.lines.forEach((line, i) => {
      const last = line.y.filter(value => value !== null).at(-1);
      if (last === undefined) return;
      const button = document.createElement("button"), value = document.createElement("em");
      button.type = "button"; button.setAttribute("aria-pressed", "true");
      value.textContent = shown(last, this.spec.unit); value.title = "last value";
      button.append(this.key(i), line.name, value);
      button.addEventListener("click", () => {
        if (!this.hidden.delete(i)) this.hidden.add(i);
        button.setAttribute("aria-pressed", !this.hidden.has(i)); this.draw();
      });
      box.append(button);
    });
  }

  zoom(domain) { this.domain = domain; this.reset.hidden = domain === this.whole; this.draw(); }

  range() {
    const [x0, x1] = this.domain;
    let low = Infinity, high = -Infinity;
    this.spec.lines.forEach((line, i) => {
      if (this.hidden.has(i)) return;
      line.y.forEach((y, k) => {
        if (line.x[k] < x0 || line.x[k] > x1 || !this.drawn(y)) return;
        low = Math.min(low, y); high = Math.max(high, y);
      });
    });
    if (low > high) return this.log ? [0.1, 1] : [0, 1];
    if (this.log) return low === high ? [low / 2, high * 2] : [low / (high / low) ** 0.05, high * (high / low) ** 0.05];
    const pad = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.06;
    return [low >= 0 ? Math.max(0, low - pad) : low - pad, high + pad];
  }

  draw() {
    const width = this.svg.clientWidth;
    if (!width) return;
    this.svg.replaceChildren();
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    const [x0, x1] = this.domain, [y0, y1] = this.range(), scale = this.log ? Math.log10 : v => v;
    const right = width - RIGHT, bottom = HEIGHT - BOTTOM;
    this.toX = x => LEFT + (x - x0) / (x1 - x0) * (right - LEFT);
    this.toY = y => bottom - (scale(y) - scale(y0)) / (scale(y1) - scale(y0)) * (bottom - TOP);
    this.fromX = px => x0 + (px - LEFT) / (right - LEFT) * (x1 - x0);
    for (const y of this.log ? powers(y0, y1) : steps(y0, y1, 6)) {
      this.element("line", { class: "grid", x1: LEFT, x2: right, y1: this.toY(y), y2: this.toY(y) });
      this.element("text", { x: LEFT - 6, y: this.toY(y) + 4, "text-anchor": "end" }).textContent = axisText(y);
    }
    for (const x of steps(x0, x1, Math.max(2, Math.floor((right - LEFT) / 80))).filter(Number.isInteger))
      this.xText(x, right);
    this.element("line", { class: "axis", x1: LEFT, x2: right, y1: bottom, y2: bottom });
    const clip = this.element("clipPath", { id: `clip${this.index}` });
    this.element("rect", { x: LEFT - 3, y: TOP - 4, width: right - LEFT + 6, height: bottom - TOP + 8 }, clip);
    this.marks(x0, x1, bottom, right);
    const group = this.element("g", { "clip-path": `url(#clip${this.index})` });
    this.spec.lines.forEach((line, i) => { if (!this.hidden.has(i)) this.curve(line, i, group); });
    this.over = this.element("g", {});
  }

  xText(x, right) {
    const text = iterations(x), half = text.length * 3.4, at = Math.min(this.toX(x), right + RIGHT - half);
    this.element("text", { x: at, y: HEIGHT - 8, "text-anchor": "middle" }).textContent = text;
  }

  marks(x0, x1, bottom, right) {
    for (const [x, text] of this.spec.marks) {
      if (x < x0 || x > x1) continue;
      const at = this.toX(x), left = at > right - 60;
      this.element("line", { class: "mark", x1: at, x2: at, y1: TOP, y2: bottom });
      this.element("text", { x: left ? at - 4 : at + 4, y: bottom - 5, "text-anchor": left ? "end" : "start" }).textContent = text;
    }
  }

  curve(line, i, group) {
    const thin = line.tx.length > 0;
    this.path(line.x, line.y, i, group, thin ? "curve raw" : "curve");
    if (thin) this.path(line.tx, line.ty, i, group, "curve");
    const [x0, x1] = this.domain;
    const inView = line.x.map((_, k) => k).filter(k => line.x[k] >= x0 && line.x[k] <= x1 && this.drawn(line.y[k]));
    if (inView.length <= FEW) for (const k of inView) this.dot(line.x[k], line.y[k], i, 2.4, group);
  }

  drawn(y) { return y !== null && !(this.log && y <= 0); }

  path(xs, ys, i, group, kind) {
    let d = "", pen = false;
    ys.forEach((y, k) => {
      if (!this.drawn(y)) { pen = false; return; }
      d += `${pen ? "L" : "M"}${this.toX(xs[k]).toFixed(1)} ${this.toY(y).toFixed(1)}`;
      pen = true;
    });
    this.element("path", { class: kind, d: d || "M0 0", stroke: color(i), "stroke-dasharray": dash(i) }, group);
  }

  dot(x, y, i, r, parent) { this.element("circle", { cx: this.toX(x), cy: this.toY(y), r, fill: color(i) }, parent); }

  pointer() {
    const inside = event => {
      const px = event.clientX - this.svg.getBoundingClientRect().left;
      return Math.min(Math.max(px, LEFT), this.svg.clientWidth - RIGHT);
    };
    this.svg.addEventListener("pointerdown", event => {
      if (event.button) return;
      this.start = inside(event);
      if (event.pointerType === "mouse") this.svg.setPointerCapture(event.pointerId);
    });
    this.svg.addEventListener("pointermove", event => this.hover(inside(event)));
    this.svg.addEventListener("pointerup", event => {
      const from = this.start, to = inside(event);
      this.start = null;
      if (from !== null && Math.abs(to - from) > 6) this.zoom([this.fromX(Math.min(from, to)), this.fromX(Math.max(from, to))]);
    });
    for (const name of ["pointerleave", "pointercancel"])
      this.svg.addEventListener(name, () => { this.start = null; this.tip.hidden = true; if (this.over) this.over.replaceChildren(); });
    this.svg.addEventListener("dblclick", () => this.zoom(this.whole));
  }

  hover(px) {
    if (!this.over) return;
    this.over.replaceChildren();
    if (this.start !== null && Math.abs(px - this.start) > 3)
      this.element("rect", { class: "drag", x: Math.min(px, this.start), width: Math.abs(px - this.start), y: TOP, height: HEIGHT - TOP - BOTTOM }, this.over);
    const found = this.around(this.fromX(px));
    this.tip.hidden = !found.length;
    if (!found.length) return;
    const x = found.reduce((a, b) => Math.abs(b.x - this.fromX(px)) < Math.abs(a.x - this.fromX(px)) ? b : a).x;
    this.element("line", { class: "cross", x1: this.toX(x), x2: this.toX(x), y1: TOP, y2: HEIGHT - BOTTOM }, this.over);
    const title = document.createElement("b");
    title.textContent = `iteration ${iterations(x)}`;
    this.tip.replaceChildren(title);
    for (const { i, x: at, y } of found) {
      if (this.drawn(y)) this.dot(at, y, i, 3.5, this.over);
      const row = document.createElement("div"), name = document.createElement("span"), value = document.createElement("em");
      name.textContent = this.spec.lines[i].name + (at === x ? "" : ` (at ${iterations(at)})`);
      value.textContent = shown(y, this.spec.unit);
      row.append(this.key(i), name, value);
      this.tip.append(row);
    }
    const leftSide = this.toX(x) > this.svg.clientWidth / 2;
    this.tip.style.left = leftSide ? "auto" : `${this.toX(x) + 12}px`;
    this.tip.style.right = leftSide ? `${this.svg.clientWidth - this.toX(x) + 12}px` : "auto";
  }

  around(x) {
    const [x0, x1] = this.domain, found = [];
    this.spec.lines.forEach((line, i) => {
      if (this.hidden.has(i) || !line.x.length) return;
      const k = nearest(line.x, x);
      if (line.x[k] >= x0 && line.x[k] <= x1) found.push({ i, x: line.x[k], y: line.y[k] });
    });
    return found.slice(0, 24);
  }
}

const specs = JSON.parse(document.getElementById("chart-data").textContent);
document.querySelectorAll("figure[data-chart]").forEach(figure => {
  const index = Number(figure.dataset.chart);
  new Chart(figure, specs[index], index);
});

const viewer = document.getElementById("viewer");
document.querySelectorAll(".gallery img").forEach(image => image.addEventListener("click", () => {
  viewer.querySelector("img").src = image.src;
  viewer.querySelector("p").textContent = image.alt;
  viewer.showModal();
}));
viewer.addEventListener("click", () => viewer.close());
