// A sample: its answer token by token, coloured by a score, with what a selection drops struck through.
{
  const TITLES = { nll: "NLL (nats)", entropy: "entropy (nats)", fastv: "attention received (FastV)",
    sparsevlm: "attention to the prompt (SparseVLM)" };
  const REASONS = { q2: "Q2", q4: "Q4", fill: "filled in" };
  const WHOLE = { positions: null };
  const title = (name) => TITLES[name] ?? name.replaceAll("_", " ");

  page.view("sample", async (section, data, parameters) => {
    const model = data.models.find((one) => one.model === parameters.model) ?? data.models[0];
    const choice = selections.find(model.selections, parameters);
    const note = model.note && page.node("p", { className: "quiet" }, model.note);
    if (!model.samples.length) return selections.show(section, note);
    const at = place(model, choice, parameters.id);
    const sample = model.samples[at];
    const name = model.scores.includes(parameters.score) ? parameters.score : model.scores[0];
    const whole = parameters.variant === "none";
    const go = (change) => page.go("sample", { ...parameters, ...change }, false);
    const controls = page.node("div", { className: "controls" },
      ...selections.lists("sample", data.models, model, choice, parameters, false),
      ...[selections.list("colour", "sample-score", model.scores.map((one) => [one, title(one)]), name, (score) => go({ score }))].filter(Boolean),
      ...chooser(model, at, go));
    const how = page.node("p", { className: "quiet" }, whyText(model));
    if (!sample) return selections.show(section, controls, how, note, absent(choice, parameters.id));
    const kept = whole ? WHOLE : keptBy(choice, at);
    selections.show(section, controls, how, note,
      page.node("h2", {}, `Sample ${sample.id}${sample.kind ? `: ${sample.kind}` : ""}`), factsOf(sample),
      page.node("h2", {}, "Prompt"), cut(sample.cut_prompt, "tokens before this are not shown"),
      page.node("pre", { className: "prompt", dir: "auto", tabIndex: 0 }, sample.prompt),
      page.node("h2", {}, "Answer"), buttons(model, choice, at, whole, go),
      page.node("p", { id: "sample-verdict" }, whole ? "The whole answer." : verdict(choice, kept, sample)),
      name ? scale(model, name) : null, answer(sample, kept, model, name), cut(sample.cut_answer, "more tokens are not shown"),
      table(model, sample, kept, choice, whole));
    const row = section.querySelector(".buttons"), pressed = row.querySelector("[aria-pressed=true]");
    row.scrollLeft = pressed.offsetLeft - row.offsetLeft - 40; // where the row is too narrow for all of them
  });

  const cut = (number, text) => (number ? page.node("p", { className: "quiet" }, `${selections.count(number)} ${text}`) : null);

  // The place of the sample that the address names; without a name, of one of which the selection drops a part.
  function place(model, choice, id) {
    if (id) return model.samples.findIndex((sample) => String(sample.id) === id);
    const partly = choice.rows.find((row) => {
      const kept = keptBy(choice, row), size = lengthOf(model.samples[row]);
      return size > 5 && kept.number > 1 && kept.number < size;
    });
    return partly ?? choice.rows[0] ?? 0;
  }

  const lengthOf = (sample) => (sample.counts ?? sample.pieces).reduce((sum, count) => sum + (sample.counts ? count : 1), 0);
  const single = (column, index) => (Array.isArray(column) ? column[index] : column);

  // What a selection keeps of the sample: null if it drops it, else the positions (null if unknown) and their number.
  function keptBy(choice, at) {
    const index = choice.rows.indexOf(at);
    if (index < 0) return null;
    const tokens = choice.tokens[index];
    const facts = { reason: single(choice.reason, index), treated: single(choice.treated_as, index), weight: single(choice.weight ?? 1, index) };
    if (choice.dynamic) return { ...facts, positions: null, number: tokens };
    const positions = new Set();
    for (let place = 0; place < 4 * tokens.length; place++) {
      if ((parseInt(tokens[place >> 2], 16) >> (3 - (place & 3))) & 1) positions.add(place);
    }
    return { ...facts, positions, number: positions.size };
  }

  function whyText({ why, samples, selections: all }) {
    if (samples.length === why.samples) return `All ${selections.count(why.samples)} samples are in this page.`;
    const what = all.length > 1 ? "that the selections disagree about most (kept by some, dropped by others)" : "that the selection keeps";
    return `${selections.count(samples.length)} of ${selections.count(why.samples)} samples are in this page: ` +
      `${selections.count(why.disagreement)} ${what}, and ${selections.count(why.random)} at random.`;
  }

  function absent(choice, id) {
    const command = page.node("code", {}, `prunegrid show ${choice.path} --sample ${id}`);
    return page.node("p", { id: "sample-absent" }, `Sample ${id} is not among them.`,
      ...(choice.dynamic ? [] : [` If ${choice.label} keeps it, `, command, " prints it."]));
  }

  function chooser(model, at, go) {
    const step = (by) => go({ id: model.samples[(at + by + model.samples.length) % model.samples.length].id });
    const input = page.node("input", { id: "sample-id", type: "number", value: model.samples[at]?.id ?? "",
      onchange: () => go({ id: input.value }) });
    return [
      page.node("label", {}, "sample", input),
      page.node("button", { id: "sample-previous", onclick: () => step(-1) }, "Previous"),
      page.node("button", { id: "sample-next", onclick: () => step(1) }, "Next"),
    ];
  }

  function factsOf(sample) {
    const { truncated, continues, ...numbers } = sample.facts;
    const shown = Object.entries(numbers).map(([name, value]) => page.node("span", {}, `${name.replaceAll("_", " ")} ${selections.number(value)}`));
    if (truncated) shown.push("The answer is cut off, without its end.");
    if (continues) shown.push("The prompt goes on behind the answer before it, which is not shown.");
    return page.node("div", { className: "sides" }, ...shown);
  }

  // A button for each pruner of the budget and seed, with how much it keeps.
  function buttons(model, choice, at, whole, go) {
    const size = lengthOf(model.samples[at]);
    const some = model.selections.filter((one) => one.budget === choice.budget && one.seed === choice.seed);
    const button = (variant, pressed, label, part) => page.node("button",
      { className: part === "drops it" ? "absent" : "", id: `pruner-${variant}`, ariaPressed: String(pressed), onclick: () => go({ id: model.samples[at].id, budget: choice.budget, seed: choice.seed, variant }) },
      label, " ", page.node("small", {}, part));
    return page.node("div", { className: "buttons", role: "group", ariaLabel: "Pruners" },
      button("none", whole, "whole answer", ""),
      ...some.map((one) => {
        const kept = keptBy(one, at);
        return button(one.variant, !whole && one === choice, one.label, kept ? `${kept.number}/${size}` : "drops it");
      }));
  }

  function verdict(choice, kept, sample) {
    const size = lengthOf(sample) + (sample.cut_answer ?? 0);
    if (!kept) return `${choice.label} drops this sample.`;
    const rule = kept.treated ? `, with the token rule of Q${kept.treated}` : "";
    const weight = kept.weight === 1 ? "" : ` Its weight is ${kept.weight}.`;
    const reason = `${kept.reason ? ` Reason: ${REASONS[kept.reason] ?? kept.reason}${rule}.` : ""}${weight}`;
    if (!kept.positions) return `${choice.label} kept ${kept.number} of ${size} tokens in its last epoch; which ones is not in its log.${reason}`;
    return `${choice.label} keeps ${kept.number} of ${size} tokens${sample.cut_answer ? " of those shown" : ""}.${reason}`;
  }

  // The range of a score over the page's samples, without the outermost 2 % on either side.
  const ranges = new Map();
  function range(model, name) {
    const key = `${model.model}\n${name}`;
    if (!ranges.has(key)) {
      const all = model.samples.flatMap((sample) => sample.values[name]).filter((value) => value !== null).sort((a, b) => a - b);
      const at = (share) => all[Math.round(share * (all.length - 1))] ?? 0;
      ranges.set(key, [at(0.02), at(0.98)]);
    }
    return ranges.get(key);
  }

  const heat = (share) => `color-mix(in srgb, var(--heat) ${Math.round(80 * Math.max(0, Math.min(1, share)))}%, transparent)`;

  const short = (value) => (Math.abs(value) < 0.0005 ? 0 : Number(value.toPrecision(3)));

  function scale(model, name) {
    const [low, high] = range(model, name);
    const bar = page.node("i", { style: `background: linear-gradient(to right, ${heat(0)}, ${heat(1)})` });
    return page.node("p", { className: "scale" }, `${title(name)}: `, `≤ ${short(low)}`, bar,
      `≥ ${short(high)}`, page.node("span", { className: "answer" }, page.node("del", {}, "dropped token")));
  }

  function answer(sample, kept, model, name) {
    const [low, high] = name ? range(model, name) : [0, 1];
    let start = 0;
    const spans = sample.pieces.map((text, piece) => {
      const places = Array.from({ length: sample.counts?.[piece] ?? 1 }, (_, i) => start + i);
      start += places.length;
      return token(text, places, sample, kept, name, (value) => (value - low) / (high - low || 1));
    });
    return page.node("pre", { className: "answer", dir: "auto" }, ...spans);
  }

  // One piece of text: a token, or the several tokens of a character. It counts as dropped if one of them is.
  function token(text, places, sample, kept, name, share) {
    const dropped = places.filter((at) => (kept ? kept.positions && !kept.positions.has(at) : true));
    const facts = places.map((at) => {
      const values = Object.entries(sample.values).map(([one, column]) => `${title(one)} ${selections.number(column[at])}`);
      return [`token ${at + 1}`, dropped.includes(at) && "dropped", ...values].filter(Boolean).join(", ");
    });
    const values = name ? places.map((at) => sample.values[name][at]).filter((value) => value !== null) : [];
    const style = values.length ? `background: ${heat(share(Math.max(...values)))}` : "";
    const className = `token${text.includes("\n") ? " break" : ""}`;
    const element = page.node(dropped.length ? "del" : "span", { className, style, title: facts.join("\n") }, text);
    element.dataset.places = places.join(" ");
    return element;
  }

  // The same as a table, built when it is opened.
  function table(model, sample, kept, choice, whole) {
    const grid = page.node("div");
    const details = page.node("details", {}, page.node("summary", {}, "As a table"), grid);
    details.ontoggle = () => details.open && !grid.childElementCount && page.grid(grid, {
      data: tokenRows(sample, kept, model), height: 320,
      columns: [
        { title: "token", field: "at", hozAlign: "right" }, { title: "text", field: "text" },
        ...(whole ? [] : [{ title: choice.label, field: "kept" }]),
        ...model.scores.map((name) => ({ title: title(name), field: name, hozAlign: "right" })),
      ],
    });
    return details;
  }

  function tokenRows(sample, kept, model) {
    let at = 0;
    return sample.pieces.flatMap((text, piece) => Array.from({ length: sample.counts?.[piece] ?? 1 }, (_, part) => {
      const place = at++;
      const state = !kept ? "dropped" : !kept.positions ? "unknown" : kept.positions.has(place) ? "kept" : "dropped";
      return { at: place + 1, text: part ? "" : text, kept: state, ...Object.fromEntries(model.scores.map((name) => [name, sample.values[name][place]])) };
    }));
  }
}
