
const page = JSON.parse(document.getElementById("chart-data").textContent);
const trials = page.trials, score = page.score;
const marks = trials.map(() => []), rows = trials.map((_, t) => document.getElementById(`trial-${t}`));
const brushes = new Map();
let hot = -1;

const shade = share => share === null ? "var(--c7)"
  : share < 0.5 ? `color-mix(in oklab, var(--s1) ${(200 * share).toFixed(0)}%, var(--s0))`
  : `color-mix(in oklab, var(--s2) ${(200 * share - 100).toFixed(0)}%, var(--s1))`;

function valueText(axis, value) {
  if (value === null) return "not drawn";
  return axis.kind === "option" ? axis.labels[value] : axisText(Number(value.toPrecision(4)));
}

function mark(t, node) {
  node.classList.add("trial");
  if (t === 0 && trials[0].score !== null) node.classList.add("leader");
  if (rows[t]?.classList.contains("off")) node.classList.add("off");
  marks[t].push(node);
  return node;
}

function clearMarks(svg) {
  svg.replaceChildren();
  for (const nodes of marks) for (let k = nodes.length - 1; k >= 0; k--) if (!nodes[k].isConnected) nodes.splice(k, 1);
}

function focus(t) {
  if (t === hot) return;
  if (hot >= 0) { for (const node of marks[hot]) node.classList.remove("hot"); rows[hot]?.classList.remove("hot"); }
  hot = t;
  document.documentElement.classList.toggle("focused", t >= 0);
  if (t < 0) return;
  for (const node of marks[t]) { node.classList.add("hot"); node.parentNode.append(node); }
  rows[t]?.classList.add("hot");
}

function filter() {
  let kept = 0;
  trials.forEach((_, t) => {
    const off = [...brushes.values()].some(inside => !inside(t));
    kept += !off;
    for (const node of marks[t]) node.classList.toggle("off", off);
    rows[t]?.classList.toggle("off", off);
  });
  const note = document.getElementById("kept");
  if (note) note.textContent = brushes.size ? `${kept} of ${trials.length} trials are inside what is marked. ` : "";
}

function line(tip, left, right) {
  const row = document.createElement("div"), name = document.createElement("span"), value = document.createElement("em");
  name.textContent = left; value.textContent = right;
  row.append(name, value); tip.append(row);
}

function fillTip(tip, t, px, width) {
  const trial = trials[t], title = document.createElement("b");
  title.textContent = `trial ${trial.name} · ${trial.status}`;
  tip.replaceChildren(title);
  line(tip, score.title, trial.score === null ? "no score" : shown(trial.score, score.unit));
  if (trial.at !== null) line(tip, "at iteration", iterations(trial.at));
  const drawn = page.axes.map((axis, k) => [axis, trial.values[k]]).filter(([, value]) => value !== null);
  for (const [axis, value] of drawn.slice(0, 14)) line(tip, axis.title, valueText(axis, value));
  if (drawn.length > 14) line(tip, `and ${drawn.length - 14} more`, "");
  const left = px > width / 2;
  tip.style.left = left ? "auto" : `${px + 14}px`;
  tip.style.right = left ? `${width - px + 14}px` : "auto";
  tip.hidden = false;
}

class Hover {
  constructor(svg, tip, find) {
    this.svg = svg; this.tip = tip;
    const at = event => { const box = svg.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    svg.addEventListener("pointermove", event => {
      if (event.buttons) return;
      const [px, py] = at(event), t = find(px, py);
      focus(t);
      svg.classList.toggle("pointing", t >= 0 && trials[t].href !== null);
      if (t < 0) tip.hidden = true;
      else { const box = tip.parentNode.getBoundingClientRect(); fillTip(tip, t, event.clientX - box.left, box.width); }
    });
    svg.addEventListener("pointerleave", () => { focus(-1); tip.hidden = true; });
    svg.addEventListener("click", event => {
      const t = find(...at(event));
      if (t >= 0 && trials[t].href !== null && event.pointerType === "mouse" && !svg.dataset.dragged) location.href = trials[t].href;
    });
  }
}

function sortable(table) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((cell, k) => {
    const button = cell.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = row => row.cells[k].dataset.v ?? row.cells[k].textContent.trim();
      const compare = (a, b) => {
        const x = key(a), y = key(b);
        if (x === "" || y === "") return (x === "") - (y === "");
        const order = Number.isNaN(Number(x)) || Number.isNaN(Number(y)) ? x.localeCompare(y) : x - y;
        return down ? -order : order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}

document.querySelectorAll("table.sortable").forEach(sortable);
rows.forEach((row, t) => {
  row?.addEventListener("pointerenter", () => focus(t));
  row?.addEventListener("pointerleave", () => focus(-1));
});
