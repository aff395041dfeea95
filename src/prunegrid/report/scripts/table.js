page.view("table", async (section, data) => {
  if (section.dataset.ready) return;
  const element = page.node("div");
  section.append(element);
  const labels = ["model", "budget", "sample", "token"].map((field) => ({ title: field, field }));
  const scores = data.benchmarks.map((field) => ({ title: field, field, hozAlign: "right" }));
  await page.grid(element, { data: data.rows, columns: [...labels, ...scores] });
});
