/* What all panels show, and the controls that say it. */

const PLAY_SECONDS = 8; // from noise to data
const NAMED = 24; // classes in the legend

class View {
  /** @param runs RunModels. */
  constructor(runs) {
    const own = runs[0].own;
    this.isMixed = runs.some((run) => run.own.title !== own.title || run.own.calls !== own.calls);
    Object.assign(this, { runs, share: 1, playing: false, process: "reverse" });
    Object.assign(this, {
      sampler: this.isMixed ? OWN : own.title,
      calls: own.calls,
      guidance: own.guidance,
    });
    Object.assign(this, { byClass: runs[0].classes.length > 0, truth: true, strays: true });
    Object.assign(this, { arrows: "none", contours: "none", label: -1 });
    this.redraw = this.reset = this.onreleased = this.onchange = () => {};
  }

  /** A line for all to read, also read out. */
  say(text) {
    byId("status").textContent = text;
  }

  /** Change what is shown. */
  set(changes) {
    Object.assign(this, changes);
    this.onchange();
    this.redraw();
  }

  /** The samplers of all runs, by title. */
  get titles() {
    return [...new Set(this.runs.flatMap((run) => run.trajectories.map((each) => each.title)))];
  }

  /** The numbers of calls that there are of the chosen sampler. */
  get counts() {
    const fitting = this.runs
      .flatMap((run) => run.trajectories)
      .filter((each) => each.title === this.sampler);
    return [...new Set(fitting.map((each) => each.calls))].sort((a, b) => a - b);
  }

  /** Whether runs are shown by their own samplers, which alone are stored with other guidances. */
  get isOwn() {
    const { own } = this.runs[0];
    return this.sampler === OWN || (!this.isMixed && this.sampler === own.title && this.calls === own.calls);
  }
}

/** Fill the form; again whenever another sampler is chosen, which has other numbers of calls. */
function fillControls(form, view, panels, camera) {
  const run = view.runs[0];
  const focused = document.activeElement?.closest("label")?.textContent;
  const set = (name) => (value) => view.set({ [name]: value });
  const parts = [
    choice(
      "Process",
      [
        ["reverse", "reverse: noise to data"],
        ["forward", "forward: data to noise"],
      ],
      view.process,
      set("process"),
    ),
  ];
  if (view.titles.length > 1) {
    const titles = [
      ...(view.isMixed ? [[OWN, "each run's own"]] : []),
      ...view.titles.map((title) => [title, title]),
    ];
    parts.push(
      choice("Sampler", titles, view.sampler, (sampler) => {
        view.sampler = sampler;
        const { counts } = view;
        view.set({ calls: counts.includes(view.calls) ? view.calls : (counts[counts.length - 1] ?? 0) });
      }),
    );
  }
  if (view.counts.length > 1) {
    parts.push(
      choice(
        "Network calls",
        view.counts.map((count) => [String(count), String(count)]),
        String(view.calls),
        (count) => view.set({ calls: Number(count) }),
      ),
    );
  }
  if (run.guidances.length > 1) parts.push(guidanceSlider(view));
  if (run.classes.length) {
    const options = [["-1", "not told"], ...run.classes.map((name, index) => [String(index), name])];
    parts.push(
      choice(
        "Colours",
        [
          ["class", run.plain.label || "class"],
          ["angle", "where they end"],
        ],
        view.byClass ? "class" : "angle",
        (value) => view.set({ byClass: value === "class" }),
      ),
      choice("Class told to what is released, and to the field", options, String(view.label), (value) =>
        view.set({ label: Number(value) }),
      ),
    );
  }
  const field = panels[0].field;
  if (field?.kinds.length && run.plain.dim === 2) {
    const kinds = [["none", "none"], ...field.kinds.map((kind) => [kind, kind])];
    parts.push(choice("Velocity field", kinds, view.arrows, set("arrows")));
  }
  if (field && !field.whyNoContours) {
    const which = [
      ["none", "none"],
      ["truth", "truth"],
      ["model", "model (dashed)"],
      ["both", "both"],
    ];
    parts.push(choice("Density at t = 0", which, view.contours, set("contours")));
  }
  if (run.width > 3) parts.push(...columnChoices(run, view, camera));
  parts.push(box("truth behind", view.truth, set("truth")));
  if (run.own.strays) parts.push(box("mark strays", view.strays, set("strays")));
  parts.push(
    element("button", { type: "button", onclick: () => view.reset() }, "Whole window"),
    element(
      "button",
      { type: "button", onclick: () => clearReleased(panels, view) },
      "Forget released points",
    ),
  );
  form.replaceChildren(...parts);
  // where the keyboard was, it stays
  if (focused)
    [...form.children]
      .find((each) => each.textContent === focused)
      ?.querySelector("select, input")
      ?.focus();
}

function clearReleased(panels, view) {
  for (const panel of panels) panel.released = [];
  view.say("");
  view.redraw();
}

function guidanceSlider(view) {
  const stops = view.runs[0].guidances;
  const slider = element("input", { type: "range", id: "guidance", min: 0, max: stops.length - 1, step: 1 });
  const text = element("span");
  slider.value = Math.max(stops.indexOf(view.guidance), 0);
  const show = () => {
    text.textContent = `Guidance ${stops[slider.value]}`;
    slider.setAttribute("aria-valuetext", String(stops[slider.value]));
  };
  slider.addEventListener("input", () => {
    show();
    view.guidance = stops[slider.value];
    const { own } = view.runs[0];
    if (view.isOwn) view.redraw();
    else view.set({ sampler: view.isMixed ? OWN : own.title, calls: own.calls });
  });
  show();
  return element("label", {}, text, slider);
}

function columnChoices(run, view, camera) {
  const names = run.names.map((name, index) => [String(index), name]);
  return ["Across", "Up"].map((label, axis) =>
    choice(label, names, String(camera.columns[axis]), (value) => {
      const columns = [...camera.columns];
      const other = columns[1 - axis];
      columns[axis] = Number(value);
      if (columns[axis] === other) columns[1 - axis] = (other + 1) % run.width;
      camera.show(columns);
      view.set({});
    }),
  );
}

/** What the colours mean. */
function fillLegend(target, view) {
  const run = view.runs[0];
  const parts = [];
  if (view.byClass && run.classes.length) {
    run.classes.slice(0, NAMED).forEach((name, index) => {
      const mark = element("span", { class: "mark" });
      mark.style.background = `rgb(${classRgb(index, run.classes.length).join()})`;
      parts.push(element("span", { class: "entry" }, mark, name));
    });
    const more = run.classes.length - NAMED;
    if (more > 0) parts.push(element("span", { class: "entry" }, `and ${more} more`));
  } else {
    const where = view.process === "forward" ? "began" : "end";
    parts.push(
      element(
        "span",
        { class: "entry" },
        element("span", { class: "circle" }),
        `coloured by where they ${where}`,
      ),
    );
  }
  if (view.truth) parts.push(entry("truth", "training points"));
  if (view.strays && run.own.strays && view.process === "reverse")
    parts.push(entry("stray", "strays: where the truth has 1 in 1,000"));
  const contours = run.plain.contours;
  if (view.contours !== "none" && contours?.mass) {
    const mass = contours.mass.map((each) => `${Math.round(100 * each)}%`).join(", ");
    parts.push(
      element(
        "span",
        { class: "entry" },
        `lines of the density that encloses ${mass} of the truth; model by ${contours.sampler}`,
      ),
    );
  }
  target.replaceChildren(...parts);
}

function entry(color, text) {
  const mark = element("span", { class: "mark" });
  mark.style.background = `var(--${color})`;
  return element("span", { class: "entry" }, mark, text);
}
