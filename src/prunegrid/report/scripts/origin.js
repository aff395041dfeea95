// Where it comes from: sections of names and values, or of plain text.
page.view("origin", (section, sections) => {
  if (section.dataset.ready) return;
  for (const { title, lines, text } of sections) {
    const values = (lines || []).map(([name, value]) =>
      page.node("tr", {}, page.node("th", { scope: "row", textContent: name }), page.node("td", { textContent: value })),
    );
    const body = text === undefined ? page.node("table", { className: "facts" }, ...values) : page.node("pre", { textContent: text });
    const long = text !== undefined && text.length > 3000;
    section.append(
      long
        ? page.node("details", {}, page.node("summary", {}, page.node("h2", { textContent: title })), body)
        : page.node("div", {}, page.node("h2", { textContent: title }), body),
    );
  }
});
