// Overlap of selections: a matrix of numbers, coloured by them, and every pair as a table. Below, the audit's means.
{
  const MEASURES = {
    samples: "samples: Jaccard of what is kept",
    tokens: "tokens: Jaccard within common samples",
    spearman: "order of samples: Spearman's correlation",
  };

  page.view("overlap", async (section, data, parameters) => {
    const note = data.note && page.node("p", { className: "quiet" }, data.note);
    if (!data.places.length) return selections.show(section, note);
    const models = [...new Set(data.places.map((place) => place.model))];
    const model = models.includes(parameters.model) ? parameters.model : models[0];
    const budgets = [...new Set(data.places.filter((place) => place.model === model).map((place) => place.budget))];
    const budget = budgets.includes(parameters.budget) ? parameters.budget : budgets[0];
    const some = data.places.filter((place) => place.model === model && place.budget === budget);
    const seeds = [...new Set(some.map((place) => String(place.seed)))];
    const seed = seeds.includes(parameters.seed) ? parameters.seed : "mean";
    const measure = MEASURES[parameters.measure] ? parameters.measure : "samples";
    const go = (change) => page.go("overlap", { ...parameters, ...change });
    const named = (name) => (value) => go({ [name]: value });
    const controls = page.node("div", { className: "controls" }, ...[
      selections.list("model", "overlap-model", models.map((one) => [one, one]), model, named("model")),
      selections.list("budget", "overlap-budget", budgets.map((one) => [one, selections.budget(one)]), budget, named("budget")),
      selections.list("of", "overlap-measure", Object.entries(MEASURES), measure, named("measure")),
      seeds.length > 1 && selections.list("seed", "overlap-seed", [["mean", "mean of all"], ...seeds.map((one) => [one, one])], seed, named("seed")),
    ].filter(Boolean));
    const pairs = pairsOf(data, budget);
    const list = page.node("div");
    selections.show(section, controls, note, page.node("p", { className: "quiet" }, legend(measure, seeds, seed)),
      page.node("div", { className: "matrix", tabIndex: 0, role: "region", ariaLabel: "Matrix of selections" },
        matrix(data, some, pairs, measure, seed, seeds)),
      page.node("h2", {}, "Every two selections of this budget"), list, ...audit(data.audit));
    await pairTable(list, pairs, models.length > 1, seeds.length > 1);
    const box = section.querySelector(".audit");
    if (box) await auditTable(box, data.audit);
  });

  function legend(measure, seeds, seed) {
    const chance = measure === "spearman" ? "1: the same order of all samples; 0: no relation. Joint pruners have no order."
      : "1: the same; 0: nothing in common. Small: what two random choices of as many have in common.";
    const same = seeds.length < 2 ? "" : seed === "mean"
      ? " Means over pairs of the same seed; on the diagonal, of a pruner with itself under another seed."
      : ` Both with seed ${seed}.`;
    return chance + same;
  }

  // The pairs of a budget, each with both places.
  function pairsOf({ places, pairs }, budget) {
    const all = pairs.first.map((first, i) => ({
      one: places[first], other: places[pairs.second[i]], samples: pairs.samples[i], samples_chance: pairs.samples_chance[i],
      tokens: pairs.tokens[i], tokens_chance: pairs.tokens_chance[i], spearman: pairs.spearman[i], common: pairs.common_samples[i],
    }));
    return all.filter((pair) => pair.one.budget === budget);
  }

  const mean = (values) => {
    const known = values.filter((value) => value !== null && value !== undefined);
    return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
  };

  function matrix(data, places, pairs, measure, seed, seeds) {
    const variants = [...new Map(places.map((place) => [place.variant, place.label]))];
    const model = places[0].model;
    const groups = new Map();
    for (const pair of pairs) {
      if (pair.one.model !== model || pair.other.model !== model) continue;
      const itself = pair.one.variant === pair.other.variant;
      const used = itself ? seed === "mean" : pair.one.seed === pair.other.seed && (seed === "mean" || String(pair.one.seed) === seed);
      if (!used) continue;
      for (const key of new Set([`${pair.one.variant}\n${pair.other.variant}`, `${pair.other.variant}\n${pair.one.variant}`])) {
        groups.set(key, [...(groups.get(key) ?? []), pair]);
      }
    }
    const head = page.node("tr", {}, page.node("th", { scope: "col" }, "selection"),
      ...variants.map(([, label], i) => page.node("th", { scope: "col", title: label }, String(i + 1))));
    const rows = variants.map(([variant, label], i) => page.node("tr", {},
      page.node("th", { scope: "row", title: label }, `${i + 1} ${label}`),
      ...variants.map(([other, otherLabel]) => cell(groups.get(`${variant}\n${other}`) ?? [], measure, `${label} and ${otherLabel}`))));
    return page.node("table", {}, page.node("thead", {}, head), page.node("tbody", {}, ...rows));
  }

  function cell(pairs, measure, title) {
    const value = mean(pairs.map((pair) => pair[measure]));
    const chance = measure === "spearman" ? null : mean(pairs.map((pair) => pair[`${measure}_chance`]));
    if (value === null) return page.node("td", { title }, "–");
    const colour = value < 0 ? "var(--down)" : "var(--accent)";
    const style = `background: color-mix(in srgb, ${colour} ${Math.round(45 * Math.abs(value))}%, transparent)`;
    return page.node("td", { title, style }, value.toFixed(2), chance === null ? null : page.node("small", {}, chance.toFixed(2)));
  }

  function pairTable(list, pairs, models, seeds) {
    const name = (place) => [models && place.model, place.label, seeds && `seed ${place.seed}`].filter(Boolean).join(", ");
    const data = pairs.map((pair) => ({ ...pair, one: name(pair.one), other: name(pair.other) }));
    const number = (title, field) => ({ title, field, hozAlign: "right" });
    return page.grid(list, {
      data, height: Math.min(380, 60 + 32 * data.length), initialSort: [{ column: "samples", dir: "desc" }],
      columns: [
        { title: "selection", field: "one", headerFilter: "input" }, { title: "other", field: "other", headerFilter: "input" },
        number("samples", "samples"), number("by chance", "samples_chance"), number("in common", "common"),
        number("tokens", "tokens"), number("by chance", "tokens_chance"), number("Spearman", "spearman"),
      ],
    });
  }

  function audit(rows) {
    if (!rows.length) return [];
    return [page.node("h2", {}, "Planted kinds (audit)"),
      page.node("p", { className: "quiet" }, "Percent of each planted kind of sample that is kept, and of planted wrong tokens that is dropped; " +
        "means over base models. The interval is of the difference from chance, in points."),
      page.node("div", { className: "audit" })];
  }

  function auditTable(box, rows) {
    const percent = (value) => (value === null ? null : Number((100 * value).toFixed(1)));
    const data = rows.map((row) => ({ ...row, ...Object.fromEntries(["sample_ratio", "token_ratio", "share", "chance", "low", "high"].map((name) => [name, percent(row[name])])) }));
    const number = (title, field) => ({ title, field, hozAlign: "right" });
    return page.grid(box, {
      data, height: 380,
      columns: [{ title: "of", field: "what", headerFilter: "input" }, { title: "pruner", field: "pruner", headerFilter: "input" },
        number("% samples", "sample_ratio"), number("% tokens", "token_ratio"), { title: "kind", field: "kind", headerFilter: "input" },
        number("n", "n"), number("share", "share"), number("chance", "chance"), number("low", "low"), number("high", "high")],
    });
  }
}
