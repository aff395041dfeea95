// The mean difference of items in points, with its 95 % interval over items: what these two models, as trained, would
// differ by on other items. As `item_effect` and `item_noise` of prunegrid.statistics.inference, which says why; a test
// holds the two together.
const paired = {
  // `differences` of the items, -1 to 1, means over seeds; `clusters`: each item's, from 0, or null if each is its own.
  // Limits are null below 10 clusters.
  interval(differences, clusters) {
    const items = differences.length;
    const mean = paired.sum(differences) / items;
    const sizes = [];
    const sums = [];
    differences.forEach((difference, item) => {
      const cluster = clusters ? clusters[item] : item;
      sizes[cluster] = (sizes[cluster] || 0) + 1;
      sums[cluster] = (sums[cluster] || 0) + difference;
    });
    const count = sizes.length;
    const result = { delta: 100 * mean, low: null, high: null, clusters: count };
    if (count < 10) return result;
    const residuals = sums.map((sum, cluster) => sum - mean * sizes[cluster]);
    const differing = sums.filter((sum) => Math.abs(sum) > 1e-9).length;
    const added = 2 * Math.max(0, 1 - differing / 30);
    const variance = (count / (count - 1)) * paired.squares(residuals) + added;
    const centred = differences.map((difference) => difference - mean);
    const freedom = paired.effective(centred, residuals, sizes) - 1;
    const half = paired.critical(freedom, 0.05) * (100 / items) * Math.sqrt(variance);
    return { ...result, low: result.delta - half, high: result.delta + half };
  },

  sum: (numbers) => numbers.reduce((total, number) => total + number, 0),
  squares: (numbers) => numbers.reduce((total, number) => total + number * number, 0),

  // How many clusters of equal size would know the variance as well.
  effective(centred, sums, sizes) {
    const items = centred.length;
    const squares = paired.squares(sizes);
    const total = paired.squares(centred);
    if (squares === items || total === 0) return sizes.length;
    const common = Math.min(Math.max(0, paired.squares(sums) - total) / (squares - items), total / items);
    const variances = sizes.map((size) => (total / items - common) * size + common * size * size);
    return paired.sum(variances) ** 2 / paired.squares(variances);
  },

  // Two-sided critical value of Student's t, by bisection.
  critical(freedom, alpha) {
    let low = 0;
    let high = 1;
    while (paired.tail(freedom, high) > alpha) high *= 2;
    for (let step = 0; step < 60; step++) {
      const middle = (low + high) / 2;
      if (paired.tail(freedom, middle) > alpha) low = middle;
      else high = middle;
    }
    return high;
  },

  // P(|T| > t): the regularised incomplete beta function, by the series that converges sooner.
  tail(freedom, t) {
    const half = freedom / 2;
    const share = freedom / (freedom + t * t);
    if (freedom <= 10) return paired.beta(half, 0.5, share) / half / paired.betaHalf(half);
    return 1 - (2 * paired.beta(0.5, half, 1 - share)) / paired.betaHalf(half);
  },

  // a times the incomplete beta function B(x; a, b) = x^a (1-x)^b / a (1 + (a+b)/(a+1) x + ...).
  beta(a, b, x) {
    let term = x ** a * Math.exp(b * Math.log1p(-x));
    let total = term;
    for (let n = 0; term > total * 1e-16; n++) {
      term *= ((a + b + n) / (a + 1 + n)) * x;
      total += term;
    }
    return total;
  },

  // B(1/2, b) = sqrt(pi) G(b) / G(b + 1/2): the series of that ratio for large b, and its recursion down to b.
  betaHalf(b) {
    let factor = 1;
    while (b < 40) {
      factor *= (b + 0.5) / b;
      b += 1;
    }
    const ratio = 1 - 1 / (8 * b) + 1 / (128 * b ** 2) + 5 / (1024 * b ** 3) - 21 / (32768 * b ** 4);
    return (Math.sqrt(Math.PI) * factor) / (Math.sqrt(b) * ratio);
  },
};
