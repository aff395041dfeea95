// Scores over budgets: `#budgets?model=&benchmark=&axis=&rows=`. Rows and numbers are those of the table.
page.view("budgets", async (section, { detectable }, given) => {
  const data = await page.data("table");
  const places = costs.places(data, given);
  const ratios = {
    both: { title: "Samples kept × tokens kept (% of the tokens, nominal)", value: ([sample, token]) => 100 * sample * token },
    samples: { title: "Samples kept (%)", value: ([sample]) => 100 * sample },
    tokens: { title: "Tokens kept of each answer (%)", value: ([, token]) => 100 * token },
  };
  const axis = ratios[given.axis] || ratios.both;
  const [model, benchmark] = [places.model.value, places.benchmark.value];
  const points = costs.points(data, model, benchmark).filter((point) => point.score !== undefined);
  const pruned = points.filter((point) => point.kind !== "reference");
  const labels = [...new Set(pruned.map((point) => point.label))];
  const mean = (label) => { const own = pruned.filter((each) => each.label === label); return own.reduce((sum, each) => sum + each.score, 0) / own.length; };
  const marked = [...new Set(pruned.filter((point) => point.qtuning || point.base).map((point) => point.label))];
  const best = labels.filter((label) => !marked.includes(label)).sort((one, other) => mean(other) - mean(one));
  const few = [...marked, ...best].slice(0, 6);
  const chosen = given.rows === "all" ? labels : labels.includes(given.rows) ? [...new Set([given.rows, ...marked])] : few;
  const rows = { label: "Rows", value: given.rows || "", options: [["", "Q-Tuning, the baseline, the best"], ["all", "all"], ...labels.map((label) => [label, label])] };
  const against = { label: "Over", value: given.axis || "both", options: Object.entries(ratios).map(([id, { title }]) => [id, title]) };
  costs.controls(section, data, given, "budgets", { ...places, axis: against, rows });
  const drawn = pruned.filter((point) => chosen.includes(point.label)).map((point) => ({ ...point, ratio: axis.value(point.ratios) }));
  const bands = drawn.filter((point) => point.base).flatMap((point) => {
    const size = detectable.find((each) => each.model === model && each.benchmark === benchmark && each.budget === point.name);
    return size ? [{ ratio: point.ratio, low: point.score - size.points, high: point.score + size.points, points: size.points }] : [];
  });
  const x = { field: "ratio", type: "quantitative", title: axis.title, scale: { zero: false, padding: 24 } };
  const y = { field: "score", type: "quantitative", title: `${benchmark} (%)`, scale: { zero: false, padding: 12 } };
  const order = labels.filter((label) => chosen.includes(label));
  const colour = { field: "label", type: "nominal", title: null, sort: order, scale: { domain: order, range: costs.COLOURS }, legend: { orient: "top", columns: innerWidth < 700 ? 1 : 3, labelLimit: 400, symbolLimit: 40 } };
  const references = points.filter((point) => point.kind === "reference");
  const layer = [
    { data: { values: bands }, mark: { type: "area", opacity: 0.15, color: "gray" }, encoding: { x, y: { ...y, field: "low" }, y2: { field: "high" } } },
    { data: { values: references }, mark: { type: "rule", strokeDash: [4, 3], color: "gray" }, encoding: { y, tooltip: [{ field: "label" }, { field: "score", format: ".2f" }] } },
    { mark: { type: "line", strokeWidth: 1.5 }, encoding: { x, y, color: colour, detail: { field: "label" } } },
    { mark: { type: "rule", opacity: 0.45 }, transform: [{ filter: "isValid(datum.low)" }], encoding: { x, y: { ...y, field: "low" }, y2: { field: "high" }, color: { ...colour, legend: null } } },
    { mark: { type: "point", filled: true, size: 55, opacity: 1 }, encoding: { x, y, color: colour, tooltip: costs.tooltip([]),
      shape: { field: "kind", type: "nominal", scale: { domain: ["pair", "joint"], range: ["circle", "diamond"] }, legend: null } } },
  ];
  const element = page.node("div", { className: "plot" });
  const band = bands.length ? "Grey: around the baseline, the difference that the results find four times in five (the median row of the budget)." : "No band: the noise of these differences is not known.";
  const words = [band, "Lines at points: the 95 % interval of the difference from the baseline, drawn at the score. Dashed: references.", `${drawn.length} of ${pruned.length} scores are drawn.`];
  section.append(element, page.node("p", { className: "quiet", textContent: words.join(" ") }));
  Object.assign(element, { points: drawn, bands });
  element.view = await page.plot(element, { data: { values: drawn }, width: "container", height: 440, padding: { left: 4, right: 22, top: 4, bottom: 4 }, layer });
});
