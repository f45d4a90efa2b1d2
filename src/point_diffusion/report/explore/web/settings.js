/* How runs are made: schedule, command, final figures, seeds, versions, and all settings. */

/** Alpha-bar over t, and the betas, a line for each run. */
function scheduleCharts(target, runs) {
  const line = (run, index, y) => ({
    name: run.title,
    x: Array.from({ length: run.numStep }, (_, step) => step + 1),
    y,
    color: lineColor(index),
  });
  const alphas = runs.map((run, index) =>
    line(
      run,
      index,
      run.schedule.alpha.map((alpha) => alpha * alpha),
    ),
  );
  lineChart(target, "Signal left in x_t", alphas, { xLabel: "t", yLabel: "alphas_cumprod" });
  const betas = runs.map((run, index) => line(run, index, decode(run.plain.schedule.betas).values));
  lineChart(target, "Schedule", betas, { xLabel: "t", yLabel: "beta" });
}

/** The card of a run. */
function settingsOf(run, say) {
  const { plain } = run;
  const block = element("div", { class: "card" }, element("h3", {}, run.title));
  if (plain.command) {
    const copy = element("button", { type: "button" }, "Copy");
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(plain.command);
        say("The command is copied.");
      } catch {
        say("The browser does not let this page copy; select the command.");
      }
    });
    block.append(
      element("p", {}, "To make it again: ", copy),
      element("pre", { class: "command" }, plain.command),
    );
  } else {
    block.append(
      element("p", { class: "note" }, "What was typed for it is not known; its settings are below."),
    );
  }
  const { metrics } = plain;
  const named = [
    ["worth, points", interval(metrics, "equivalent_sample_size", 0)],
    ["data efficiency", metrics.data_efficiency === undefined ? "" : shown(metrics.data_efficiency)],
    ["tail excess", interval(metrics, "tail_excess", 2)],
    ["KL(model ‖ truth), nats", interval(metrics, "reverse_kl", 4)],
    ["held-out −log p, nats", interval(metrics, "nll", 4)],
    ["held-out loss", metrics.val_loss === undefined ? "" : shown(metrics.val_loss, 4)],
    ["regret", metrics.regret === undefined ? "" : shown(metrics.regret)],
    ["epochs", String(plain.epochs)],
    ["training points", plain.num_train.toLocaleString("en")],
    ["parameters", metrics.parameters === undefined ? "" : shown(metrics.parameters)],
    ["seconds", metrics.seconds === undefined ? "" : shown(metrics.seconds)],
    ...Object.entries(plain.seeds).map(([name, value]) => [name, String(value)]),
    ...Object.entries(plain.versions).map(([name, value]) => [`page made with ${name}`, value]),
    ["checkpoint", plain.checkpoint],
    ["folder", plain.folder],
  ];
  const rows = named.filter(([, value]) => value !== "");
  const all = element(
    "details",
    {},
    element("summary", {}, "All settings"),
    element("pre", {}, plain.config),
  );
  block.append(element("div", { class: "scroll" }, table("At the end of its training", ["", ""], rows)), all);
  return block;
}
