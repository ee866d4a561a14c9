// One chart that is drawn once and then patched: new rows go into the living view, never a new one.
// The drawing library comes with the first widget of a page; whoever is earlier waits for it.
function library() {
  if (!globalThis.plannerVega) {
    let arrived;
    const promise = new Promise((resolve) => (arrived = resolve));
    globalThis.plannerVega = { promise, arrived };
  }
  return globalThis.plannerVega.promise;
}

// The report's font is not installed everywhere; without this a browser takes one with serifs.
const FALLBACK = ['"Source Sans Pro"', '"Source Sans Pro, system-ui, sans-serif"'];

async function render({ model, el }) {
  const { vegaEmbed, vega } = await library();
  el.classList.add("planner-chart");
  let view = null;
  let shown = {};
  let drawing = Promise.resolve();
  const undo = [];

  const describe = () => {
    const words = model.get("description");
    el.setAttribute("role", "img");
    el.setAttribute("aria-label", words);
  };

  async function draw() {
    undo.splice(0).forEach((stop) => stop());
    view?.finalize();
    shown = { ...model.get("data") };
    const look = JSON.parse(JSON.stringify(model.get("spec")).replaceAll(...FALLBACK));
    const spec = { ...look, datasets: structuredClone(shown) };
    const options = { actions: false, renderer: "svg", tooltip: { theme: "light" } };
    const result = await vegaEmbed(el, spec, options);
    view = result.view;
    await follow();
    describe();
  }

  // A dial that only moves a mark or a domain drives a signal here, without asking Python.
  async function follow() {
    for (const [signal, widget] of Object.entries(model.get("links"))) {
      const dial = await model.widget_manager.get_model(widget.replace("IPY_MODEL_", ""));
      const listed = dial.get("_options_labels") !== undefined;
      const field = listed ? "index" : "value";
      const move = () => {
        // A dial of steps says what it shows, with commas between the thousands.
        const shown = listed ? dial.get("_options_labels")[dial.get("index")] : dial.get("value");
        view.signal(signal, Number(String(shown).replaceAll(",", ""))).runAsync();
      };
      dial.on(`change:${field}`, move);
      undo.push(() => dial.off(`change:${field}`, move));
      move();
    }
  }

  function patch() {
    if (!view) return;
    const next = model.get("data");
    for (const [name, rows] of Object.entries(next)) {
      if (JSON.stringify(rows) === JSON.stringify(shown[name])) continue;
      view.data(name, structuredClone(rows));
    }
    shown = { ...next };
    describe();
    view.runAsync();
  }

  const redraw = () => (drawing = drawing.then(draw));
  model.on("change:spec", redraw);
  model.on("change:data", () => drawing.then(patch));
  await redraw();
  return () => {
    undo.splice(0).forEach((stop) => stop());
    view?.finalize();
  };
}

export default { render };
