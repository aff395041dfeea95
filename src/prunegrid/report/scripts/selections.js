// What the views of selections share: an experiment's place in the address, its controls, words for marks and budgets.
const selections = {
  count: (number) => number.toLocaleString("en"),

  // "s0.125-t0.5" in words.
  budget(name) {
    const [samples, tokens] = name.slice(1).split("-t").map((ratio) => Number((100 * ratio).toPrecision(6)));
    return `${samples} % of samples, ${tokens} % of tokens`;
  },

  // The selection that the address names; where it names none, or one that is not there, the nearest to it.
  find(all, { budget, variant, seed }) {
    const score = (one) =>
      4 * (one.budget === budget) + 2 * (one.variant === variant) + (String(one.seed) === seed) + 0.75 * one.joint + 0.5 * !one.dynamic;
    return all.reduce((best, one) => (!best || score(one) > score(best) ? one : best), null);
  },

  // A drop-down list with a label; `options` are [value, text]. null where there is nothing to choose.
  list(label, id, options, value, change) {
    const distinct = [...new Map(options)];
    if (distinct.length < 2) return null;
    const items = distinct.map(([name, text]) => page.node("option", { value: name, textContent: text }));
    const select = page.node("select", { id, onchange: () => change(select.value) }, ...items);
    select.value = value;
    return page.node("label", {}, label, select);
  },

  // The lists of model, budget, pruner and seed of a view whose address has these `parameters`.
  lists(view, models, model, choice, parameters, pruner = true) {
    const go = (change) => page.go(view, { ...parameters, ...change });
    const all = model.selections;
    const some = all.filter((one) => one.budget === choice?.budget);
    const seeds = some.filter((one) => one.variant === choice?.variant || !pruner);
    const named = (name) => (value) => go({ [name]: value });
    return [
      selections.list("model", `${view}-model`, models.map((m) => [m.model, m.model]), model.model, named("model")),
      selections.list("budget", `${view}-budget`, all.map((one) => [one.budget, selections.budget(one.budget)]),
        choice?.budget, named("budget")),
      pruner && selections.list("pruner", `${view}-variant`, some.map((one) => [one.variant, one.label]),
        choice?.variant, named("variant")),
      selections.list("seed", `${view}-seed`, seeds.map((one) => [String(one.seed), one.seed]),
        String(choice?.seed), named("seed")),
    ].filter(Boolean);
  },

  // Replace what a section shows; the control that had the focus has it again.
  show(section, ...children) {
    const focus = section.contains(document.activeElement) ? document.activeElement.id : "";
    section.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    if (focus) document.getElementById(focus)?.focus();
  },

  number: (value) => (value === null || value === undefined ? "–" : String(value)),
};
