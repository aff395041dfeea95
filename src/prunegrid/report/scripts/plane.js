// The error-uncertainty plane: samples as dots; a brush lists them, a click opens one.
{
  const LOOKS = {
    ".": ["dropped", "circle", "#9aa0a6"],
    k: ["kept", "circle", "#0072b2"],
    2: ["kept as Q2", "triangle-up", "#d55e00"],
    4: ["kept as Q4", "triangle-down", "#0072b2"],
    a: ["filled in", "diamond", "#e69f00"],
    b: ["filled in", "diamond", "#e69f00"],
  };
  const PALE = { "#0072b2": "#56b4e9", "#d55e00": "#ff8f3f" }; // on a dark page
  const FILLED = { a: "filled in, treated as Q2", b: "filled in, treated as Q4" };
  const CORNERS = { q1: "Q1 noise", q2: "Q2 misconception", q3: "Q3 redundant", q4: "Q4 calibration", between: "between" };
  const REASONS = { q2: "as Q2", q4: "as Q4", fill: "filled in" };
  let drawing = 0;

  page.view("plane", async (section, data, parameters) => {
    const model = data.models.find((one) => one.model === parameters.model) ?? data.models[0];
    const choice = selections.find(model.selections, parameters);
    const note = model.note && page.node("p", { className: "quiet" }, model.note);
    const lists = selections.lists("plane", data.models, model, choice, parameters);
    if (!model.ids) return selections.show(section, page.node("div", { className: "controls" }, ...lists), note);
    const axis = model.x[parameters.entropy] ? parameters.entropy : model.x[choice.x] ? choice.x : "entropy";
    const axes = Object.keys(model.x).map((name) => [name, data.axes[name]]);
    lists.push(selections.list("entropy of", "plane-entropy", axes, axis,
      (entropy) => page.go("plane", { ...parameters, entropy })));
    const controls = page.node("div", { className: "controls" }, ...lists.filter(Boolean));
    const plot = page.node("div", { className: "plane", role: "img", ariaLabel: "Samples by entropy and perplexity" });
    const heading = page.node("h2", { id: "plane-count" });
    const list = page.node("div", { className: "plane-list" });
    selections.show(section, controls, page.node("p", {}, keptText(choice), " ", cornerText(choice)),
      page.node("p", { className: "quiet" }, drawnText(model), " Drag over the plane to list samples below; ",
        "a click on a dot, or on a number of the list, opens the sample."),
      note, plot, heading, list);
    const dots = model.ids.map((id, i) => ({ i, id, x: model.x[axis][i], y: model.ppl[i], mark: choice.marks[i] }));
    const own = ++drawing;
    const table = await grid(list, model, choice, dots);
    const show = (brush) => {
      const inside = brush ? dots.filter((dot) => within(dot.x, brush.x) && within(dot.y, brush.y)) : dots;
      heading.textContent = `${selections.count(inside.length)} samples ${brush ? "in the area" : "drawn"}`;
      table.setData(rows(model, inside));
    };
    const view = await page.plot(plot, spec(model, choice, dots, axis, data.axes[axis]));
    if (own !== drawing) return;
    let timer, pressed;
    view.addSignalListener("brush", (_, value) => {
      clearTimeout(timer);
      timer = setTimeout(() => show(value.x ? value : null), 120);
    });
    plot.onpointerdown = (event) => (pressed = event);
    view.addEventListener("click", (event, item) => {
      const moved = pressed && Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) > 4;
      if (!moved && item?.datum?.id !== undefined) location.hash = address(model, choice, item.datum.id);
    });
    heading.textContent = `${selections.count(dots.length)} samples drawn`;
    plot.view = view;
    plot.dataset.dots = dots.filter((dot) => dot.x !== null && dot.y !== null).length;
  });

  const within = (value, [low, high]) => value !== null && value >= Math.min(low, high) && value <= Math.max(low, high);

  function address(model, choice, id) {
    const { budget, variant, seed } = choice;
    return page.address("sample", { model: model.model, id, budget, variant, seed });
  }

  function keptText(choice) {
    const reasons = Object.entries(choice.reasons);
    const words = reasons.map(([name, number]) => `${selections.count(number)} ${REASONS[name] ?? name}`);
    const some = reasons.length > 1 ? ` (${words.join(", ")})` : "";
    return `${choice.label} keeps ${selections.count(choice.kept)} samples${some}${choice.dynamic ? " in its last epoch" : ""}.`;
  }

  function cornerText(choice) {
    if (!choice.corners) return "";
    const parts = Object.entries(CORNERS).map(([name, text]) => `${text} ${selections.count(choice.corners[name])}`);
    const lines = choice.unit === "conversation" ? " Its thresholds are those of conversations, and not drawn."
      : choice.thresholds ? " Dotted lines are low thresholds, dashed lines high ones." : ` Each of ${selections.count(choice.windows)} windows has thresholds of its own, which are not drawn.`;
    return `Samples in the corners: ${parts.join(", ")}.${lines}`;
  }

  function drawnText({ drawn, ids, selections: all }) {
    if (ids.length === drawn.samples) return `All ${selections.count(drawn.samples)} samples are drawn.`;
    const kept = drawn.kept_drawn === drawn.kept ? "all" : `${selections.count(drawn.kept_drawn)} of`;
    return `${selections.count(ids.length)} of ${selections.count(drawn.samples)} samples are drawn: ` +
      `${selections.count(drawn.random)} at random, and ${kept} ${selections.count(drawn.kept)} that ${all.length > 1 ? "some" : "the"} selection keeps. ` +
      "So kept samples are denser here than in the data.";
  }

  function rows(model, dots) {
    return dots.map(({ i, id, x, y, mark }) => ({
      id, what: FILLED[mark] ?? LOOKS[mark][0], ppl: y, entropy: x, prompt: model.prompts[i], answer: model.answers[i],
    }));
  }

  function grid(list, model, choice, dots) {
    const link = (cell) => page.node("a", { href: address(model, choice, cell.getValue()) }, String(cell.getValue()));
    const text = { headerFilter: "input", width: 360, minWidth: 240 };
    const columns = [
      { title: "sample", field: "id", formatter: link, hozAlign: "right" },
      { title: "choice", field: "what", headerFilter: "input" },
      { title: "PPL", field: "ppl", hozAlign: "right" },
      { title: "entropy", field: "entropy", hozAlign: "right" },
      ...(model.prompts.length ? [{ title: "prompt", field: "prompt", ...text }, { title: "answer", field: "answer", ...text }] : []),
    ];
    return page.grid(list, { data: rows(model, dots), columns, height: 320, initialSort: [{ column: "what", dir: "desc" }] });
  }

  function spec(model, choice, dots, axis, what) {
    const present = Object.keys(LOOKS).filter((mark) => choice.marks.includes(mark));
    const looks = [...new Map(present.map((mark) => [LOOKS[mark][0], LOOKS[mark]])).values()];
    const values = dots.filter(({ x, y }) => x !== null && y !== null).map((dot) => ({ ...dot, what: LOOKS[dot.mark][0] }));
    values.sort((a, b) => (a.mark !== ".") - (b.mark !== "."));
    const names = looks.map(([name]) => name);
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const colours = looks.map(([, , colour]) => (dark && PALE[colour]) || colour);
    const limits = choice.thresholds && choice.x === axis ? choice.thresholds : null;
    const lines = limits ? [
      { x: limits.entropy_low, end: "low" }, { x: limits.entropy_high, end: "high" },
      { y: limits.ppl_low, end: "low" }, { y: limits.ppl_high, end: "high" },
    ] : [];
    const size = Math.max(8, Math.min(32, 60_000 / values.length));
    const narrow = innerWidth < 600;
    const key = { title: null, orient: "top", symbolSize: 80, symbolOpacity: 1, columns: narrow ? 2 : 6, labelFontSize: 12 };
    const rule = (field) => ({
      data: { values: lines.filter((line) => line[field] !== undefined) },
      mark: { type: "rule", color: "gray", size: 1.2 },
      encoding: { [field]: { field, type: "quantitative" },
        strokeDash: { field: "end", scale: { domain: ["low", "high"], range: [[2, 3], [6, 3]] },
          legend: null } },
    });
    return {
      width: "container",
      height: 420,
      data: { values },
      layer: [{
        params: [{ name: "brush", select: { type: "interval", encodings: ["x", "y"] } }],
        mark: { type: "point", filled: true, opacity: 0.75 },
        encoding: {
          x: { field: "x", type: "quantitative", title: `mean predictive entropy of ${what} (nats)`, scale: { zero: false, nice: true },
            axis: { grid: false, tickCount: narrow ? 6 : 12 } },
          y: { field: "y", type: "quantitative", title: "perplexity of the response", scale: { type: "log", nice: true },
            axis: { grid: false, format: "~s", labelOverlap: true, tickCount: 8 } },
          color: { field: "what", type: "nominal", scale: { domain: names, range: colours }, legend: key },
          shape: { field: "what", type: "nominal", scale: { domain: names, range: looks.map((look) => look[1]) }, legend: key },
          size: { condition: { test: "datum.mark !== '.'", value: 1.6 * size }, value: size },
          tooltip: { field: "id" },
        },
      }, ...(limits ? [rule("x"), rule("y")] : [])],
      usermeta: { embedOptions: { renderer: "canvas", tooltip: hover(model, axis) } },
    };
  }

  // A hover's text, as text nodes. vega-embed calls it with the item under the mouse.
  function hover(model, axis) {
    const box = page.node("div", { className: "hover", hidden: true, role: "tooltip" });
    return (_, event, item, value) => {
      const dot = item?.datum;
      box.hidden = !value || dot?.id === undefined;
      if (box.hidden) return;
      if (!box.isConnected) document.getElementById("view-plane").append(box);
      const facts = `sample ${dot.id}: ${FILLED[dot.mark] ?? LOOKS[dot.mark][0]}, PPL ${dot.y}, entropy ${dot.x}`;
      box.replaceChildren(page.node("b", {}, facts),
        page.node("div", { className: "quiet", dir: "auto" }, model.prompts[dot.i] ?? ""),
        page.node("div", { dir: "auto" }, model.answers[dot.i] ?? ""));
      const left = Math.min(event.clientX + 14, document.documentElement.clientWidth - box.offsetWidth - 8);
      box.style.left = `${Math.max(8, left)}px`;
      box.style.top = `${Math.min(event.clientY + 14, innerHeight - box.offsetHeight - 8)}px`;
    };
  }
}
