// A selection alone: what was kept, by what, from what.
page.view("selection", async (section, data) => {
  const facts = (rows) => page.node("dl", { className: "facts" },
    ...rows.flatMap(([name, value]) => [page.node("dt", {}, name), page.node("dd", {}, value)]));
  selections.show(section, data.sentences.map((text) => page.node("p", {}, text)),
    data.tables.map(([title, rows]) => [page.node("h2", {}, title), facts(rows)]).flat(),
    data.note && page.node("p", { className: "quiet" }, data.note));
});
