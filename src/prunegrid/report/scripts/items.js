// The view of the items: two rows, A and B, on one benchmark. All that is chosen stands in the address:
// `#items?model=&benchmark=&budget=&a=&b=&seed=&kind=&find=&item=`, and `b_budget` where B's is another one.
const items = {
  STEP: 50,
  NAMES: {
    right: { both: "Both right", a: "Only A right", b: "Only B right", neither: "Neither right" },
    scored: { both: "Both 100 %", a: "A better", b: "B better", neither: "Both 0 %", equal: "Equal, between" },
  },

  // What the address means; what it does not say is the index's start. `problem`: what it names and is not there.
  state(index, given) {
    const model = given.model || index.tables[0].model;
    const benchmark = given.benchmark || index.tables.find((table) => table.model === model)?.benchmark;
    const number = index.tables.findIndex((table) => table.model === model && table.benchmark === benchmark);
    const budget = given.budget ?? index.start.budget ?? "";
    const row = (variant, of) => index.rows.find((each) => each.variant === variant && (each.budget === of || !each.budget));
    const names = { a: given.a || index.start.a || index.rows[0].variant, b: given.b || index.start.b };
    names.b ??= index.rows.find((each) => each.variant !== names.a)?.variant ?? names.a;
    const [a, b] = [row(names.a, budget), row(names.b, given.b_budget ?? budget)];
    const missing = [number < 0 && `scores of ${model} on ${benchmark}`, !a && `row ${names.a}`, !b && `row ${names.b}`];
    const problem = missing.filter(Boolean).map((what) => `There is no ${what} (budget ${budget || "none"}).`)[0];
    return { ...given, model, benchmark, number, a, b, problem };
  },

  // The address's parameters of a state with changes; rows are named by variant and budget.
  parameters(state, changes = {}) {
    const { model, benchmark, a, b, seed, kind, find, item } = { ...state, ...changes };
    const budget = a.budget || b.budget;
    const other = b.budget && b.budget !== budget ? b.budget : "";
    const rows = { budget, a: a.variant, b: b.variant, b_budget: other };
    return { model, benchmark, ...rows, seed, kind, find, item };
  },

  change: (state, changes) => page.go("items", items.parameters(state, { item: "", ...changes }), false),

  // The controls, made once: their values follow the address, so that whoever types is not interrupted.
  frame(section, index) {
    const frame = { body: page.node("div"), state: null };
    const select = (name, read) =>
      page.node("select", { onchange: (event) => items.change(frame.state, read(event.target.value)) });
    const side = (key) => select(key, (place) => ({ [key]: index.rows[place] }));
    frame.model = select("model", (model) => ({ model }));
    frame.benchmark = select("benchmark", (benchmark) => ({ benchmark }));
    frame.a = side("a");
    frame.b = side("b");
    frame.seed = select("seed", (seed) => ({ seed }));
    frame.find = page.node("input", { type: "search", oninput: (event) => items.change(frame.state, { find: event.target.value }) });
    const swap = page.node("button", { textContent: "⇄ Swap A and B", onclick: () => items.swap(frame.state) });
    const labelled = (text, control) => page.node("label", {}, text, control);
    const controls = page.node("div", { className: "controls" });
    controls.append(labelled("Model", frame.model), labelled("Benchmark", frame.benchmark), labelled("A", frame.a), swap);
    controls.append(labelled("B", frame.b), labelled("Seed", frame.seed), labelled("Search", frame.find));
    section.replaceChildren(controls, frame.body);
    document.addEventListener("keydown", (event) => items.key(section, frame, event));
    return frame;
  },

  swap(state) {
    const kind = { a: "b", b: "a" }[state.kind] || state.kind;
    page.go("items", items.parameters(state, { a: state.b, b: state.a, kind }), false);
  },

  // Left and right go to the next item, Escape to all.
  key(section, frame, event) {
    if (section.hidden || event.target.matches("input, select") || event.altKey || event.ctrlKey || event.metaKey) return;
    const names = { ArrowLeft: "previous", ArrowRight: "next", Escape: "all" };
    frame.body.querySelector(`[data-key="${names[event.key]}"]`)?.click();
  },

  options(select, choices, chosen) {
    const groups = new Map();
    const option = ([value, text]) => page.node("option", { value, textContent: text, selected: String(value) === String(chosen) });
    for (const choice of choices) groups.set(choice[2] || "", [...(groups.get(choice[2] || "") || []), option(choice)]);
    const nodes = [...groups].flatMap(([label, inner]) => (label ? [page.node("optgroup", { label }, ...inner)] : inner));
    select.replaceChildren(...nodes);
  },

  controls(frame, index, state) {
    const { a, b, model, benchmark } = state;
    const table = index.tables[state.number];
    const models = [...new Set(index.tables.map((each) => each.model))];
    items.options(frame.model, models.map((name) => [name, name]), model);
    const here = index.tables.filter((each) => each.model === model);
    items.options(frame.benchmark, here.map((each) => [each.benchmark, each.benchmark]), benchmark);
    frame.model.parentElement.hidden = models.length < 2;
    const there = (row) => table && itemData.columns(table, row).size;
    const rows = index.rows.map((row, place) => [place, row.label, row.title, there(row)]).filter((row) => row[3]);
    items.options(frame.a, rows, index.rows.indexOf(a));
    items.options(frame.b, rows, index.rows.indexOf(b));
    const seeds = table && a && b ? itemData.pairs(table, a, b).map(([seed]) => seed) : [];
    const every = [["", `all ${seeds.length}`], ...seeds.map((seed) => [seed, String(seed)])];
    items.options(frame.seed, every, state.seed ?? "");
    frame.seed.parentElement.hidden = seeds.length < 2;
    if (document.activeElement !== frame.find) frame.find.value = state.find || "";
  },

  // The pairs of columns that the state asks for.
  pairs(table, state) {
    const all = itemData.pairs(table, state.a, state.b);
    return state.seed ? all.filter(([seed]) => String(seed) === state.seed) : all;
  },

  body(index, table, state) {
    const pairs = items.pairs(table, state);
    if (!pairs.length) return [page.node("p", {}, "A and B have no finished evaluation of the same seed here.")];
    if (!table.scores) return items.notes(index, table, state);
    const compared = itemData.compare(table, pairs);
    const found = compared.filter(
      (one) => (!state.kind || one.kind === state.kind) && (!state.find || itemData.holds(table, one.item, pairs, state.find)),
    );
    const open = state.item ? compared.find((one) => String(itemData.id(table, one.item)) === state.item) : null;
    const address = (item) => items.address(index, table, state, item);
    const show = { table, pairs, state, address, names: items.names(table, pairs) };
    const main = open ? [itemParts.article(show, open, found)] : items.list(show, found);
    const absent = state.item && !open ? [page.node("p", {}, `There is no item ${state.item} in ${table.benchmark}.`)] : [];
    return [...items.notes(index, table, state), items.difference(table, compared, pairs), items.counts(show, compared), ...absent, ...main];
  },

  names: (table, pairs) => (table.binary && pairs.length === 1 ? items.NAMES.right : items.NAMES.scored),

  // The address of an item, on the page that has its texts; of all items of this page without one.
  address(index, table, state, item = "") {
    const own = page.address("items", items.parameters(state, { item: item === "" ? "" : itemData.id(table, item) }));
    return table.page && !table.answers && item !== "" ? items.file(index, table) + own : own;
  },

  file: (index, table) => (index.home ? "../" : "") + table.page,

  // An opened item has the focus, and its beginning is in sight.
  focus(article) {
    article?.focus({ preventScroll: true });
    const top = article?.getBoundingClientRect().top;
    if (top < 0 || top > window.innerHeight / 2) article.scrollIntoView();
  },

  // What is not here, and where it is.
  notes(index, table, state) {
    const notes = table.left_out.map((text) => `Left out, for it was not asked the same items: ${text}`);
    const instead = table.prompts?.questions ? "the benchmark's own items are shown instead" : "items are shown by name or digest";
    if (table.prompts && table.prompts_are !== "asked")
      notes.push(`The item files hold no prompts (imported, slim, or of an older version): ${instead}.`);
    if (!table.answered) notes.push("The item files hold no answers: their scores come from elsewhere.");
    const nodes = notes.map((text) => page.node("p", { className: "quiet" }, text));
    if (index.home) nodes.unshift(page.node("p", {}, page.node("a", { href: index.home }, "The whole report")));
    if (table.answers || !table.page) return nodes;
    const what = ["scores", "prompts", "answers"].filter((kind) => !table[kind]).join(" and ");
    const href = items.file(index, table) + page.address("items", items.parameters(state));
    const size = `${(table.size / 1e6).toFixed(1)} MB`;
    const link = page.node("a", { href }, `${table.benchmark} of ${table.model} (${size})`);
    return [...nodes, page.node("p", {}, `This page would be too large with the ${what} of items. They are on a page beside it: `, link)];
  },

  difference(table, compared, pairs) {
    const { delta, low, high, clusters } = paired.interval(compared.map((one) => one.a - one.b), table.scores.clusters);
    const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;
    const share = (side) => `${((100 * paired.sum(compared.map((one) => one[side]))) / compared.length).toFixed(2)} %`;
    const interval = low === null ? "no interval below 10 independent items" : `95 % interval ${signed(low)} to ${signed(high)}`;
    const counted = [`${table.metric}, ${compared.length} items`];
    if (table.scores.clusters) counted.push(`in ${clusters} clusters`);
    if (pairs.length > 1) counted.push(`mean over ${pairs.length} seeds`);
    const numbers = page.node("b", {}, `A ${share("a")}, B ${share("b")}: ${signed(delta)} points`);
    const meaning = "The interval covers other items of the kind. It does not cover other training runs.";
    const words = page.node("span", { className: "quiet" }, ` (${counted.join(", ")}). ${low === null ? "" : meaning}`);
    return page.node("p", { className: "items-difference" }, numbers, `, ${interval}`, words);
  },

  counts({ state, names }, compared) {
    const button = (kind, text, count) =>
      page.node(
        "button",
        { onclick: () => items.change(state, { kind }), "aria-pressed": String((state.kind || "") === kind), "data-kind": kind || "all" },
        `${text} `,
        page.node("b", {}, count.toLocaleString("en")),
      );
    const count = (kind) => compared.filter((one) => one.kind === kind).length;
    const kinds = Object.entries(names).map(([kind, text]) => button(kind, text, count(kind)));
    return page.node("div", { className: "items-counts" }, button("", "All", compared.length), ...kinds);
  },

  // The first items found, and a button for more.
  list(show, found) {
    const list = page.node("div", { className: "items-list" });
    const titles = ["Item", "Prompt", "Right answer", "A", "B"].map((title) => page.node("span", {}, title));
    const more = page.node("button", { onclick: () => add() });
    const add = () => {
      const place = list.children.length;
      list.append(...found.slice(place, place + items.STEP).map((one) => itemParts.line(show, one)));
      more.hidden = list.children.length >= found.length;
      more.textContent = `Show more (${(found.length - list.children.length).toLocaleString("en")} left)`;
    };
    add();
    const head = page.node("p", { className: "quiet", role: "status" }, `${found.length.toLocaleString("en")} items`);
    return [head, page.node("div", { className: "item items-head", "aria-hidden": "true" }, ...titles), list, more];
  },
};

page.view("items", async (section, index, parameters) => {
  const frame = await page.once("items-frame", async () => items.frame(section, index));
  const state = items.state(index, parameters);
  frame.state = state;
  items.controls(frame, index, state);
  if (state.problem) return frame.body.replaceChildren(page.node("p", {}, state.problem));
  const table = await page.once(`items-${state.number}`, () => itemData.load(index, state.number));
  if (frame.state !== state) return;
  frame.body.replaceChildren(...items.body(index, table, state));
  items.focus(frame.body.querySelector("article"));
});
