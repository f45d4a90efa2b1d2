/* How runs were trained: the grids of their validations, curves, what limits them, and their error over t. */

const CURVES = [
  [
    "Loss",
    "loss",
    {
      "train/loss": ["training", "line"],
      "val/loss": ["held out", "dashed"],
      "val/loss_floor": ["floor", "dotted"],
    },
  ],
  ["Quality", "worth, points", { "val/equivalent_sample_size": ["worth", "line"] }],
  ["Distance from the exact denoiser", "regret", { "val/regret": ["regret", "line"] }],
];
const PARTS_OF = {
  energy_distance: ["energy distance²", 1e4, " ⋅ 10⁻⁴"],
  reverse_kl: ["KL, nats", 1, ""],
  tail_surplus: ["tail excess − 1", 1, ""],
};
const NAMES = { data: "training draw", flow: "sampler (the flow's)" };
const TOTALS = ["sum", "whole"]; // measured beside the parts

/** A slider over the pictures that the validations of each run have left, in step by their share of them. */
function gridsOf(target, runs) {
  const shownRuns = runs.filter((run) => run.plain.grids?.length);
  if (shownRuns.length === 0) {
    target.append(element("p", { class: "note" }, "The runs have left no pictures of their validations."));
    return;
  }
  const most = Math.max(...shownRuns.map((run) => run.plain.grids.length));
  const slider = element("input", {
    type: "range",
    min: 0,
    max: most - 1,
    step: 1,
    value: most - 1,
    "aria-label": "Validation",
  });
  const pictures = shownRuns.map((run) => {
    const image = element("img", { class: "grid" });
    const caption = element("figcaption");
    return { run, image, caption, figure: element("figure", { class: "card" }, image, caption) };
  });
  const show = () => {
    for (const { run, image, caption } of pictures) {
      const { grids } = run.plain;
      const place = Math.round((slider.value / Math.max(most - 1, 1)) * (grids.length - 1));
      caption.textContent = `${run.title}: epoch ${grids[place].epoch} of ${run.plain.epochs}`;
      image.src = grids[place].image;
      image.alt = `The reverse process of ${run.title} after epoch ${grids[place].epoch}`;
    }
    slider.setAttribute("aria-valuetext", pictures[0].caption.textContent);
  };
  slider.addEventListener("input", show);
  if (most > 1)
    target.append(element("label", { class: "whole" }, element("span", {}, "Validation"), slider));
  target.append(...pictures.map((each) => each.figure));
  show();
}

/** Curves over the epochs, one chart for each kind with a line for each run; and the error by noise level. */
function trainingCharts(target, runs) {
  const several = runs.length > 1;
  for (const [title, yLabel, tags] of CURVES) {
    const lines = runs.flatMap((run, index) =>
      Object.entries(tags).flatMap(([tag, [name, dash]], place) => {
        const curve = run.plain.curves[tag];
        if (!curve) return [];
        const perEpoch = run.plain.steps_per_epoch;
        const y = decode(curve.y).values;
        const kept = [...y.keys()].filter((k) => y[k] > 0); // a logarithm has no place for others
        const x = decode(curve.x).values;
        return [
          {
            name: several ? `${run.title}, ${name}` : name,
            x: kept.map((k) => (x[k] + 1) / perEpoch),
            y: kept.map((k) => y[k]),
            color: lineColor(several ? index : place),
            dash,
          },
        ];
      }),
    );
    const drawn = lines.filter((line) => line.x.length);
    if (drawn.some((line) => line.x.length > 1))
      lineChart(target, title, drawn, { xLabel: "epoch", yLabel, isLogY: true });
  }
  const known = runs.filter((run) => run.plain.regret && !run.plain.regret.why_not);
  const lines = known.flatMap((run, index) => {
    const { t, regret, floor } = run.plain.regret;
    const line = (name, values, dash, color) => ({
      name: several ? `${run.title}, ${name}` : name,
      x: decode(t).values,
      y: decode(values).values,
      dash,
      color,
    });
    return [
      line("regret", regret, "line", lineColor(index)),
      line("floor of the loss", floor, "dotted", lineColor(several ? index : 1)),
    ];
  });
  if (lines.length) {
    const yLabel = `squared error of ${known[0].plain.regret.of}`;
    lineChart(target, "Error by noise level", lines, { xLabel: "t", yLabel, isLogY: true });
  }
  for (const run of runs.filter((each) => each.plain.regret?.why_not)) {
    target.append(
      element("p", { class: "note" }, `${run.title}: no error by noise level: ${run.plain.regret.why_not}`),
    );
  }
}

/** What limits a run: each figure as a bar of its parts; or how to find out. */
function budgetOf(run) {
  const { budget, folder } = run.plain;
  const block = element("div", { class: "card" }, element("h3", {}, `${run.title}: what limits`));
  if (!budget || !budget.parts) {
    const command = `python scripts/evaluate.py run='${folder.replaceAll("'", `'"'"'`)}' budget=true`;
    block.append(
      element(
        "p",
        { class: "note" },
        "Not measured yet; ",
        element("code", {}, command),
        " splits the error into what the sampler, the training draw and the network add.",
      ),
    );
    return block;
  }
  const whats = [...new Set(budget.parts.map((part) => part.what))].filter((what) => !TOTALS.includes(what));
  for (const name of budget.figures) {
    const [title, factor, unit] = PARTS_OF[name] ?? [name, 1, ""];
    const known = budget.parts.filter((part) => part[name] && !TOTALS.includes(part.what));
    const parts = known.filter((part) => !part.what.includes(" x "));
    const text = (part) => {
      const [value, low, high] = part[name].map((each) => shown(each * factor));
      return `${NAMES[part.what] ?? part.what} ${value} (${low} to ${high})${unit}`;
    };
    const total = parts.reduce((sum, part) => sum + Math.max(part[name][0], 0), 0) || 1;
    const bar = element("div", { class: "bar", role: "img" });
    const said = parts.map((part) => {
      const color = lineColor(whats.indexOf(part.what)); // the same in all bars
      const piece = element("span");
      piece.style.width = `${(100 * Math.max(part[name][0], 0)) / total}%`;
      piece.style.background = color;
      bar.append(piece);
      const mark = element("span", { class: "mark" });
      mark.style.background = color;
      return element("li", {}, mark, text(part));
    });
    const pairs = known.filter((part) => !parts.includes(part)).map((part) => element("li", {}, text(part)));
    bar.setAttribute("aria-label", `${title}: ${said.map((each) => each.textContent).join("; ")}`);
    block.append(element("p", {}, title), bar, element("ul", { class: "parts" }, ...said, ...pairs));
  }
  block.append(element("p", {}, budget.advice));
  return block;
}
