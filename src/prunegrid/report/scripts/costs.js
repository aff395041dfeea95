// Scores against what they took: `#costs?model=&benchmark=&axis=`. Rows and numbers are those of the table.
const costs = {
  COLOURS: ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#999999"],
  QTUNING: "#F0E442",

  // Each trained row of a model once, with its score on a benchmark and the interval of its difference from its baseline.
  points(data, model, benchmark) {
    const number = data.benchmarks.indexOf(benchmark);
    const rows = data.rows.filter((row) => row.model === model);
    const unique = new Map(rows.map((row) => [`${row.budget} ${row.variant}`, row]));
    return [...unique.values()].map((row) => {
      const entry = row.entries[number];
      const { delta, low, high, n_compared } = entry.deltas[""] || {};
      const ends = low === undefined ? {} : { low: entry.score - delta + low, high: entry.score - delta + high };
      const interval = low === undefined ? "none" : `${low.toFixed(2)} to ${high.toFixed(2)} points`;
      return {
        label: row.label, variant: row.variant, name: row.budget, budget: row.budget ? row.group : "all data", kind: row.kind, ratios: row.ratios,
        qtuning: row.qtuning, base: row.variant === row.baseline, score: entry.score, state: entry.status || "", ...ends,
        delta: delta === undefined ? "none" : `${delta.toFixed(2)} points`, interval, seeds: n_compared,
        ...Object.fromEntries(data.measures.map((name, place) => [name, row.measures[place][0]])),
      };
    });
  },

  // Points that are better than all that cost no more, above the untrained model's score; cheapest first.
  front(points, measure, floor) {
    const order = [...points].sort((one, other) => one[measure] - other[measure] || other.score - one.score);
    let best = floor;
    return order.filter((point) => point.score > best && ((best = point.score), true));
  },

  // A logarithmic axis where the largest value is over four times the least, and how far to the right a value is, 0 to 1.
  scale(values) {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const log = least > 0 && most > 4 * least;
    const at = log ? Math.log : (value) => value;
    return { scale: { type: log ? "log" : "linear", zero: false, nice: !log, padding: 24 }, share: (value) => (at(value) - at(least)) / (at(most) - at(least) || 1) };
  },

  // The points whose names fit beside them without touching another name: Q-Tuning and the baseline first, then the front.
  named(points, across, up, width, height) {
    const rank = (point) => (point.variant === "qtuning" ? 0 : point.base ? 1 : point.kind === "reference" ? 2 : point.front ? 3 : 4);
    const taken = [];
    const order = points.filter((point) => point.front || point.qtuning || point.base || point.kind === "reference");
    for (const point of order.sort((one, other) => rank(one) - rank(other) || other.score - one.score)) {
      const long = 6.4 * point.label.length;
      const left = across(point) * width + (point.right ? -9 - long : 9);
      const top = (1 - up(point)) * height + (point.base ? 5 : -17);
      const touches = (box) => left < box.left + box.long && box.left < left + long && Math.abs(top - box.top) < 14;
      if (left >= -40 && left + long < width + 40 && !taken.some(touches)) taken.push({ left, top, long, point });
    }
    return new Set(taken.map((box) => box.point));
  },

  controls(section, data, given, name, choices) {
    const frame = page.node("div", { className: "controls" });
    for (const [key, { label, options, value }] of Object.entries(choices)) {
      const all = options.map(([id, text]) => page.node("option", { value: id, textContent: text, selected: id === value }));
      const change = (event) => page.go(name, { ...given, [key]: event.target.value }, false);
      frame.append(page.node("label", { hidden: options.length < 2 }, label, page.node("select", { onchange: change }, ...all)));
    }
    section.replaceChildren(frame);
  },

  // Choices of model and benchmark that two views share; the average first.
  places(data, given) {
    const benchmarks = [...data.benchmarks].reverse().map((each) => [each, each]);
    return {
      model: { label: "Model", options: data.models.map((each) => [each, each]), value: given.model || data.models[0] },
      benchmark: { label: "Benchmark", options: benchmarks, value: given.benchmark || benchmarks[0][0] },
    };
  },

  tooltip: (extra) => [
    { field: "label", title: "row" }, { field: "budget" }, { field: "score", format: ".2f" }, ...extra,
    { field: "delta", title: "difference" }, { field: "interval", title: "95 % interval" },
  ],
};

page.view("costs", async (section, { axes }, given) => {
  const data = await page.data("table");
  const places = costs.places(data, given);
  const axis = axes.find((each) => each.measure === given.axis) || axes[0];
  const choices = { ...places, axis: { label: "Against", options: axes.map((each) => [each.measure, each.title]), value: axis.measure } };
  costs.controls(section, data, given, "costs", choices);
  const benchmark = places.benchmark.value;
  const all = costs.points(data, places.model.value, benchmark);
  const scored = all.filter((point) => point.score !== undefined && typeof point[axis.measure] === "number");
  const left = all.filter((point) => point.variant !== "zero-shot").length - scored.length;
  const floor = all.find((point) => point.variant === "zero-shot")?.score ?? -Infinity;
  const front = costs.front(scored, axis.measure, floor);
  const budgets = [...new Set(scored.map((point) => point.budget))];
  const best = new Set(front);
  const { scale, share } = costs.scale(scored.map((point) => point[axis.measure]));
  const drawn = scored.map((point) => ({ ...point, front: best.has(point), right: share(point[axis.measure]) > 0.6 }));
  const element = page.node("div", { className: "plot" });
  section.append(element);
  const range = costs.scale([...drawn.flatMap((point) => [point.score, point.low ?? point.score, point.high ?? point.score]), Number.isFinite(floor) ? floor : drawn[0]?.score]);
  const labelled = costs.named(drawn, (point) => share(point[axis.measure]), (point) => range.share(point.score), element.clientWidth - 110, 380);
  drawn.forEach((point) => Object.assign(point, { labelled: labelled.has(point) }));
  const x = { field: axis.measure, type: "quantitative", title: axis.title, scale, axis: { format: "~s", tickCount: 6, labelFlush: true } };
  const y = { field: "score", type: "quantitative", title: `${benchmark} (%)`, scale: { zero: false, padding: 16 } };
  const extra = axes.map(({ measure }) => ({ field: measure, format: measure === "Cost" ? ".3~r" : ",.0f" }));
  const marks = { type: "point", filled: true, size: 70, opacity: 1 };
  const ink = getComputedStyle(document.body).color;
  const layer = [
    ...(Number.isFinite(floor) ? [{ data: { values: [{ score: floor }] }, mark: { type: "rule", strokeDash: [4, 3], color: "gray", tooltip: `Zero-Shot, ${floor.toFixed(2)} %` }, encoding: { y } }] : []),
    { data: { values: front }, mark: { type: "line", interpolate: "step-after", color: "gray", strokeWidth: 1 }, encoding: { x, y, order: { field: axis.measure } } },
    { mark: { type: "rule", opacity: 0.35 }, transform: [{ filter: "isValid(datum.low)" }],
      encoding: { x, y: { field: "low", type: "quantitative" }, y2: { field: "high" }, color: { field: "budget", legend: null } } },
    { mark: marks, params: [{ name: "point", select: { type: "point", on: "pointerover" } }],
      encoding: { x, y, tooltip: costs.tooltip(extra),
        color: { field: "budget", type: "nominal", sort: budgets, title: null, scale: { domain: budgets, range: costs.COLOURS }, legend: budgets.length > 1 ? { orient: "top", labelLimit: 400 } : null },
        shape: { field: "kind", type: "nominal", title: null, scale: { domain: ["pair", "joint", "reference"], range: ["circle", "diamond", "cross"] }, legend: { orient: "top" } } } },
    { mark: { type: "point", shape: "diamond", filled: true, fill: costs.QTUNING, stroke: ink, strokeWidth: 1.2, size: 150, opacity: 1 },
      transform: [{ filter: "datum.qtuning" }], encoding: { x, y, tooltip: costs.tooltip(extra) } },
    { mark: { type: "point", shape: "circle", filled: false, stroke: ink, strokeWidth: 1.4, size: 130 }, transform: [{ filter: "datum.base" }], encoding: { x, y, tooltip: costs.tooltip(extra) } },
    { mark: { type: "text", dx: { expr: "datum.right ? -9 : 9" }, dy: { expr: "datum.base ? 13 : -9" }, align: { expr: "datum.right ? 'right' : 'left'" }, fontSize: 11.5, fill: ink }, transform: [{ filter: "datum.labelled" }],
      encoding: { x, y, text: { field: "label" } } },
  ];
  const words = [axis.words, "Ringed: the baseline. Yellow: Q-Tuning. Dashed: Zero-Shot. Lines: the 95 % interval of a row's difference from its baseline, drawn at its score; a row without one is the baseline, a reference, or has too few items.",
    "Names stand where they fit; a point tells its own under the pointer. The step line joins rows that nothing cheaper equals; of two near rows, which is on it may be chance.",
    left ? `Left out: ${left} rows without a score or a known cost.` : ""];
  section.append(page.node("p", { className: "quiet", textContent: words.filter(Boolean).join(" ") }));
  element.points = drawn;
  element.view = await page.plot(element, { data: { values: drawn }, width: "container", height: 440, padding: { left: 4, right: 22, top: 4, bottom: 4 }, layer, resolve: { scale: { color: "shared" } } });
});
