/* What each sampler's samples are worth: a table whose rows choose, and a chart over the network calls. */

/** A figure with its interval as text; "" where it is not known. */
function interval(figures, name, digits) {
  const [value, low, high] = ["", "_low", "_high"].map((end) => figures[`${name}${end}`]);
  if (value === undefined || value === null) return "";
  if (figures[`${name}_at_least`]) return `at least ${shown(low ?? value)}`;
  const text = (each) => (digits === 0 ? shown(each) : each.toFixed(digits));
  return low === undefined || low === null || high === null
    ? text(value)
    : `${text(value)} (${text(low)} to ${text(high)})`;
}

/** The divergence of a sampler as text; where it has none but a remark says why, that. */
function klOf(trajectory) {
  const { figures, plain } = trajectory;
  if (figures.reverse_kl === undefined) return plain.remarks.length ? "none, see the remarks" : "";
  return interval(figures, "reverse_kl", 4) + (plain.stochastic ? " *" : "");
}

/** The table of a run; `choose` is given the trajectory whose name is pressed. */
function qualityTable(run, choose) {
  const titles = [
    "sampler",
    "calls",
    "worth, points",
    "tail excess",
    "KL, nats",
    "strays shown",
    "measured with",
  ];
  const measured = run.trajectories.filter((each) => Object.keys(each.figures).length);
  const rows = measured.map((each) => {
    const { figures } = each;
    const name = element(
      "button",
      { type: "button", class: "link", onclick: () => choose(each) },
      each.title,
    );
    name.dataset.sampler = `${each.title} ${each.calls}`;
    return [
      name,
      String(each.calls),
      interval(figures, "equivalent_sample_size", 0),
      interval(figures, "tail_excess", 2),
      klOf(each),
      each.strays ? `${each.strays.length} of ${each.count.toLocaleString("en")}` : "",
      `${figures.num_points.toLocaleString("en")}${figures.stored ? ", evaluate.py" : ""}`,
    ];
  });
  const known = titles.map((_, column) => rows.some((row) => row[column] !== "")); // of a file much is not
  const kept = (cells) => cells.filter((_, column) => known[column]);
  const made = element("div", { class: "scroll figures" }, table(run.title, kept(titles), rows.map(kept)));
  const remarks = new Set(
    measured.flatMap((each) =>
      each.plain.remarks.map((line) => `${each.title}, ${each.calls} calls: ${line}`),
    ),
  );
  const block = element("div", { class: "card" }, made);
  if (measured.some((each) => each.plain.stochastic && each.figures.reverse_kl !== undefined)) {
    block.append(
      element(
        "p",
        { class: "note" },
        "* it draws noise, and has no density: the KL is that of DDIM in all steps",
      ),
    );
  }
  if (remarks.size) {
    const lines = [...remarks].map((line) => element("li", {}, line));
    block.append(
      element("details", {}, element("summary", {}, `${remarks.size} remarks`), element("ul", {}, ...lines)),
    );
  }
  return block;
}

/** Worth over network calls, a line for each sampler; of one run. */
function qualityChart(target, run) {
  const lines = new Map();
  for (const each of run.trajectories) {
    const [worth, low, high] = ["", "_low", "_high"].map(
      (end) => each.figures[`equivalent_sample_size${end}`],
    );
    if (!(worth > 0)) continue;
    if (!lines.has(each.title)) lines.set(each.title, []);
    lines.get(each.title).push([each.calls, worth, low ?? worth, high ?? worth]); // unbounded: there is no end
  }
  if (lines.size === 0) return;
  const drawn = [...lines].map(([name, points], index) => {
    points.sort((a, b) => a[0] - b[0]);
    const [x, y, low, high] = [0, 1, 2, 3].map((column) => points.map((each) => each[column]));
    return { name, x, y, low, high, color: lineColor(index) };
  });
  const title = `${run.title}: worth by sampler; where nothing bounds it from above its lower bound`;
  lineChart(target, title, drawn, { xLabel: "network calls", yLabel: "points", isLogX: true, isLogY: true });
}
