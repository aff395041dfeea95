"use strict";
// The page's frame: tabs, addresses, data, and the few helpers that the views share.
//
// An address is `#view?key=value&...`. A view is a function of (its section, its data, the address's parameters); it is
// called whenever the address changes while it is open. Texts of data and models reach the page as text nodes alone.
const page = {
  views: {},

  // Register the view `name`: `draw(section, data, parameters)`.
  view(name, draw) {
    page.views[name] = draw;
  },

  // An element. `attributes`: properties (`textContent`, `onclick`) and, of others, attributes; children: nodes or text.
  node(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name in element && name !== "list") element[name] = value;
      else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  },

  unpacked(id) {
    const letters = atob(document.getElementById(id).textContent);
    const bytes = new Uint8Array(letters.length);
    for (let place = 0; place < letters.length; place++) bytes[place] = letters.charCodeAt(place);
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
  },

  text: (id) => page.unpacked(id).text(),

  // What is loaded once: data of a view, a library.
  loaded: new Map(),
  once(key, load) {
    if (!page.loaded.has(key)) page.loaded.set(key, load());
    return page.loaded.get(key);
  },

  data(name) {
    return page.once(`data-${name}`, async () => JSON.parse(await page.text(`data-${name}`)));
  },

  // A block of the view's data: JSON, or an ArrayBuffer if `binary`; null where the page does not have it.
  block(view, name, binary = false) {
    const id = `data-${view}-${name}`;
    if (!document.getElementById(id)) return null;
    return page.once(id, () => (binary ? page.unpacked(id).arrayBuffer() : page.unpacked(id).json()));
  },

  // Run a library of the page: `tabulator` sets window.Tabulator, `vega` sets window.vegaEmbed.
  library(name) {
    return page.once(`library-${name}`, async () => {
      const script = page.node("script", { type: name === "vega" ? "module" : "text/javascript" });
      script.textContent = await page.text(`library-${name}`);
      document.head.append(script);
      while (name === "vega" && !window.vegaEmbed) await new Promise((done) => setTimeout(done, 5));
    });
  },

  // The default of every column of a table: a text node, so that no data become HTML.
  plain: (cell) => document.createTextNode(cell.getValue() ?? ""),

  // A Tabulator table in `element`, once it is built. A header sorts by the keys, too.
  async grid(element, options) {
    await page.library("tabulator");
    const titleFormatter = (cell) => document.createTextNode(cell.getValue());
    const columnDefaults = { formatter: page.plain, titleFormatter, headerSortTristate: true, ...options.columnDefaults };
    const grid = new Tabulator(element, { layout: "fitDataStretch", ...options, columnDefaults });
    await new Promise((done) => grid.on("tableBuilt", done));
    for (const head of element.querySelectorAll(".tabulator-col.tabulator-sortable")) {
      head.tabIndex = 0;
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") (event.preventDefault(), head.click());
      });
    }
    return grid;
  },

  // A Vega-Lite plot in `element`; returns Vega's view. `ast: true` is vega-embed's interpreter, which needs no eval.
  async plot(element, spec) {
    await page.library("vega");
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const config = { background: "transparent", font: "inherit", ...(dark ? page.darkPlot : {}), ...spec.config };
    const options = { ast: true, actions: false, renderer: "svg", ...spec.usermeta?.embedOptions };
    return (await vegaEmbed(element, { ...spec, config }, options)).view;
  },

  darkPlot: {
    axis: { domainColor: "#999", gridColor: "#444", tickColor: "#999", labelColor: "#ddd", titleColor: "#ddd" },
    legend: { labelColor: "#ddd", titleColor: "#ddd", symbolBaseFillColor: "#ddd", symbolBaseStrokeColor: "#ddd" },
    title: { color: "#ddd" },
    header: { labelColor: "#ddd", titleColor: "#ddd" },
    view: { stroke: "#555" },
    text: { color: "#ddd" },
  },

  // The address of a view: `page.address("items", {model, benchmark})`. What is empty is left out.
  address(name, parameters = {}) {
    const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const query = new URLSearchParams(given);
    return `#${name}${query.size ? `?${query}` : ""}`;
  },

  // Change parameters of the open view, without a new entry in the browser's history unless `visit`.
  go(name, parameters, visit = true) {
    const address = page.address(name, parameters);
    if (visit) location.hash = address;
    else if (location.protocol === "data:") location.replace(address); // inside a report of Snakemake
    else {
      history.replaceState(null, "", address);
      page.open();
    }
  },

  async open() {
    const [name, query] = location.hash.slice(1).split("?", 2);
    const current = page.views[name] ? name : Object.keys(page.views)[0];
    for (const other of Object.keys(page.views)) {
      document.getElementById(`view-${other}`).hidden = other !== current;
      document.getElementById(`tab-${other}`).setAttribute("aria-selected", String(other === current));
    }
    document.body.dataset.view = current;
    const section = document.getElementById(`view-${current}`);
    const parameters = Object.fromEntries(new URLSearchParams(query || ""));
    await page.views[current](section, await page.data(current), parameters);
    section.dataset.ready = "true";
  },

  start() {
    if (!Object.keys(page.views).length) return;
    document.getElementById("static").hidden = true;
    document.querySelector("header").hidden = false;
    window.addEventListener("hashchange", page.open);
    page.open();
  },
};
// After the views' scripts, which follow this one.
document.addEventListener("DOMContentLoaded", page.start);
