// An item: as a line of the list, and opened.
const itemParts = {
  CLIP: 220,
  NUMBERS: /^-?\S+( -?\S+)+$/,

  // A score in words: right and wrong of one answer, a share otherwise.
  score(table, value) {
    if (table.binary && value === 1) return "✓ right";
    if (table.binary && value === 0) return "✗ wrong";
    return `${(100 * value).toFixed(table.binary ? 0 : 1)} %`;
  },

  tone: (value) => (value > 1 - 1e-9 ? "up" : value < 1e-9 ? "down" : ""),

  // The numbers of an answer to a question with options; null for a text.
  numbers(table, item, answer) {
    const options = table.prompts?.options?.[item];
    if (!options) return null;
    const parts = answer.split(" ").map(Number);
    return parts.length === options.length && parts.every((part) => !Number.isNaN(part)) ? parts : null;
  },

  // An answer in one line: of options the one nearest to 0 nats, which is the chosen one where `acc` is the metric.
  brief(table, item, answer) {
    const nats = table.metric === "acc" ? itemParts.numbers(table, item, answer) : null;
    if (nats) return table.prompts.options[item][itemParts.nearest(nats)];
    return answer.length > itemParts.CLIP ? `${answer.slice(0, itemParts.CLIP)}…` : answer;
  },

  nearest: (nats) => nats.reduce((best, number, place) => (Math.abs(number) < Math.abs(nats[best]) ? place : best), 0),

  // Right answers: a JSON list of several, a text of one.
  golds(text) {
    try {
      const list = text.startsWith("[") ? JSON.parse(text) : null;
      return Array.isArray(list) && list.every((each) => typeof each === "string") ? list : [text];
    } catch {
      return [text];
    }
  },

  line({ table, pairs, address }, one) {
    const question = table.prompts?.questions?.[one.item] ?? table.prompts?.names?.[one.item] ?? "";
    const clipped = question.length > itemParts.CLIP ? `…${question.slice(-itemParts.CLIP)}` : question;
    const gold = table.prompts?.golds?.[one.item];
    const cell = (name, ...content) => page.node("span", { className: `item-${name}` }, ...content);
    const side = (key, number) => {
      const answers = table.answers && table.answered ? pairs.map((pair) => itemParts.brief(table, one.item, itemData.answer(table, one.item, pair[number]))) : [];
      const mark = page.node("b", { className: itemParts.tone(one[key]) }, itemParts.score(table, one[key]));
      return cell("answer", `${key.toUpperCase()} `, mark, page.node("bdi", {}, [...new Set(answers)].join(" | ")));
    };
    const right = gold === undefined ? null : page.node("bdi", {}, itemParts.golds(gold).join(" | ").slice(0, itemParts.CLIP));
    const parts = [cell("question", page.node("bdi", {}, clipped)), cell("gold", right), side("a", 1), side("b", 2)];
    return page.node("a", { className: "item", href: address(one.item) }, cell("id", String(itemData.id(table, one.item))), ...parts);
  },

  article(show, one, found) {
    const { table, state, names } = show;
    const heading = page.node("h2", {}, `Item ${itemData.id(table, one.item)} of ${table.benchmark}: ${names[one.kind] || ""}`);
    const { questions, golds, options, names: ids } = table.prompts || {};
    const right = golds && itemParts.golds(golds[one.item]);
    const parts = [itemParts.links(show, one, found), heading];
    const [title, words] = table.prompts_are === "fields" ? ["Item", "its fields"] : ["Prompt", "without examples and template"];
    if (questions) parts.push(itemParts.titled(title, words, questions[one.item]));
    else if (ids) parts.push(itemParts.titled("Item", "its name, or a digest of it", ids[one.item]));
    if (right) parts.push(itemParts.titled(right.length > 1 ? "Right answers" : "Right answer", "", ...right));
    if (options && table.answers) parts.push(itemParts.options(show, one, options[one.item], right));
    const sides = [itemParts.side(show, one, "a", 1), itemParts.side(show, one, "b", 2)];
    return page.node("article", { tabIndex: -1 }, ...parts, page.node("div", { className: "item-sides" }, ...sides));
  },

  links({ address }, one, found) {
    const place = found.findIndex((each) => each.item === one.item);
    const link = (key, text, href) => page.node("a", { href, "data-key": key }, text);
    const nodes = [link("all", "All items", address())];
    if (place > 0) nodes.push(link("previous", "← Previous", address(found[place - 1].item)));
    if (place >= 0 && place + 1 < found.length) nodes.push(link("next", "Next →", address(found[place + 1].item)));
    const words = place < 0 ? "not among those found" : `${place + 1} of ${found.length}`;
    return page.node("p", { className: "item-links" }, ...nodes, page.node("span", { className: "quiet" }, `${words}; keys ← → Esc`));
  },

  titled(title, words, ...texts) {
    const head = page.node("h3", {}, title, page.node("span", { className: "quiet" }, words ? ` ${words}` : ""));
    return page.node("section", {}, head, ...texts.map((text) => itemParts.text(text)));
  },

  text: (text) => (text === "" ? page.node("p", { className: "quiet" }, "(empty)") : page.node("pre", { dir: "auto" }, text)),

  // The options with what each row gives them.
  options({ table, pairs }, one, options, right) {
    const nats = pairs.flatMap(([seed, ...columns]) =>
      columns.map((column, side) => ({
        title: `${"AB"[side]}${pairs.length > 1 ? `, seed ${seed}` : ""}`,
        numbers: itemParts.numbers(table, one.item, itemData.answer(table, one.item, column)),
      })),
    );
    if (nats.some(({ numbers }) => !numbers)) return null;
    const head = page.node("tr", {}, page.node("th", {}, "Option"), ...nats.map(({ title }) => page.node("th", {}, title)));
    const cell = (numbers, place) =>
      page.node("td", {}, page.node(itemParts.nearest(numbers) === place ? "b" : "span", {}, numbers[place].toFixed(2)));
    const rows = options.map((option, place) => {
      const mark = right?.includes(option) ? "✓ " : "";
      const cells = nats.map(({ numbers }) => cell(numbers, place));
      return page.node("tr", {}, page.node("td", {}, mark, page.node("bdi", {}, option)), ...cells);
    });
    const words = page.node("p", { className: "quiet" }, "In nats: log-probability, or NLL, of each option; the nearest to 0 is bold.");
    return page.node("section", {}, words, page.node("table", { className: "item-options" }, head, ...rows));
  },

  // A row's answers, one a seed; options are in a table of their own.
  side({ table, pairs, state }, one, key, number) {
    const title = page.node("h3", {}, `${key.toUpperCase()}: ${state[key].label} `, page.node("span", { className: "quiet" }, state[key].title));
    const answers = pairs.flatMap((pair) => {
      const value = itemData.value(table, one.item, pair[number]);
      const mark = page.node("b", { className: itemParts.tone(value) }, itemParts.score(table, value));
      const seed = pair[0] === null ? "" : `seed ${pair[0]}: `;
      const answer = table.answers && itemData.answer(table, one.item, pair[number]);
      const shown = table.answers && table.answered && !itemParts.numbers(table, one.item, answer) ? itemParts.text(answer) : null;
      return [page.node("p", {}, seed, mark), shown];
    });
    return page.node("section", { className: `item-side-${key}` }, title, ...answers.filter(Boolean));
  },
};
