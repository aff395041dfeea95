// Two experiments, or ours beside the published: `#compare?benchmark=&verdict=`.
const compare = {
  points: (value) => `${value > 0 ? "+" : value < 0 ? "\u2212" : ""}${Math.abs(value).toFixed(2)}`,
  score: (value, seeds) => (seeds > 1 ? `${value.toFixed(2)} (${seeds})` : value.toFixed(2)),

  columns(rows) {
    const several = (field) => new Set(rows.map((row) => row[field])).size > 1;
    const label = (title, field) => ({ title, field, visible: several(field) });
    const number = (title, field, text) => ({ title, field, hozAlign: "right", sorter: "number",
      formatter: (cell) => document.createTextNode(text(cell.getRow().getData())) });
    return [
      label("Model", "model"), label("Data", "data"), label("Budget (%)", "budget"), { title: "Row", field: "row" },
      { title: "Benchmark", field: "benchmark" },
      number("Ours", "ours", (row) => compare.score(row.ours, row.our_seeds)),
      number("Theirs", "theirs", (row) => compare.score(row.theirs, row.their_seeds)),
      number("Difference", "difference", (row) => `${compare.points(row.difference)} ± ${row.half.toFixed(2)}`),
      { title: "Verdict", field: "verdict" },
    ];
  },

  frame(section, data) {
    const select = (name, label, values) => {
      const options = ["", ...values].map((value) => page.node("option", { value, textContent: value || "all" }));
      compare[name] = page.node("select", { onchange: (event) => page.go("compare", { ...compare.given, [name]: event.target.value }, false) }, ...options);
      return page.node("label", {}, label, compare[name]);
    };
    const unique = (field) => [...new Set(data.rows.map((row) => row[field]))];
    const grid = page.node("div");
    const lines = data.config.map((line) => page.node("tr", {}, ...line.map((textContent) => page.node("td", { textContent }))));
    const heads = ["Key", "Ours", "Theirs"].map((textContent) => page.node("th", { scope: "col", textContent }));
    section.append(
      page.node("h2", { textContent: data.title }),
      page.node("div", { className: "controls" }, select("benchmark", "Benchmark", unique("benchmark")), select("verdict", "Verdict", unique("verdict"))),
      grid,
      ...data.remarks.map((textContent) => page.node("p", { className: "quiet", textContent })),
    );
    if (data.title && data.config.length) {
      section.append(page.node("h2", { textContent: "What differs in the configs" }),
        page.node("div", { className: "wide" }, page.node("table", { className: "facts differences" }, page.node("thead", {}, page.node("tr", {}, ...heads)), page.node("tbody", {}, ...lines))));
    }
    const long = data.rows.length > 40 ? { maxHeight: "75vh" } : {};
    return page.grid(grid, { data: data.rows, columns: compare.columns(data.rows), layout: "fitDataTable", placeholder: "No row is on both sides.", ...long });
  },
};

page.view("compare", async (section, data, given) => {
  compare.given = given;
  const grid = await (compare.built ||= compare.frame(section, data));
  for (const name of ["benchmark", "verdict"]) compare[name].value = given[name] || "";
  grid.setFilter((row) => ["benchmark", "verdict"].every((name) => !given[name] || row[name] === given[name]));
});
