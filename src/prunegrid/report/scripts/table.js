// The table: `#table?model=&budget=&pruner=&kind=&find=&against=&show=&noise=&sort=`.
// `against`: the row that deltas are against; `show`: what cells and columns hold; `noise=dim`: rows within noise fade;
// `sort`: a column's title, with a minus sign before it for the largest first.
const tableView = {
  parts: ["Score", "Delta", "Interval"],
  kinds: { pair: "Pairs", joint: "Joint methods", reference: "References" },

  frame(section, data) {
    const change = (name) => (event) => tableView.go({ [name]: event.target.value });
    const variants = [...new Map(data.rows.map((row) => [row.variant, row.label])).entries()];
    const pruners = [...new Set(data.rows.flatMap((row) => [row.sample, row.token]).filter(Boolean))].sort();
    const budgets = [...new Map(data.rows.filter((row) => row.budget).map((row) => [row.budget, row.group])).entries()];
    const kinds = Object.entries(tableView.kinds).filter(([kind]) => data.rows.some((row) => row.kind === kind));
    const own = data.own ? `each row's own (${data.own.split(" at the same")[0]})` : "no row";
    const select = (name, label, all, options) => {
      const choices = [["", all], ...options].map(([value, text]) => page.node("option", { value, textContent: text }));
      frame[name] = page.node("select", { onchange: change(name) }, ...choices);
      return page.node("label", { hidden: options.length < 2 }, label, frame[name]);
    };
    const frame = (tableView.controls = {});
    frame.find = page.node("input", { type: "search", placeholder: "in a row's name", oninput: change("find") });
    frame.show = [...tableView.parts, ...data.measures].map((name) =>
      page.node("button", { type: "button", textContent: name, onclick: () => tableView.toggle(name) }),
    );
    frame.noise = page.node("button", { type: "button", textContent: "Dim rows within noise", onclick: () =>
      tableView.go({ noise: tableView.given.noise === "dim" ? "" : "dim" }) });
    section.append(
      page.node("div", { className: "controls" },
        select("against", "Deltas against", own, variants),
        select("model", "Model", "all", data.models.map((name) => [name, name])),
        select("budget", "Budget", "all", budgets),
        select("pruner", "Pruner", "all", pruners.map((name) => [name, name])),
        select("kind", "Rows", "all", kinds),
        page.node("label", {}, "Find", frame.find),
        page.node("div", { className: "buttons", role: "group", "aria-label": "Shown" }, ...frame.show),
        page.node("div", { className: "buttons" }, frame.noise)),
      (frame.words = page.node("p", { className: "quiet", role: "status" })),
      (frame.grid = page.node("div", { className: "results" })),
      (frame.legend = page.node("p", { className: "quiet" })),
    );
    const still = document.getElementById("static");
    section.prepend(...[...still.querySelectorAll(".note")].map((node) => node.cloneNode(true)));
    const after = [...still.querySelectorAll("h2, h2 ~ .legend, h2 ~ .wide, .footnotes")];
    section.append(...after.map((node) => node.cloneNode(true)));
  },

  go: (changes) => page.go("table", { ...tableView.given, ...changes }, false),

  // What is shown: the address's, else scores with deltas and the counted work.
  shown(data, given) {
    if (given.show) return new Set(given.show.split(","));
    return new Set(["Score", "Delta", ...data.measures.filter((name) => !["Passes", "Ends", "Cost"].includes(name))]);
  },

  toggle(name) {
    const shown = tableView.shown(tableView.data, tableView.given);
    if (!shown.delete(name)) shown.add(name);
    tableView.go({ show: [...shown].join(",") });
  },

  // The mean over the seeds that both sides have of the differences; a side without seeds pairs with each of the other's.
  difference(entry, base) {
    const [ours, theirs] = [entry.seeds, base.seeds];
    const seeds = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])].filter(Boolean);
    const pairs = (seeds.length ? seeds : [""]).map((seed) => [ours[seed] ?? ours[""], theirs[seed] ?? theirs[""]]);
    const both = pairs.filter(([one, other]) => one !== undefined && other !== undefined);
    if (!both.length) return {};
    const delta = both.reduce((sum, [one, other]) => sum + one - other, 0) / both.length;
    return { delta: Number(tableView.fixed(delta)), n_compared: both.length };
  },

  // Two decimals as Python rounds them: of the two that are equally near, the even one.
  fixed(value) {
    const between = Number.isInteger(8 * value) && !Number.isInteger(4 * value);
    return (between ? (2 * Math.round(50 * value)) / 100 : value).toFixed(2);
  },

  base(row, against) {
    const same = (other) => other.model === row.model && (other.budget === row.budget || !other.budget || !row.budget);
    return tableView.data.rows.find((other) => other.variant === against && same(other));
  },

  // The delta of a row's entry, with its interval where Python has made one.
  delta(row, number, against) {
    const entry = row.entries[number];
    const given = entry.deltas[against];
    if (given || !against || against === row.variant) return given || {};
    const base = tableView.base(row, against);
    return base ? tableView.difference(entry, base.entries[number]) : {};
  },

  // Whether noise alone may make the difference; undefined where nothing tells.
  withinNoise: ({ low, high, significant }) => (significant === undefined ? (low === undefined ? undefined : low <= 0 && high >= 0) : !significant),

  value(row, number) {
    const shown = tableView.show;
    return shown.has("Score") ? row.entries[number].score : tableView.delta(row, number, tableView.given.against || "").delta;
  },

  // What a row that is itself the baseline is shown beside: a joint method of its budget, else any other row there.
  rival(row) {
    const others = tableView.data.rows.filter((other) => other.model === row.model && other.variant !== row.variant);
    const near = others.filter((other) => other.budget === row.budget);
    return near.find((other) => other.kind === "joint") || near[0] || others[0];
  },

  arrow: (delta) => `${delta > 0 ? "↑" : delta < 0 ? "↓" : ""}${Math.abs(delta).toFixed(2)}`,

  score(row, number) {
    const entry = row.entries[number];
    const { against } = tableView.given;
    const name = tableView.data.benchmarks[number];
    const text = entry.score.toFixed(2);
    const inside = [entry.best ? page.node("b", { textContent: text }) : text];
    if (!page.views.items || number === tableView.data.benchmarks.length - 1) return page.node("span", { className: "score" }, ...inside);
    const base = tableView.base(row, against || row.baseline);
    const b = (base && base !== row ? base : tableView.rival(row))?.variant;
    const href = page.address("items", { model: row.model, benchmark: name, budget: row.budget, a: row.variant, b });
    return page.node("a", { className: "score", href, title: "its items" }, ...inside);
  },

  cell(row, number) {
    const entry = row.entries[number];
    const shown = tableView.show;
    const notes = (entry.marks || []).map((mark) => page.node("sup", { textContent: `[${mark}]` }));
    if (entry.status) {
      const meaning = tableView.data.statuses[entry.state] || "";
      return page.node("span", {}, page.node("span", { className: entry.state, textContent: entry.status, title: meaning }), ...notes);
    }
    const found = tableView.delta(row, number, tableView.given.against || "");
    const parts = [];
    if (shown.has("Score")) {
      parts.push(tableView.score(row, number));
      if (entry.sd !== undefined) parts.push(page.node("small", { textContent: ` ±${entry.sd.toFixed(2)}` }));
      if (entry.note) parts.push(page.node("small", { textContent: ` ${entry.note}` }));
    }
    if (shown.has("Delta")) {
      const known = found.delta !== undefined;
      const way = found.delta > 0 ? " up" : found.delta < 0 ? " down" : "";
      const words = known ? tableView.arrow(found.delta) : "";
      const delta = page.node("span", { className: `delta${way}`, textContent: words });
      if (found.significant) delta.append(page.node("span", { className: "star", textContent: "*" }));
      if (known && found.n_compared < Object.keys(entry.seeds).length) delta.append(` (${found.n_compared})`);
      if (found.low !== undefined) delta.title = `95 % interval ${tableView.range(found)} points`;
      parts.push(" ", delta);
    }
    if (shown.has("Interval") && found.low !== undefined) {
      parts.push(page.node("span", { className: "interval", textContent: tableView.range(found) }));
    }
    return page.node("span", {}, ...parts, ...notes);
  },

  range: ({ low, high }) => [low, high].map((end) => `${end > 0 ? "+" : end < 0 ? "−" : ""}${Math.abs(end).toFixed(2)}`).join(" to "),

  columns(data) {
    const [wide, several] = [matchMedia("(min-width: 1000px)").matches, data.models.length > 1];
    // what has no value comes last, whichever way the others are sorted
    const sorter = (value) => (a, b, rowA, rowB, column, direction) => {
      const [one, other] = [value(rowA.getData()), value(rowB.getData())].map((found) => found ?? null);
      if (one === null || other === null) return (direction === "asc" ? 1 : -1) * ((one === null) - (other === null));
      return one - other;
    };
    const label = (title, field) => ({ title, field, frozen: wide || (!several && field !== "token"), formatter: (cell) => {
      cell.getElement().title = cell.getValue();
      return document.createTextNode(cell.getValue());
    } });
    return [
      { ...label("Model", "model"), visible: several },
      label("Sample pruner", "sample"),
      label("Token pruner", "token"),
      ...data.benchmarks.map((title, number) => ({
        title,
        field: `score${number}`,
        cssClass: number === data.benchmarks.length - 1 ? "average" : "",
        headerSortStartingDir: "desc",
        sorter: sorter((row) => tableView.value(row, number)),
        formatter: (cell) => tableView.cell(cell.getRow().getData(), number),
      })),
      ...data.measures.map((title, number) => ({
        title,
        field: `measure${number}`,
        hozAlign: "right",
        cssClass: "measure",
        sorter: sorter((row) => row.measures[number][0]),
        formatter: (cell) => document.createTextNode(cell.getRow().getData().measures[number][1]),
      })),
    ];
  },

  build(section, data) {
    tableView.frame(section, data);
    data.rows.forEach((row, number) => Object.assign(row, { number }));
    return tableView.grid(data);
  },

  async grid(data) {
    const several = new Set(data.rows.map((row) => row.group)).size > 1;
    const grouped = { groupBy: "group", groupHeader: (title, count) => document.createTextNode(title || "References") };
    const grid = await page.grid(tableView.controls.grid, {
      data: data.rows,
      index: "number",
      nestedFieldSeparator: false,
      columns: tableView.columns(data),
      layout: "fitDataTable",
      placeholder: "No row is left: change the filters.",
      ...(data.rows.length > 60 ? { maxHeight: "85vh", renderVerticalBuffer: 100 } : { renderVertical: "basic" }),
      ...(several ? grouped : {}),
      rowFormatter: (row) => tableView.look(row.getElement(), row.getData()),
    });
    grid.on("headerClick", () => setTimeout(() => {
      const [sorted] = grid.getSorters();
      const title = sorted && sorted.column.getDefinition().title;
      const changed = title ? `${sorted.dir === "desc" ? "-" : ""}${title}` : "";
      if (changed !== (tableView.given.sort || "")) tableView.go({ sort: changed });
    }));
    return grid;
  },

  look(element, row) {
    const last = tableView.data.benchmarks.length - 1;
    const noise = tableView.withinNoise(tableView.delta(row, last, tableView.given.against || ""));
    element.classList.add(row.kind);
    element.classList.toggle("noise", tableView.given.noise === "dim" && noise === true);
    element.classList.toggle("chosen", Boolean(tableView.given.against) && row.variant === tableView.given.against);
  },

  keeps(row) {
    const { model, budget, pruner, kind, find } = tableView.given;
    const names = [row.sample, row.token].join("\n");
    return (!model || row.model === model) && (!budget || row.budget === budget || (!row.budget && row.group === tableView.groupOf(budget))) &&
      (!pruner || row.sample === pruner || row.token === pruner) && (!kind || row.kind === kind) &&
      (!find || names.toLowerCase().includes(find.toLowerCase()));
  },

  groupOf: (budget) => tableView.data.rows.find((row) => row.budget === budget)?.group,

  words(data, given) {
    const against = given.against || "";
    const row = data.rows.find((each) => each.variant === against);
    const place = row && !row.budget ? "of the same model" : "at the same model, budget and seed";
    const what = against ? `${row ? row.label : against} ${place}` : data.own;
    if (!what) return ""; // the note above says so
    const known = !against || data.compared.includes(against);
    const missing = ` No intervals or tests against this row here: \`prunegrid table ${data.folder} --against ${against}\` makes them,` +
      ` then \`prunegrid report ${data.folder}\` shows them. A score's own items have the interval of its pair.`;
    return `Arrows: points above or below ${what}.${known ? "" : missing}`;
  },
};

page.view("table", async (section, data, given) => {
  tableView.data = data;
  tableView.given = given;
  tableView.show = tableView.shown(data, given);
  const table = await (tableView.built ||= tableView.build(section, data));
  const { controls } = tableView;
  for (const name of ["against", "model", "budget", "pruner", "kind", "find"]) {
    if (controls[name].value !== (given[name] || "")) controls[name].value = given[name] || "";
  }
  for (const button of [...controls.show, controls.noise]) {
    button.setAttribute("aria-pressed", String(button === controls.noise ? given.noise === "dim" : tableView.show.has(button.textContent)));
  }
  controls.words.textContent = tableView.words(data, given);
  controls.legend.textContent = [...data.legend, given.noise === "dim" ? "Dimmed: noise alone may make the delta of Avg." : ""].join(" ");
  const hidden = data.measures.filter((name) => !tableView.show.has(name));
  data.measures.forEach((name, number) => table[hidden.includes(name) ? "hideColumn" : "showColumn"](`measure${number}`));
  table.setFilter((row) => tableView.keeps(row));
  const titles = table.getColumns().map((column) => [column.getDefinition().title, column.getField()]);
  const sort = titles.find(([title]) => title === (given.sort || "").replace(/^-/, ""));
  if (sort) table.setSort(sort[1], given.sort.startsWith("-") ? "desc" : "asc");
  else table.clearSort();
  table.getRows().forEach((row) => row.reformat());
  table.redraw(true);
});
