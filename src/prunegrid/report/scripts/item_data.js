// The items of one model and benchmark: unpacked, addressed by row, seed and item, and put into classes.
const itemData = {
  arrays: { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array },

  // What the page has of the table `number`: its scores, prompts and answers, each null where they are elsewhere.
  async load(index, number) {
    const table = index.tables[number];
    const block = (kind, name, binary) =>
      page.block("items", `${kind === "prompts" ? table.prompts_of : number}-${kind}-${name}`, binary);
    const [head, codes, prompts, texts, given] = await Promise.all([
      block("scores", "head"),
      block("scores", "codes", true),
      block("prompts", "text"),
      block("answers", "texts"),
      block("answers", "given", true),
    ]);
    return {
      ...table,
      prompts,
      scores: head && { ...head, codes: new itemData.arrays[head.type](codes) },
      answers: texts && itemData.starts({ ...texts, given: new itemData.arrays[texts.type](given) }),
    };
  },

  // Where each item's different answers begin in the list of all.
  starts(answers) {
    let start = 0;
    const starts = answers.sizes.map((size) => (start += size) - size);
    return { ...answers, starts };
  },

  // The columns of a row by seed (null: a reference cell without one).
  columns(table, row) {
    const found = new Map();
    table.columns.forEach(([budget, variant, seed], column) => {
      if (variant === row.variant && budget === row.budget) found.set(seed, column);
    });
    return found;
  },

  // [seed, column of a, column of b] of the seeds that are done on both sides; one without a seed pairs with each.
  pairs(table, a, b) {
    const sides = [itemData.columns(table, a), itemData.columns(table, b)];
    const numbers = [...new Set(sides.flatMap((side) => [...side.keys()]))].filter((seed) => seed !== null);
    const seeds = numbers.length ? numbers.sort((one, other) => one - other) : [null];
    return seeds
      .map((seed) => [seed, ...sides.map((side) => side.get(seed) ?? side.get(null))])
      .filter(([, one, other]) => one !== undefined && other !== undefined);
  },

  value: (table, item, column) => table.scores.values[table.scores.codes[item * table.columns.length + column]],

  answer(table, item, column) {
    const { given, starts, texts } = table.answers;
    return texts[starts[item] + given[item * table.columns.length + column]];
  },

  id: (table, item) => (table.scores.ids ? table.scores.ids[item] : item),

  // The mean score of an item over the pairs' columns of one side (1: a, 2: b).
  mean: (table, item, pairs, side) =>
    pairs.reduce((total, pair) => total + itemData.value(table, item, pair[side]), 0) / pairs.length,

  // Both full, a higher, b higher, both nothing, equal between.
  classOf(a, b) {
    if (Math.abs(a - b) > 1e-9) return a > b ? "a" : "b";
    if (a > 1 - 1e-9) return "both";
    return a < 1e-9 ? "neither" : "equal";
  },

  // All items: number in the table, scores of both sides, class.
  compare(table, pairs) {
    return Array.from({ length: table.n }, (_, item) => {
      const [a, b] = [1, 2].map((side) => itemData.mean(table, item, pairs, side));
      return { item, a, b, kind: itemData.classOf(a, b) };
    });
  },

  // Whether prompt, right answer, or an answer of a side holds the text, in any case.
  holds(table, item, pairs, text) {
    const { questions, golds, options } = table.prompts || {};
    const answers = table.answers
      ? pairs.flatMap(([, a, b]) => [a, b].map((column) => itemData.answer(table, item, column)))
      : [];
    const texts = [questions?.[item], golds?.[item], ...(options?.[item] || []), ...answers];
    return texts.some((each) => each?.toLowerCase().includes(text.toLowerCase()));
  },
};
